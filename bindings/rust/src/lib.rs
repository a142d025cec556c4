#![doc = include_str!("../README.md")]
#![cfg_attr(feature = "allocator_api", feature(allocator_api))]
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

#[cfg(feature = "allocator_api")]
mod allocator;
mod control;
mod ffi;
mod inspect;
mod misuse;

pub use control::{
    limit, option_get, option_set, options_parse, options_print, profile_mark, profile_start, profile_stop,
    thread_flush, trim, version, Limit,
};
pub use inspect::{
    check, good_size, heap_walk, stats, stats_print, usable_size, Block, BlockState, ClassStats, Format,
    Stats,
};
pub use misuse::{set_error_handler, Misuse, MisuseKind};

/// The allocator. It has no state: each value of it gives back what another one gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acre;

/// Every block of acre's is aligned to as much.
const BLOCK_ALIGNMENT: usize = 16;

/// Moves a block to one of another size or alignment: null if there is no memory, and the block is as
/// it was.
///
/// # Safety
///
/// `p` is a block of `old`.
unsafe fn move_block(p: *mut u8, old: Layout, new: Layout) -> *mut u8 {
    // SAFETY: the new block has new.size() bytes and is no part of the old one, which has old.size().
    unsafe {
        let block = Acre.alloc(new);
        if !block.is_null() {
            ptr::copy_nonoverlapping(p, block, old.size().min(new.size()));
            Acre.dealloc(p, old);
        }
        block
    }
}

// SAFETY: acre's functions give blocks of the size and alignment that they are asked for, or null, and
// do not unwind. A size of zero, which the trait forbids, gets a block as in C.
unsafe impl GlobalAlloc for Acre {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two
        unsafe {
            if layout.align() <= BLOCK_ALIGNMENT {
                ffi::malloc(layout.size())
            } else {
                ffi::aligned_alloc(layout.align(), layout.size())
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller says that this is a block of that layout
        unsafe {
            if layout.align() <= BLOCK_ALIGNMENT {
                ffi::free_sized(p, layout.size())
            } else {
                ffi::free_aligned_sized(p, layout.align(), layout.size())
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as alloc; all bytes of the block are written
        unsafe {
            if layout.align() <= BLOCK_ALIGNMENT {
                return ffi::calloc(1, layout.size());
            }
            let block = self.alloc(layout);
            if !block.is_null() {
                ptr::write_bytes(block, 0, layout.size());
            }
            block
        }
    }

    #[inline]
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.align() <= BLOCK_ALIGNMENT {
            // C's realloc frees the block if the size is zero; null would say that it is still there.
            // SAFETY: the caller says that this is a block of acre's
            return unsafe { ffi::realloc(p, new_size.max(1)) };
        }
        // SAFETY: the caller says that this is a block of that layout, and that the new size, rounded up
        // to the alignment, is no more than isize::MAX
        unsafe {
            let usable = ffi::malloc_usable_size(p);
            if new_size <= usable && new_size >= usable / 2 {
                return p;
            }
            move_block(p, layout, Layout::from_size_align_unchecked(new_size, layout.align()))
        }
    }
}

#[cfg(test)]
mod layout_test;
