//! The unstable trait `Allocator`, for containers that are on acre while all else is not.
#![cfg(feature = "allocator_api")]
#![feature(allocator_api)]

use acre::{Acre, BlockState};
use std::alloc::{Allocator, Layout};
use std::ops::ControlFlow;
use std::ptr::NonNull;

const SIZES: [usize; 8] = [0, 1, 17, 100, 4096, 40_000, 300_000, 3_000_000];

fn alignments() -> impl Iterator<Item = usize> {
    [1, 16, 32, 4096, 1 << 21].into_iter()
}

fn layout(size: usize, alignment: usize) -> Layout {
    Layout::from_size_align(size, alignment).unwrap()
}

/// The compiler does not know what this returns, so it does not drop a block that is not used.
fn hide<T: Copy>(value: T) -> T {
    unsafe { std::ptr::read_volatile(&value) }
}

fn live_blocks() -> usize {
    let mut count = 0;
    let _: ControlFlow<()> = acre::heap_walk(|block| {
        count += (block.state == BlockState::Live) as usize;
        ControlFlow::Continue(())
    });
    count
}

unsafe fn fill(p: NonNull<u8>, size: usize) {
    for i in 0..size {
        p.as_ptr().add(i).write(i as u8 ^ 0x55);
    }
}

unsafe fn check(p: NonNull<u8>, size: usize) {
    for i in 0..size {
        assert_eq!(p.as_ptr().add(i).read(), i as u8 ^ 0x55, "byte {i} of {size}");
    }
}

fn is_good(block: NonNull<[u8]>, layout: Layout) -> NonNull<u8> {
    let p = block.cast::<u8>();
    assert!(block.len() >= layout.size());
    assert_eq!(p.as_ptr() as usize % layout.align(), 0, "{layout:?}");
    p
}

/// From each layout to each other one, and back to nothing: one block more while it lives, none after.
fn change_all(zeroes: bool) {
    for old in alignments().flat_map(|alignment| SIZES.map(|size| layout(size, alignment))) {
        for new in alignments().flat_map(|alignment| SIZES.map(|size| layout(size, alignment))) {
            unsafe {
                let p = is_good(Acre.allocate(old).unwrap(), old);
                let kept = old.size().min(new.size()).min(5000);
                fill(p, kept);
                let block = if new.size() < old.size() {
                    Acre.shrink(p, old, new)
                } else if zeroes {
                    Acre.grow_zeroed(p, old, new)
                } else {
                    Acre.grow(p, old, new)
                };
                let p = is_good(block.unwrap(), new);
                check(p, kept);
                if zeroes && new.size() > old.size() {
                    let end = std::slice::from_raw_parts(p.as_ptr().add(old.size()), new.size() - old.size());
                    assert!(end.iter().all(|&byte| byte == 0));
                }
                Acre.deallocate(p, new);
            }
        }
    }
}

/// One test: it counts blocks, and the test program's own are libc's, unless acre's malloc has C's name.
#[test]
fn layouts() {
    change_all(false);
    let before = live_blocks();
    change_all(false);
    change_all(true);
    assert_eq!(live_blocks(), before, "blocks are lost");

    for alignment in alignments() {
        let block =
            is_good(Acre.allocate_zeroed(layout(10_000, alignment)).unwrap(), layout(10_000, alignment));
        unsafe {
            assert!(std::slice::from_raw_parts(block.as_ptr(), 10_000).iter().all(|&byte| byte == 0));
            Acre.deallocate(block, layout(10_000, alignment));
        }
    }
    // no block is behind a size of zero
    let before = live_blocks();
    let none = Acre.allocate(layout(0, 4096)).unwrap();
    let zeroed = Acre.allocate_zeroed(layout(0, 64)).unwrap();
    assert_eq!((none.len(), zeroed.len(), live_blocks()), (0, 0, before));

    let most = isize::MAX as usize - (1 << 21) + 1;
    for alignment in alignments() {
        let too_large = layout(most, alignment);
        assert!(hide(Acre.allocate(too_large)).is_err());
        assert!(hide(Acre.allocate_zeroed(too_large)).is_err());
        let p = Acre.allocate(layout(100, alignment)).unwrap().cast::<u8>();
        unsafe {
            fill(p, 100);
            assert!(hide(Acre.grow(p, layout(100, alignment), too_large)).is_err());
            check(p, 100);
            Acre.deallocate(p, layout(100, alignment));
        }
    }
}

#[test]
fn containers() {
    let mut numbers = Vec::new_in(Acre);
    for i in 0..1_000_000u64 {
        numbers.push(i);
    }
    let address = numbers.as_ptr() as *const u8;
    let seen = acre::heap_walk(|block| {
        if block.address == address {
            ControlFlow::Break(block.state)
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(seen, ControlFlow::Break(BlockState::Live));
    assert_eq!(numbers.iter().sum::<u64>(), 499_999_500_000);
    numbers.truncate(10);
    numbers.shrink_to_fit();
    assert_eq!(*numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

    let boxed = Box::new_in([7u8; 5000], Acre);
    assert!(boxed.iter().all(|&byte| byte == 7));
    let empty: Vec<u8, Acre> = Vec::with_capacity_in(0, Acre);
    drop(empty);
    let units: Vec<(), Acre> = {
        let mut units = Vec::new_in(Acre);
        units.resize(100, ());
        units
    };
    assert_eq!(units.len(), 100);
}
