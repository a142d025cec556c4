#!/bin/bash
# The Alpine package of packaging/alpine, as far as it can be tried without Alpine: the shell has nothing to
# say to the APKBUILD; what abuild requires is in it; its functions build, check, install and split what make
# dist gives, here with the machine's compiler and C library, by stand-ins for abuild's own functions; each
# installed file is in the package where it belongs. make check-alpine runs this in the build tree.
. "$(dirname "$0")/common.sh"
apkbuild=$source_tree/packaging/alpine/APKBUILD
shells=(sh)
! command -v busybox >/dev/null || shells+=("busybox sh") # Alpine's

say "the shell reads it"
for shell in "${shells[@]}"; do
    # shellcheck disable=SC2086  # a command and its argument
    must $shell -n "$apkbuild"
done
make_archive
grep -qx "pkgver=$version" "$apkbuild" || die "the APKBUILD has another version than $version"
for name in pkgname pkgver pkgrel pkgdesc url arch license source; do
    grep -Eq "^$name=\"?[^\" ]" "$apkbuild" || die "the APKBUILD has no $name"
done

say "build, check, package"
mkdir "$work/src" "$work/pkg"
must tar -xJf "$archive" -C "$work/src"
triplet=$("$work/src/acre-$version/build-aux/config.guess")
# What abuild does around the functions: a step in a shell of its own, with -e, in the directory $builddir.
cat >"$work/abuild" <<'END'
set -e
srcdir=$1/src startdir=$1 pkgdir=$1/pkg/acre CBUILD=$3 CHOST=$3
. "$2"
amove() {
    for _pattern; do
        for _file in $(cd "$pkgdir" && ls -d $_pattern); do
            mkdir -p "$subpkgdir/$(dirname "$_file")"
            mv "$pkgdir/$_file" "$subpkgdir/$_file"
        done
    done
}
# abuild's own, of which the first takes what programs are built with
default_dev() { amove 'usr/include' 'usr/lib/*.a' 'usr/lib/*.so' 'usr/lib/pkgconfig' 'usr/lib/cmake'; }
default_doc() { amove usr/share/doc usr/share/man; }
cd "$builddir"
case $4 in
split)
    for _package in $subpackages; do
        _function=${_package##*-}
        subpkgdir=$1/pkg/$_package
        case $_function in
        dev | doc) default_$_function ;;
        *) $_function ;;
        esac
    done
    ;;
*) $4 ;;
esac
END
for step in build check package split; do
    must env MAKEFLAGS="-j$(nproc)" sh "$work/abuild" "$work" "$apkbuild" "$triplet" "$step"
done

say "the packages"
contents() { (cd "$work/pkg/$1" && find . ! -type d | sort); }
expect() { # PACKAGE PATTERN...
    local package=$1 pattern
    shift
    for pattern; do
        contents "$package" | grep -Eqx "\./usr/$pattern" || die "$package has no $pattern: $(contents "$package")"
    done
    # nothing else
    contents "$package" | grep -Evx "\./usr/($(IFS='|' && echo "$*"))" && die "these do not belong into $package"
}
expect acre 'lib/libacre\.so\.0(\.[0-9.]*)?'
expect acre-jemalloc 'lib/libacre-jemalloc\.so\.0(\.[0-9.]*)?'
expect acre-tools bin/acre-run bin/acre-inspect bin/acre-profile share/acre/acre.gdb
expect acre-dev 'include/acre/.*' 'lib/libacre(-jemalloc)?\.(a|so)' 'lib/pkgconfig/acre(-jemalloc)?\.pc' 'lib/cmake/acre/.*'
expect acre-doc 'share/doc/acre/.*' 'share/man/man1/acre-(run|inspect|profile)\.1' 'share/man/man3/.*' 'share/man/man5/.*' 'share/man/man7/.*'

mkdir "$work/root"
for package in acre acre-tools; do
    must cp -a "$work/pkg/$package/." "$work/root"
done
must "$work/root/usr/bin/acre-run" --stats sort --version
grep -q 'live TINY and SMALL' "$work/output" || die "the packaged acre-run does not run sort on acre"
say "passed"
