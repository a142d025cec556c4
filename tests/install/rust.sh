#!/bin/bash
# The Rust crate of bindings/rust on the acre of this build tree, without a network: its tests with the
# shared library and with the archive, with the trait Allocator, on an acre with a prefix; its documents,
# its example, what cargo package takes; clippy and rustfmt, where they are. CARGO may name another cargo.
# make check-rust runs this in the build tree.
#
# libdir, includedir and pkgconfigdir are as configured; ACRE_SHARED, ACRE_STATIC and ACRE_PREFIX say what
# was configured; CC is the compiler.
. "$(dirname "$0")/common.sh"
: "${libdir:?is not set: run this by make check-rust}"
cargo=${CARGO:-cargo}
command -v "$cargo" >/dev/null || skip "there is no cargo"
command -v pkg-config >/dev/null || skip "there is no pkg-config"
export CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$work/target CARGO_TERM_COLOR=never
unset ACRE_LIB_DIR ACRE_LIBRARY ACRE_OPTIONS LD_PRELOAD RUSTFLAGS
must cp -R "$source_tree/bindings/rust" "$work/crate"
chmod -R u+w "$work/crate"
cd "$work/crate" || exit 1
say "$("$cargo" --version)"

header=$source_tree/include/acre/acre.h
version=$(sed -n 's/^#define ACRE_VERSION_STRING "\(.*\)"$/\1/p' "$header")
grep -qx "version = \"$version\"" Cargo.toml || die "Cargo.toml has another version than acre.h: $version"

# Lets the compilers find what is installed below a directory, where it was configured.
use_root() { # DIRECTORY
    export PKG_CONFIG_SYSROOT_DIR=$1 PKG_CONFIG_LIBDIR=$1$pkgconfigdir LD_LIBRARY_PATH=$1$libdir
    export ACRE_INCLUDE_DIR=$1$includedir
}

tests() { # WORDS ARGUMENT...
    local words=$1
    shift
    must "$cargo" test --offline "$@"
    say "$words: $(awk '/^test result: ok/ { passed += $4; failed += $6 } END {
        print passed + 0, "tests passed" }' "$work/output")"
    grep -q '^test result: ok. [1-9]' "$work/output" || die "$words: no tests"
}

# True if a program needs the shared library.
needs_library() { readelf -d "$1" | grep -q 'NEEDED.*libacre'; }

# Builds and runs the example.
example() { # shared|static ARGUMENT...
    local linkage=$1
    shift
    must "$cargo" build --offline --example words "$@"
    echo 'a b a c a b' | "$CARGO_TARGET_DIR/debug/examples/words" >"$work/words" || die "words: $linkage"
    head -n 3 "$work/words" | tr -s ' \n' ' ' | grep -qx ' 3 a 2 b 1 c ' || die "words: $(cat "$work/words")"
    grep -q '^6 words, 3 different; [1-9][0-9]* live bytes in [1-9]' "$work/words" ||
        die "words: $(cat "$work/words")"
    if needs_library "$CARGO_TARGET_DIR/debug/examples/words"; then
        [ "$linkage" = shared ] || die "the static example needs libacre.so"
    else
        [ "$linkage" = static ] || die "the shared example does not need libacre.so"
    fi
}

features=()
if [ -n "$ACRE_PREFIX" ]; then
    [ "$ACRE_PREFIX" = acre_ ] || skip "the crate knows the prefix acre_ alone"
    features=(--features prefixed)
fi
must make -s -C "$build_tree" install DESTDIR="$work/root"
use_root "$work/root"
if [ "$ACRE_SHARED" = yes ]; then
    tests "shared" "${features[@]}"
    # a compiler that is not of the nightly kind is told to take unstable features all the same
    RUSTC_BOOTSTRAP=1 tests "Allocator" --features allocator_api --test allocator "${features[@]}"
    example shared "${features[@]}"
fi
if [ "$ACRE_STATIC" = yes ]; then
    tests "static" --features static "${features[@]}"
    example static --features static "${features[@]}"
fi

# ---- where the library is ----

linkage=shared
[ "$ACRE_SHARED" = yes ] || linkage=static
[ $linkage = shared ] || features+=(--features static)
PKG_CONFIG_LIBDIR=/nonexistent ACRE_LIB_DIR=$work/root$libdir example $linkage "${features[@]}"
for variables in "PKG_CONFIG_LIBDIR=/nonexistent" "PKG_CONFIG=/nonexistent" "ACRE_LIB_DIR=/nonexistent"; do
    env "$variables" "$cargo" build --offline "${features[@]}" >"$work/output" 2>&1 &&
        die "it is built with $variables"
    grep -q '^ *acre: .*\(ACRE_LIB_DIR\|there is no libacre\)' "$work/output" ||
        die "with $variables there is no message: $(cat "$work/output")"
done
say "found by pkg-config and by ACRE_LIB_DIR, and told where it is not"

# ---- documents, package, style ----

DOCS_RS=1 RUSTDOCFLAGS="-D warnings" must "$cargo" doc --offline --no-deps
[ -f "$CARGO_TARGET_DIR/doc/acre/struct.Acre.html" ] || die "there are no documents"
"$cargo" package --offline --list --allow-dirty 2>/dev/null >"$work/output" || die "cargo package --list"
for file in Cargo.toml README.md build.rs src/lib.rs examples/words.rs tests/global.rs; do
    grep -qx "$file" "$work/output" || die "cargo package leaves out $file"
done
grep -v -e '^Cargo\.' -e '^\.cargo_vcs' "$work/output" | while read -r file; do
    [ -f "$source_tree/bindings/rust/$file" ] || die "cargo package takes $file"
done || exit 1
must "$cargo" package --offline --allow-dirty "${features[@]}"
say "documents and package"
if "$cargo" clippy --version >/dev/null 2>&1; then
    must "$cargo" clippy --offline --all-targets "${features[@]}" -- -D warnings
    say "clippy has nothing to say"
else
    echo "skipped: there is no clippy"
fi
if "$cargo" fmt --version >/dev/null 2>&1; then
    must "$cargo" fmt --check
    say "the format is rustfmt's"
else
    echo "skipped: there is no rustfmt"
fi

# ---- beside the malloc of C ----

if [ -z "$ACRE_PREFIX" ]; then
    make_source
    mkdir "$work/prefixed"
    (cd "$work/prefixed" && must "$source/configure" -q --without-check --without-tools --disable-static \
        --with-prefix=acre_ CC="$CC" CFLAGS=-O1 --prefix="$work/prefix" && must make -s -j"$(nproc)" &&
        must make -s install) || exit 1
    libdir=$work/prefix/lib includedir=$work/prefix/include pkgconfigdir=$work/prefix/lib/pkgconfig
    use_root ""
    tests "prefixed" --features prefixed
    RUSTC_BOOTSTRAP=1 tests "prefixed, Allocator" --features prefixed,allocator_api --test allocator
    example shared --features prefixed
fi
say "passed"
