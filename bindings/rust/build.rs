//! Finds the installed library: in the directory of ACRE_LIB_DIR, or by pkg-config.

use std::env;
use std::path::Path;
use std::process::{exit, Command};

fn fail(message: &str) -> ! {
    eprintln!("acre: {message}");
    exit(1)
}

/// The directories that pkg-config names, also those that the linker would search by itself: rustc
/// looks for an archive in named directories alone.
fn ask_pkg_config() -> Vec<String> {
    let command = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let wanted = concat!("acre >= ", env!("CARGO_PKG_VERSION"));
    let output = Command::new(&command)
        .args(["--libs-only-L", wanted])
        .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1")
        .output()
        .unwrap_or_else(|error| {
            fail(&format!(
                "{command} cannot be run ({error}); ACRE_LIB_DIR may name the directory of the library"
            ))
        });
    if !output.status.success() {
        fail(&format!(
            "{command} finds no \"{wanted}\"; ACRE_LIB_DIR may name the directory of the library.\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("-L"))
        .map(String::from)
        .collect()
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in [
        "ACRE_LIB_DIR",
        "DOCS_RS",
        "PKG_CONFIG",
        "PKG_CONFIG_LIBDIR",
        "PKG_CONFIG_PATH",
        "PKG_CONFIG_SYSROOT_DIR",
    ] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if env::var_os("DOCS_RS").is_some() {
        return; // only the documents are built, where there is no acre
    }
    let is_static = env::var_os("CARGO_FEATURE_STATIC").is_some();
    // Not the whole archive, which has operators of C++ in it; some versions of rustc would take it all.
    let (kind, file) =
        if is_static { ("static:-whole-archive", "libacre.a") } else { ("dylib", "libacre.so") };
    let directories = match env::var("ACRE_LIB_DIR") {
        Ok(directory) => vec![directory],
        Err(_) => ask_pkg_config(),
    };
    if !directories.iter().any(|directory| Path::new(directory).join(file).exists()) {
        fail(&format!("there is no {file} in {}", directories.join(" ")));
    }
    for directory in directories {
        println!("cargo:rustc-link-search=native={directory}");
    }
    println!("cargo:rustc-link-lib={kind}=acre");
}
