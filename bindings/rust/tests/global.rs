//! Acre as the global allocator: sizes, alignments, contents, threads.

use acre::{Acre, BlockState};
use std::alloc::{alloc, alloc_zeroed, dealloc, realloc, GlobalAlloc, Layout};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::ptr;
use std::sync::{mpsc, Mutex, MutexGuard};
use std::thread;

#[global_allocator]
static GLOBAL: Acre = Acre;

/// What is counted belongs to one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The compiler does not know what this returns, so it does not drop a block that is not used.
fn hide(p: *mut u8) -> *mut u8 {
    unsafe { ptr::read_volatile(&p) }
}

fn is_live(address: *const u8) -> bool {
    acre::heap_walk(|block| {
        if block.address == address && block.state == BlockState::Live {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .is_break()
}

const SIZES: [usize; 14] = [1, 7, 8, 16, 17, 63, 100, 1000, 4096, 5000, 40_000, 300_000, 1 << 20, 3_000_000];

fn alignments() -> impl Iterator<Item = usize> {
    (0..=21).map(|exponent| 1 << exponent)
}

fn byte(i: usize, seed: usize) -> u8 {
    (i.wrapping_mul(31) ^ seed) as u8
}

unsafe fn fill(p: *mut u8, size: usize, seed: usize) {
    for i in 0..size {
        p.add(i).write(byte(i, seed));
    }
}

unsafe fn check(p: *const u8, size: usize, seed: usize) {
    for i in 0..size {
        assert_eq!(p.add(i).read(), byte(i, seed), "byte {i} of {size}");
    }
}

#[test]
fn blocks_are_acres() {
    let boxed = Box::new([1u8; 100]);
    assert!(is_live(boxed.as_ptr()));
    let text = String::from("a text");
    assert!(is_live(text.as_ptr()));
    let numbers: Vec<u64> = (0..1_000_000).collect();
    assert!(is_live(numbers.as_ptr().cast()));
    let address = text.as_ptr();
    drop(text);
    assert!(!is_live(address));
}

/// C's malloc is acre's too, except beside an acre that has other names.
#[test]
fn blocks_of_c() {
    extern "C" {
        fn strdup(text: *const std::os::raw::c_char) -> *mut std::os::raw::c_char;
        fn free(p: *mut std::os::raw::c_char);
    }
    unsafe {
        let copy = strdup(b"of C\0".as_ptr().cast());
        assert_eq!(is_live(copy as *const u8), cfg!(not(feature = "prefixed")));
        free(copy);
    }
}

#[test]
fn every_size_at_every_alignment() {
    for alignment in alignments() {
        for size in SIZES {
            let layout = Layout::from_size_align(size, alignment).unwrap();
            unsafe {
                let p = hide(alloc(layout));
                assert!(!p.is_null() && p as usize % alignment == 0, "{layout:?}: {p:?}");
                assert!(acre::usable_size(p) >= size);
                fill(p, size, alignment);
                let other = alloc(layout);
                assert!(!other.is_null() && other as usize % alignment == 0);
                ptr::write_bytes(other, 0xff, size);
                check(p, size, alignment);
                dealloc(other, layout);
                dealloc(p, layout);
            }
        }
    }
    acre::check().unwrap();
}

#[test]
fn zeroed_blocks_are_zero() {
    for alignment in alignments() {
        for size in SIZES {
            let layout = Layout::from_size_align(size, alignment).unwrap();
            unsafe {
                // memory that was written to before
                let dirty = alloc(layout);
                ptr::write_bytes(dirty, 0xff, size);
                dealloc(dirty, layout);
                let p = hide(alloc_zeroed(layout));
                assert!(!p.is_null() && p as usize % alignment == 0);
                assert!(std::slice::from_raw_parts(p, size).iter().all(|&byte| byte == 0));
                dealloc(p, layout);
            }
        }
    }
}

#[test]
fn realloc_keeps_contents_and_alignment() {
    for alignment in alignments() {
        for old in SIZES {
            for new in [1, 24, old / 2, old - 1, old, old + 1, old * 2, old + 5000] {
                if new == 0 {
                    continue;
                }
                unsafe {
                    let p = alloc(Layout::from_size_align(old, alignment).unwrap());
                    let kept = old.min(new).min(10_000);
                    fill(p, kept, old);
                    let p = realloc(p, Layout::from_size_align(old, alignment).unwrap(), new);
                    assert!(!p.is_null() && p as usize % alignment == 0, "{old} to {new} at {alignment}");
                    assert!(acre::usable_size(p) >= new);
                    check(p, kept, old);
                    p.add(new - 1).write(1);
                    dealloc(p, Layout::from_size_align(new, alignment).unwrap());
                }
            }
        }
    }
    acre::check().unwrap();
}

/// A block that shrinks to a small part of itself does not keep all of its memory.
#[test]
fn realloc_gives_memory_back() {
    for alignment in alignments() {
        unsafe {
            let p = alloc(Layout::from_size_align(8 << 20, alignment).unwrap());
            let p = realloc(p, Layout::from_size_align(8 << 20, alignment).unwrap(), 100);
            assert!(acre::usable_size(p) <= 4 << 20, "at {alignment}: {} bytes", acre::usable_size(p));
            dealloc(p, Layout::from_size_align(100, alignment).unwrap());
        }
    }
}

/// What the trait forbids must not lose a block, or make two owners of one.
#[test]
fn sizes_of_zero() {
    for alignment in alignments() {
        let none = Layout::from_size_align(0, alignment).unwrap();
        let some = Layout::from_size_align(100, alignment).unwrap();
        unsafe {
            let first = Acre.alloc(none);
            let second = Acre.alloc_zeroed(none);
            assert!(!first.is_null() && !second.is_null() && first != second);
            Acre.dealloc(first, none);
            Acre.dealloc(second, none);
            let p = Acre.alloc(some);
            let p = Acre.realloc(p, some, 0);
            assert!(!p.is_null() && is_live(p) && p as usize % alignment == 0);
            Acre.dealloc(p, none);
            assert!(!is_live(p));
        }
    }
}

#[test]
fn what_cannot_be_had_is_null() {
    for alignment in alignments() {
        let most = isize::MAX as usize + 1 - alignment;
        let layout = Layout::from_size_align(most, alignment).unwrap();
        let some = Layout::from_size_align(100, alignment).unwrap();
        unsafe {
            assert!(hide(alloc(layout)).is_null());
            assert!(hide(alloc_zeroed(layout)).is_null());
            let p = alloc(some);
            fill(p, 100, 1);
            assert!(hide(realloc(p, some, most)).is_null());
            // the block is still there
            check(p, 100, 1);
            dealloc(p, some);
        }
    }
    let mut numbers: Vec<u64> = vec![1, 2, 3];
    assert!(numbers.try_reserve_exact(1 << 59).is_err());
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn figures_follow_the_program() {
    let _alone = alone();
    const COUNT: usize = 50_000;
    let before = acre::stats();
    let blocks: Vec<Box<[u8; 1000]>> = (0..COUNT).map(|_| Box::new([1; 1000])).collect();
    let large = vec![1u8; 300 << 20];
    let during = acre::stats();
    assert!(during.small_blocks >= before.small_blocks + COUNT - 1000);
    assert!(during.live >= before.live + COUNT * 1000 + large.len() - (16 << 20));
    assert!(during.large_live >= large.len());
    assert_eq!(during.live, during.small_live + during.large_live);
    assert!(during.resident >= large.len());
    let classes = during.classes();
    assert!(classes.len() > 20 && classes.windows(2).all(|two| two[0].block_size < two[1].block_size));
    let counted: usize = classes.iter().map(|class| class.block_size * class.live_blocks).sum();
    assert_eq!(counted, during.small_live);
    drop(blocks);
    drop(large);
    acre::trim();
    let after = acre::stats();
    assert!(after.live + (300 << 20) < during.live);
    assert!(after.resident + (250 << 20) < during.resident);
}

/// Blocks cross threads in all directions, and are resized and freed by others than their makers.
#[test]
fn threads() {
    const THREADS: usize = 8;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| mpsc::channel::<(usize, Vec<u8>)>()).unzip();
    let workers: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(number, receiver)| {
            let senders = senders.clone();
            thread::spawn(move || {
                let mut random = number as u32 + 1;
                let mut kept: HashMap<usize, Vec<u8>> = HashMap::new();
                for round in 0..3000 {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let size = 1 + (random >> 8) as usize % if round % 100 == 0 { 200_000 } else { 1500 };
                    let mark = random as usize & 0xff;
                    let block = vec![mark as u8; size];
                    senders[(random >> 16) as usize % THREADS].send((mark, block)).unwrap();
                    while let Ok((mark, mut block)) = receiver.try_recv() {
                        assert!(block.iter().all(|&byte| byte == mark as u8));
                        block.resize(block.len() * 2, mark as u8);
                        kept.insert(round % 500, block);
                    }
                }
                drop(senders);
                receiver.iter().map(|(_, block)| block.len()).sum::<usize>()
            })
        })
        .collect();
    drop(senders);
    for worker in workers {
        worker.join().unwrap();
    }
    acre::check().unwrap();
}

#[test]
fn collections() {
    let mut tree = BTreeMap::new();
    for i in 0..100_000u64 {
        tree.insert(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i.to_string());
    }
    for i in (0..100_000u64).step_by(2) {
        assert_eq!(tree.remove(&i.wrapping_mul(0x9e37_79b9_7f4a_7c15)), Some(i.to_string()));
    }
    assert_eq!(tree.len(), 50_000);

    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let mut pages: Vec<Page> = Vec::new();
    for i in 0..300 {
        pages.push(Page([i as u8; 4096]));
        assert_eq!(pages.as_ptr() as usize % 4096, 0);
    }
    assert!(pages.iter().enumerate().all(|(i, page)| page.0.iter().all(|&byte| byte == i as u8)));
}
