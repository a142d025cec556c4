//! The structures and numbers of this crate are those of `acre/acre.h`. Needs a C compiler (CC), and the
//! header: in the directory ACRE_INCLUDE_DIR, or where the compiler finds it. Without a header it passes
//! and says so, unless ACRE_INCLUDE_DIR is set.

use crate::{ffi, BlockState, ClassStats, Format, MisuseKind, Stats};
use std::fmt::Write;
use std::mem::{size_of, MaybeUninit};
use std::process::Command;
use std::{env, fs, ptr};

/// A C expression, and what it must be.
type Expected = Vec<(String, usize)>;

macro_rules! expect_fields {
    ($expected:ident, $type:ty, $c_type:literal: $($field:ident)*) => {
        $expected.push((format!("sizeof({})", $c_type), size_of::<$type>()));
        $(
            let object = MaybeUninit::<$type>::uninit();
            // SAFETY: only an address is taken
            let field = unsafe { ptr::addr_of!((*object.as_ptr()).$field) as usize };
            let offset = field - object.as_ptr() as usize;
            $expected.push((format!("offsetof({}, {})", $c_type, stringify!($field)), offset));
        )*
    };
}

fn expected() -> Expected {
    let mut expected = Expected::new();
    expect_fields!(expected, Stats, "struct acre_stats": arenas arenas_pooled heaps heap_mapped
        heap_in_slabs heap_free_dirty small_live small_blocks large_live large_blocks large_stock
        metadata live mapped resident class_count classes);
    expect_fields!(expected, ClassStats, "struct acre_class_stats": block_size slabs blocks live_blocks);
    expect_fields!(expected, ffi::Block, "struct acre_block": address size block_class arena state);
    expect_fields!(expected, ffi::Error, "struct acre_error": kind function pointer block block_size
        arena depth stack requested offset);
    for (name, format) in [
        ("TEXT", Format::Text),
        ("JSON", Format::Json),
        ("PROMETHEUS", Format::Prometheus),
        ("XML", Format::Xml),
    ] {
        expected.push((format!("ACRE_STATS_{name}"), format as usize));
    }
    expected
}

/// The numbers that C has for what Rust calls by a name.
fn expected_names(prefix: &str, names: &[&str]) -> Expected {
    names.iter().enumerate().map(|(number, name)| (format!("{prefix}{name}"), number)).collect()
}

/// Compiles and runs a program that prints each expression; `None` if there is no header.
fn ask_compiler(expected: &Expected) -> Option<String> {
    let include = env::var("ACRE_INCLUDE_DIR").ok();
    let mut text = String::from("#include <acre/acre.h>\n#include <stdio.h>\nint main(void)\n{\n");
    for (expression, _) in expected {
        writeln!(text, "printf(\"%s %zu\\n\", \"{expression}\", (size_t)({expression}));").unwrap();
    }
    text.push_str("return 0;\n}\n");
    let directory = env::temp_dir().join(format!("acre-layout-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let (source, program) = (directory.join("layout.c"), directory.join("layout"));
    fs::write(&source, text).unwrap();
    let compiled = Command::new(env::var("CC").unwrap_or_else(|_| "cc".into()))
        .arg(format!("-I{}", include.as_deref().unwrap_or("/usr/include")))
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output();
    let printed = match &compiled {
        Ok(output) if output.status.success() => {
            let output = Command::new(&program).output().unwrap();
            Some(String::from_utf8(output.stdout).unwrap())
        }
        _ => None,
    };
    fs::remove_dir_all(&directory).unwrap();
    assert!(printed.is_some() || include.is_none(), "the header cannot be used: {compiled:?}");
    printed
}

#[test]
fn structures_are_those_of_the_header() {
    let mut expected = expected();
    expected.extend(expected_names("ACRE_BLOCK_", &["LIVE", "FREE", "CACHED", "REMOTE", "PURGED", "STOCK"]));
    expected.extend(expected_names(
        "ACRE_ERROR_",
        &["DOUBLE_FREE", "INTERIOR", "MISALIGNED", "FOREIGN", "OVERFLOW", "WRITTEN_AFTER_FREE"],
    ));
    match ask_compiler(&expected) {
        None => eprintln!("not compared: there is no acre/acre.h"),
        Some(printed) => {
            let wanted: String =
                expected.iter().map(|(expression, value)| format!("{expression} {value}\n")).collect();
            assert_eq!(printed, wanted);
        }
    }
}

#[test]
fn numbers_have_their_names() {
    let states = [
        BlockState::Live,
        BlockState::Free,
        BlockState::Cached,
        BlockState::Remote,
        BlockState::Purged,
        BlockState::Stock,
        BlockState::Other(6),
    ];
    for (number, state) in states.into_iter().enumerate() {
        assert_eq!(BlockState::from(number as u32), state);
    }
    let kinds = [
        MisuseKind::DoubleFree,
        MisuseKind::Interior,
        MisuseKind::Misaligned,
        MisuseKind::Foreign,
        MisuseKind::Overflow,
        MisuseKind::WrittenAfterFree,
        MisuseKind::Other(6),
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        assert_eq!(MisuseKind::from(number as u32), kind);
    }
}
