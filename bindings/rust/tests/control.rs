//! Options, limit, profile, text, walks: what is not the allocator itself.

use acre::{Acre, BlockState, Format};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::panic::catch_unwind;

#[global_allocator]
static GLOBAL: Acre = Acre;

/// A file without a name.
fn scratch() -> File {
    let path =
        std::env::temp_dir().join(format!("acre-{}-{:?}", std::process::id(), std::thread::current().id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a temporary file");
    std::fs::remove_file(path).unwrap();
    file
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn version_is_the_crates() {
    assert_eq!(acre::version(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn options() {
    acre::option_set("decay", "1234").unwrap();
    assert_eq!(acre::option_get("decay").unwrap(), "1234");
    acre::options_parse("decay:2345", "the test").unwrap();
    assert_eq!(acre::option_get("decay").unwrap(), "2345");
    assert_eq!(acre::option_get("no_such_option").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(acre::option_set("no_such_option", "1").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(acre::option_set("decay", "soon").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(acre::option_set("de\0cay", "1").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(acre::options_parse("decay:soon", "the test").unwrap_err().kind(), ErrorKind::InvalidInput);
    let file = scratch();
    acre::options_print(&file);
    assert!(text(file).contains("decay"));
}

/// A value that is longer than the first piece of memory that is offered for it.
#[test]
fn a_long_option() {
    let path = format!("/nonexistent/{}", "x".repeat(60));
    acre::option_set("stats_file", &path).unwrap();
    assert_eq!(acre::option_get("stats_file").unwrap(), path);
    acre::option_set("stats_file", "").unwrap();
}

#[test]
fn the_limit() {
    let limit = acre::limit();
    assert_eq!(limit.most, None);
    let block = vec![1u8; 64 << 20];
    assert!(acre::limit().held >= block.len());
    acre::option_set("limit", "2G").unwrap();
    assert_eq!(acre::limit().most, Some(2 << 30));
    let mut more: Vec<u8> = Vec::new();
    assert!(more.try_reserve_exact(3 << 30).is_err());
    acre::option_set("limit", "0").unwrap();
    assert_eq!(acre::limit().most, None);
    assert!(more.try_reserve_exact(3 << 30).is_ok());
}

#[test]
fn the_profile() {
    assert_eq!(acre::profile_stop().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(acre::profile_mark().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(acre::profile_start(0).unwrap_err().kind(), ErrorKind::InvalidInput);
    acre::profile_start(1).unwrap();
    acre::profile_mark().unwrap();
    let block = vec![1u8; 1000];
    acre::profile_stop().unwrap();
    drop(block);
}

#[test]
fn statistics_as_text() {
    for (format, start) in [
        (Format::Text, "acre"),
        (Format::Json, "{"),
        (Format::Prometheus, "# HELP"),
        (Format::Xml, "<malloc version=\"1\">"),
    ] {
        let file = scratch();
        acre::stats_print(&file, format);
        let text = text(file);
        assert!(text.starts_with(start), "{format:?}: {text}");
    }
}

#[test]
fn sizes() {
    assert!(acre::good_size(100).unwrap() >= 100);
    assert_eq!(acre::good_size(usize::MAX), None);
    assert_eq!(unsafe { acre::usable_size(std::ptr::null()) }, 0);
}

#[test]
fn walks() {
    let block = vec![1u8; 5_000_000];
    let found = acre::heap_walk(|seen| {
        if seen.address == block.as_ptr() {
            ControlFlow::Break(seen)
        } else {
            ControlFlow::Continue(())
        }
    });
    match found {
        ControlFlow::Break(seen) => {
            assert_eq!((seen.state, seen.arena, seen.block_class), (BlockState::Live, 0, 0));
            assert!(seen.size >= block.len());
        }
        ControlFlow::Continue(()) => panic!("the block is not found"),
    }
    // the callback may allocate, and end the walk by a panic
    let mut seen = Vec::new();
    let end: ControlFlow<()> = acre::heap_walk(|block| {
        seen.push(block.address);
        ControlFlow::Continue(())
    });
    assert!(end.is_continue() && seen.len() > 10);
    let panic = catch_unwind(|| {
        let _: ControlFlow<()> = acre::heap_walk(|_| panic!("out of the walk"));
    });
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"out of the walk"));
}

#[test]
fn idle_memory_goes_back() {
    drop(vec![1u8; 900_000]);
    acre::thread_flush();
    acre::trim();
    acre::check().unwrap();
}
