//! The unstable trait `Allocator`.

use std::alloc::{AllocError, Allocator, GlobalAlloc, Layout};
use std::ptr::{self, NonNull};

use crate::{move_block, Acre, BLOCK_ALIGNMENT};

fn to_slice(p: NonNull<u8>, size: usize) -> NonNull<[u8]> {
    // SAFETY: what comes from a NonNull is not null. (Its own function for this is of a later Rust.)
    unsafe { NonNull::new_unchecked(ptr::slice_from_raw_parts_mut(p.as_ptr(), size)) }
}

/// What stands for a block of no bytes: it is aligned, and never given back.
fn no_bytes(layout: Layout) -> NonNull<[u8]> {
    // SAFETY: an alignment is not zero
    let p = unsafe { NonNull::new_unchecked(ptr::null_mut::<u8>().wrapping_add(layout.align())) };
    to_slice(p, 0)
}

fn to_result(p: *mut u8, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let p = NonNull::new(p).ok_or(AllocError)?;
    Ok(to_slice(p, layout.size()))
}

/// Changes the size, and perhaps the alignment, of a block; neither size is zero.
unsafe fn resize(p: *mut u8, old: Layout, new: Layout) -> *mut u8 {
    // SAFETY: the caller says that this is a block of the old layout
    unsafe {
        let same = old.align() == new.align();
        if same || (old.align() <= BLOCK_ALIGNMENT && new.align() <= BLOCK_ALIGNMENT) {
            Acre.realloc(p, old, new.size())
        } else {
            move_block(p, old, new)
        }
    }
}

// SAFETY: a block stays until it is given back, by whatever value of Acre.
unsafe impl Allocator for Acre {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            return Ok(no_bytes(layout));
        }
        // SAFETY: the size is not zero
        to_result(unsafe { self.alloc(layout) }, layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            return Ok(no_bytes(layout));
        }
        // SAFETY: the size is not zero
        to_result(unsafe { self.alloc_zeroed(layout) }, layout)
    }

    #[inline]
    unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: the caller says that this is a block of that layout
            unsafe { self.dealloc(p.as_ptr(), layout) }
        }
    }

    #[inline]
    unsafe fn grow(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() == 0 {
            return self.allocate(new);
        }
        // SAFETY: the old size is not zero, and the new one is not smaller
        to_result(unsafe { resize(p.as_ptr(), old, new) }, new)
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        p: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() == 0 {
            return self.allocate_zeroed(new);
        }
        // SAFETY: as grow; the bytes that are written are the block's last ones
        unsafe {
            let block = self.grow(p, old, new)?;
            let end = block.cast::<u8>().as_ptr().add(old.size());
            ptr::write_bytes(end, 0, new.size() - old.size());
            Ok(block)
        }
    }

    #[inline]
    unsafe fn shrink(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if new.size() == 0 {
            // SAFETY: the caller says that this is a block of the old layout
            unsafe { self.deallocate(p, old) };
            return Ok(no_bytes(new));
        }
        // SAFETY: neither size is zero
        to_result(unsafe { resize(p.as_ptr(), old, new) }, new)
    }
}
