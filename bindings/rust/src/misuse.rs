//! The function that is called at each misuse.

use std::ffi::CStr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::abort;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{mem, ptr, slice};

use crate::ffi;

/// What is wrong with a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MisuseKind {
    /// Its block was freed before.
    DoubleFree,
    /// It lies inside a block, not at its start.
    Interior,
    /// No block can start there.
    Misaligned,
    /// It lies in no memory of acre's blocks.
    Foreign,
    /// With option `hardened`: its block was written to at or above the size that was asked for.
    Overflow,
    /// With option `hardened` or `fill`: its block was written to after it was freed.
    WrittenAfterFree,
    /// One that a later version of acre has.
    Other(u32),
}

impl From<u32> for MisuseKind {
    fn from(kind: u32) -> MisuseKind {
        match kind {
            0 => MisuseKind::DoubleFree,
            1 => MisuseKind::Interior,
            2 => MisuseKind::Misaligned,
            3 => MisuseKind::Foreign,
            4 => MisuseKind::Overflow,
            5 => MisuseKind::WrittenAfterFree,
            other => MisuseKind::Other(other),
        }
    }
}

/// A misuse of a function that takes a block.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Misuse<'a> {
    /// What is wrong.
    pub kind: MisuseKind,
    /// The C function that was called: of an `Acre`, `free_sized`, `free_aligned_sized` or `realloc`.
    pub function: &'a CStr,
    /// The pointer as passed.
    pub pointer: *const u8,
    /// The start of the block that the pointer lies in; null: unknown.
    pub block: *const u8,
    /// Bytes of that.
    pub block_size: usize,
    /// The number of its arena, from 1; 0: LARGE, or unknown.
    pub arena: u32,
    /// The return addresses of the caller and its callers.
    pub stack: &'a [usize],
    /// Of an overflow: the size that was asked for.
    pub requested: usize,
    /// Of an overflow or a write after free: the first byte that changed, in the block.
    pub offset: usize,
}

/// A `fn(&Misuse)`, or null.
static HANDLER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

fn to_handler(handler: *mut ()) -> Option<fn(&Misuse)> {
    // SAFETY: set_error_handler stores nothing but such functions, and null, which is None
    unsafe { mem::transmute(handler) }
}

unsafe extern "C" fn call_handler(error: *const ffi::Error) {
    // SAFETY: acre passes a valid structure; an empty stack may be null
    let misuse = unsafe {
        let error = &*error;
        Misuse {
            kind: error.kind.into(),
            function: CStr::from_ptr(error.function),
            pointer: error.pointer.cast(),
            block: error.block.cast(),
            block_size: error.block_size,
            arena: error.arena,
            stack: match error.depth {
                0 => &[],
                depth => slice::from_raw_parts(error.stack, depth as usize),
            },
            requested: error.requested,
            offset: error.offset,
        }
    };
    if let Some(handler) = to_handler(HANDLER.load(Ordering::Acquire)) {
        // no panic may pass through acre's frames
        if catch_unwind(AssertUnwindSafe(|| handler(&misuse))).is_err() {
            abort();
        }
    }
}

/// Sets the function that is called at each misuse, by the thread that made the call, after the report and
/// before the process ends, if it does (options `on_error` and `foreign`). It may allocate. A panic in it
/// ends the process. Returns the one before it.
pub fn set_error_handler(handler: Option<fn(&Misuse)>) -> Option<fn(&Misuse)> {
    let pointer = handler.map_or(ptr::null_mut(), |handler| handler as *mut ());
    let before = HANDLER.swap(pointer, Ordering::AcqRel);
    // SAFETY: call_handler is what acre calls
    unsafe { ffi::acre_set_error_handler(handler.map(|_| call_handler as ffi::ErrorHandler)) };
    to_handler(before)
}
