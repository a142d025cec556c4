//! Misuses of the allocator end the process with a report, or call the handler. Each runs in a process
//! of its own: this test program, started again.

use acre::{Acre, Misuse, MisuseKind};
use std::alloc::{alloc, dealloc, realloc, Layout};
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static GLOBAL: Acre = Acre;

const SIGABRT: i32 = 6;
const SMALL: Layout = unsafe { Layout::from_size_align_unchecked(48, 8) };
const ALIGNED: Layout = unsafe { Layout::from_size_align_unchecked(10_000, 4096) };

/// The compiler does not know what this returns, so it neither drops a block nor what is wrong with it.
fn hide(p: *mut u8) -> *mut u8 {
    unsafe { std::ptr::read_volatile(&p) }
}

/// Runs one test that is ignored otherwise.
fn run(test: &str, options: &str) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", test])
        .env("ACRE_OPTIONS", options)
        .output()
        .unwrap()
}

fn ends_with_report(test: &str, words: &[&str]) {
    let output = run(test, "");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(SIGABRT), "{test}: {text}");
    for word in words {
        assert!(text.contains(word), "{test}: no \"{word}\" in {text}");
    }
}

#[test]
fn misuses_are_named() {
    ends_with_report("double_free", &["double free", "free_sized(0x"]);
    ends_with_report("double_free_aligned", &["double free", "free_aligned_sized(0x"]);
    ends_with_report("interior", &["interior", "free_sized(0x"]);
    ends_with_report("foreign", &["foreign", "free_sized(0x"]);
    ends_with_report("realloc_after_free", &["double free", "realloc(0x"]);
    ends_with_report("aligned_realloc_after_free", &["double free"]);
}

#[test]
#[ignore]
fn double_free() {
    unsafe {
        let p = hide(alloc(SMALL));
        dealloc(p, SMALL);
        dealloc(hide(p), SMALL);
    }
}

#[test]
#[ignore]
fn double_free_aligned() {
    unsafe {
        let p = hide(alloc(ALIGNED));
        dealloc(p, ALIGNED);
        dealloc(hide(p), ALIGNED);
    }
}

#[test]
#[ignore]
fn interior() {
    unsafe { dealloc(hide(alloc(SMALL)).add(16), SMALL) }
}

#[test]
#[ignore]
fn foreign() {
    #[repr(align(16))]
    struct Aligned([u8; 64]);
    let mut local = Aligned([0; 64]);
    unsafe { dealloc(local.0.as_mut_ptr(), SMALL) }
}

#[test]
#[ignore]
fn realloc_after_free() {
    unsafe {
        let p = hide(alloc(SMALL));
        dealloc(p, SMALL);
        let _ = realloc(hide(p), SMALL, 1000);
    }
}

#[test]
#[ignore]
fn aligned_realloc_after_free() {
    unsafe {
        let p = hide(alloc(ALIGNED));
        dealloc(p, ALIGNED);
        let _ = realloc(hide(p), ALIGNED, 100_000);
    }
}

#[test]
fn the_handler_is_called() {
    let output = run("handler", "on_error:report");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let output = run("handler_panics", "on_error:report");
    assert_eq!(output.status.signal(), Some(SIGABRT));
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

fn count(misuse: &Misuse) {
    // a handler may allocate
    let text = format!("{misuse:?}");
    assert!(text.contains("DoubleFree"));
    assert_eq!(misuse.kind, MisuseKind::DoubleFree);
    assert_eq!(misuse.function.to_bytes(), b"free_sized");
    assert_eq!(misuse.pointer as usize, ADDRESS.load(Ordering::Relaxed));
    assert_eq!(misuse.block, misuse.pointer);
    assert!(misuse.block_size >= 48 && misuse.arena >= 1 && !misuse.stack.is_empty());
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn other(_: &Misuse) {
    CALLS.fetch_add(100, Ordering::Relaxed);
}

fn address(handler: Option<fn(&Misuse)>) -> usize {
    handler.map_or(0, |handler| handler as usize)
}

#[test]
#[ignore]
fn handler() {
    assert!(acre::set_error_handler(Some(other)).is_none());
    assert_eq!(address(acre::set_error_handler(Some(count))), other as *const () as usize);
    unsafe {
        let p = hide(alloc(SMALL));
        ADDRESS.store(p as usize, Ordering::Relaxed);
        dealloc(p, SMALL);
        dealloc(hide(p), SMALL);
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
        assert_eq!(address(acre::set_error_handler(None)), count as *const () as usize);
        dealloc(p, SMALL);
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    }
}

#[test]
#[ignore]
fn handler_panics() {
    acre::set_error_handler(Some(|_| panic!("in the handler")));
    unsafe {
        let p = hide(alloc(SMALL));
        dealloc(p, SMALL);
        dealloc(hide(p), SMALL);
    }
}
