//! What acre holds: figures, blocks, a check of its structures.

use std::any::Any;
use std::ops::ControlFlow;
use std::os::raw::{c_int, c_void};
use std::os::unix::io::AsRawFd;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::{fmt, io, mem};

use crate::ffi;

/// What is in use of one size class, over all arenas.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of one block.
    pub block_size: usize,
    /// Slabs of this class.
    pub slabs: usize,
    /// Blocks in those slabs, free ones included.
    pub blocks: usize,
    /// Of those, the ones that the program holds.
    pub live_blocks: usize,
}

/// A snapshot of the allocator; sizes are in bytes. While other threads allocate it may be off by what
/// those do meanwhile.
#[repr(C)]
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Stats {
    /// Arenas made so far.
    pub arenas: usize,
    /// Of those, the ones without a thread now.
    pub arenas_pooled: usize,
    /// Heaps mapped.
    pub heaps: usize,
    /// Address space of those heaps.
    pub heap_mapped: usize,
    /// Of that, in slabs.
    pub heap_in_slabs: usize,
    /// Of that, free and not yet given back to the system.
    pub heap_free_dirty: usize,
    /// Bytes of live TINY and SMALL blocks, as sized by their classes.
    pub small_live: usize,
    /// Number of live TINY and SMALL blocks.
    pub small_blocks: usize,
    /// Bytes of live LARGE blocks.
    pub large_live: usize,
    /// Number of live LARGE blocks.
    pub large_blocks: usize,
    /// Bytes of free extents that are kept for the next LARGE block.
    pub large_stock: usize,
    /// Bytes of the allocator's own metadata.
    pub metadata: usize,
    /// `small_live` and `large_live` together.
    pub live: usize,
    /// `heap_mapped`, `large_live`, `large_stock` and `metadata` together.
    pub mapped: usize,
    /// Resident bytes of the whole process; 0: unknown.
    pub resident: usize,
    pub(crate) class_count: usize,
    pub(crate) classes: [ClassStats; ffi::STATS_CLASSES],
}

impl Stats {
    /// The size classes, from the smallest on.
    pub fn classes(&self) -> &[ClassStats] {
        &self.classes[..self.class_count.min(ffi::STATS_CLASSES)]
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("live", &self.live)
            .field("small_live", &self.small_live)
            .field("small_blocks", &self.small_blocks)
            .field("large_live", &self.large_live)
            .field("large_blocks", &self.large_blocks)
            .field("mapped", &self.mapped)
            .field("resident", &self.resident)
            .finish_non_exhaustive()
    }
}

/// Counts what acre holds. Takes no lock and allocates nothing.
pub fn stats() -> Stats {
    // SAFETY: all fields are numbers, which may be zero, and acre writes no more than the size
    unsafe {
        let mut stats: Stats = mem::zeroed();
        let error = ffi::acre_stats(&mut stats, mem::size_of::<Stats>());
        assert_eq!(error, 0, "acre_stats failed");
        stats
    }
}

/// How [`stats_print`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A table for people.
    Text = 0,
    /// One object.
    Json = 1,
    /// The text format 0.0.4 of Prometheus.
    Prometheus = 2,
    /// The document of glibc's `malloc_info`.
    Xml = 3,
}

/// Writes the statistics to a file.
pub fn stats_print(file: &impl AsRawFd, format: Format) {
    // SAFETY: any number may be given as a file descriptor
    unsafe { ffi::acre_stats_print(file.as_raw_fd(), format as u32) }
}

/// The size that a request is rounded up to; `None` if it cannot be met.
pub fn good_size(size: usize) -> Option<usize> {
    // SAFETY: takes any size
    match unsafe { ffi::acre_good_size(size) } {
        0 => None,
        rounded => Some(rounded),
    }
}

/// The bytes that a live block has; the program may use all of them.
///
/// # Safety
///
/// `p` is null or a live block of acre's.
pub unsafe fn usable_size(p: *const u8) -> usize {
    // SAFETY: as the caller says
    unsafe { ffi::malloc_usable_size(p) }
}

/// The state of a [`Block`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockState {
    /// The program holds it.
    Live,
    /// May be handed out.
    Free,
    /// Free, in the magazine of its thread.
    Cached,
    /// Freed by another thread than its own, which has not collected it yet.
    Remote,
    /// Free, and its pages went back to the system.
    Purged,
    /// A free extent, kept for LARGE blocks.
    Stock,
    /// One that a later version of acre has.
    Other(u32),
}

/// A block, live or not.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Block {
    /// Its first byte.
    pub address: *const u8,
    /// Its bytes.
    pub size: usize,
    /// Bytes of the size class of its slab; 0: LARGE, with pages of its own.
    pub block_class: usize,
    /// The number of its arena, from 1; 0: LARGE.
    pub arena: u32,
    /// Its state.
    pub state: BlockState,
}

impl From<u32> for BlockState {
    fn from(state: u32) -> BlockState {
        match state {
            0 => BlockState::Live,
            1 => BlockState::Free,
            2 => BlockState::Cached,
            3 => BlockState::Remote,
            4 => BlockState::Purged,
            5 => BlockState::Stock,
            other => BlockState::Other(other),
        }
    }
}

impl From<&ffi::Block> for Block {
    fn from(block: &ffi::Block) -> Block {
        Block {
            address: block.address as *const u8,
            size: block.size,
            block_class: block.block_class,
            arena: block.arena,
            state: block.state.into(),
        }
    }
}

struct Walk<F, B> {
    callback: F,
    result: ControlFlow<B>,
    panic: Option<Box<dyn Any + Send>>,
}

unsafe extern "C" fn visit<F, B>(context: *mut c_void, block: *const ffi::Block) -> c_int
where
    F: FnMut(Block) -> ControlFlow<B>,
{
    // SAFETY: heap_walk passes its own Walk, and acre a valid block
    let (walk, block) = unsafe { (&mut *context.cast::<Walk<F, B>>(), Block::from(&*block)) };
    // no panic may pass through acre's frames
    match catch_unwind(AssertUnwindSafe(|| (walk.callback)(block))) {
        Ok(result) => walk.result = result,
        Err(panic) => walk.panic = Some(panic),
    }
    (walk.result.is_break() || walk.panic.is_some()) as c_int
}

/// Calls `callback` for each block of the process until it breaks. No lock is held meanwhile: it may
/// allocate. Blocks that other threads allocate and free meanwhile may be seen as they were before or
/// after.
pub fn heap_walk<F, B>(callback: F) -> ControlFlow<B>
where
    F: FnMut(Block) -> ControlFlow<B>,
{
    let mut walk = Walk { callback, result: ControlFlow::Continue(()), panic: None };
    // SAFETY: `visit` gets a Walk of these types, which lives until acre_heap_walk returns
    unsafe { ffi::acre_heap_walk(visit::<F, B>, (&mut walk as *mut Walk<F, B>).cast()) };
    match walk.panic {
        Some(panic) => resume_unwind(panic),
        None => walk.result,
    }
}

/// Checks acre's own structures. What is wrong is written to standard error, a line for each; the error
/// has their number.
pub fn check() -> io::Result<()> {
    // SAFETY: any number may be given as a file descriptor
    match unsafe { ffi::acre_check(io::stderr().as_raw_fd()) } {
        0 => Ok(()),
        lines => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{lines} things are wrong with acre's structures"),
        )),
    }
}
