#!/bin/sh
# Makes of the compiler that is installed here, on Debian, what Buildroot takes as a toolchain: toolchain-debian.sh FOLDER. Seconds, instead of
# a download or an hour of compiling; for boards of this machine's own architecture. FOLDER/toolchain.config is then given as TOOLCHAIN=.
# What the box gets is Debian's C library. apt-get install gcc g++ libc6-dev linux-libc-dev
set -eu
[ $# = 1 ] || {
    echo "toolchain-debian.sh FOLDER" >&2
    exit 2
}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
tuple=$(gcc -dumpmachine)
version=$(gcc -dumpversion | cut -d . -f 1)
sysroot=$folder/sysroot

fail() {
    printf 'toolchain-debian: %s\n' "$*" >&2
    exit 1
}
[ -z "$(ls -A "$folder")" ] || fail "$folder is not empty"
# Files of these packages that are below /usr, as ./PATH; also where /lib is no link yet.
files() {
    for package in "$@"; do dpkg -L "$package:$(dpkg --print-architecture)" 2>/dev/null || dpkg -L "$package" || fail "$package is not installed"; done |
        sed -n 's,^/\(usr/\)*\(bin\|lib\|lib64\|libexec\|include\)/,/usr/\2/,p' | sort -u | while read -r file; do
            if [ ! -d "$file" ] || [ -L "$file" ]; then echo ".${file#/usr}"; fi
        done
}

# Compiler and binutils in a folder of their own: they look for everything else relative to where they lie, never in this system.
own="gcc-$version g++-$version cpp-$version libgcc-$version-dev libstdc++-$version-dev binutils-$(echo "$tuple" | tr _ -)"
for package in $own; do
    for split in "$package" "$package-$(echo "$tuple" | tr _ -)"; do
        if dpkg -L "$split" >/dev/null 2>&1; then files "$split"; fi
    done
done | grep -E "^\./(bin/$tuple-|libexec/gcc/|lib/gcc/|include/c\+\+/|include/$tuple/c\+\+/)" | sort -u | tar -C /usr -c -T - | tar -C "$folder" -x
mkdir -p "$folder/$tuple/bin"
for tool in as ld ld.bfd ar nm ranlib objcopy objdump strip readelf; do ln -s "../../bin/$tuple-$tool" "$folder/$tuple/bin/$tool"; done
for tool in gcc g++ cpp gcc-ar gcc-nm gcc-ranlib; do
    rm -f "$folder/bin/$tuple-$tool"
    case $tool in
    gcc-*) ln -s "$tuple-$tool-$version" "$folder/bin/$tuple-$tool" ;;
    *)
        # shellcheck disable=SC2016 # for the wrapper
        printf '#!/bin/sh\nd=$(dirname "$(readlink -f "$0")")\nexec "$d/%s-%s-%s" --sysroot="$d/../sysroot" "$@"\n' "$tuple" "$tool" "$version" \
            >"$folder/bin/$tuple-$tool"
        chmod +x "$folder/bin/$tuple-$tool"
        ;;
    esac
done

# The C library's side, without Debian's folder for each architecture.
mkdir -p "$sysroot/usr/lib" "$sysroot/usr/include" "$folder/new"
ln -s usr/lib "$sysroot/lib"
ln -s usr/lib "$sysroot/lib64"
ln -s lib "$sysroot/usr/lib64"
files libc6 libc6-dev linux-libc-dev libgcc-s1 libstdc++6 libatomic1 libgomp1 | tar -C /usr -c -T - | tar -C "$folder/new" -x
# Some headers are links out of that folder.
rm -rf "$folder/new/include/$tuple/asm"
cp -aL "/usr/include/$tuple/asm" "$folder/new/include/$tuple/asm"
cp -a "$folder/new/include/." "$sysroot/usr/include/"
cp -a "$sysroot/usr/include/$tuple/." "$sysroot/usr/include/"
rm -rf "$sysroot"/usr/include/*-linux-gnu*
cp -a "$folder/new/lib/$tuple/." "$sysroot/usr/lib/"
for loader in "$folder"/new/lib64/*; do
    name=$(basename "$loader")
    [ -e "$sysroot/usr/lib/$name" ] || cp -L "/lib64/$name" "$sysroot/usr/lib/$name"
done
rm -rf "$folder/new"
# Linker scripts name this system's folders.
grep -lI 'GNU ld script' "$sysroot"/usr/lib/*.so "$sysroot"/usr/lib/*.a | xargs sed -i "s,/usr/lib/$tuple/,,g; s,/lib/$tuple/,,g; s,/lib64/,,g"
# Also made by Buildroot, in a version of its own.
rm -f "$sysroot"/usr/lib/libcrypt* "$sysroot/usr/include/crypt.h"

# shellcheck disable=SC2046 # two words
set -- $(sed -n 's/^#define LINUX_VERSION_\(MAJOR\|PATCHLEVEL\) //p' "$sysroot/usr/include/linux/version.h")
cat >"$folder/toolchain.config" <<END
BR2_TOOLCHAIN_EXTERNAL=y
BR2_TOOLCHAIN_EXTERNAL_CUSTOM=y
BR2_TOOLCHAIN_EXTERNAL_PREINSTALLED=y
BR2_TOOLCHAIN_EXTERNAL_PATH="$folder"
BR2_TOOLCHAIN_EXTERNAL_CUSTOM_PREFIX="$tuple"
BR2_TOOLCHAIN_EXTERNAL_GCC_$version=y
BR2_TOOLCHAIN_EXTERNAL_HEADERS_$1_$2=y
BR2_TOOLCHAIN_EXTERNAL_CUSTOM_GLIBC=y
BR2_TOOLCHAIN_EXTERNAL_CXX=y
BR2_TOOLCHAIN_EXTERNAL_OPENMP=y
# BR2_TOOLCHAIN_EXTERNAL_INET_RPC is not set
END
