#!/bin/sh
# The initramfs of the Debian image, and fewer modules in its root: initramfs.sh ROOT OUT ARCH (amd64 or arm64).
# CC: the compiler, for that architecture.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$1
out=$2
tree=$root/usr/lib/modules
release=$(ls "$tree")
arch=$3
wanted() { sed -n -e "s/^$1 //p" -e "s/^$1-$arch //p" "$here/modules"; }

# Files of the modules named, each after what it needs.
files() {
    for module in "$@"; do
        chroot "$root" modprobe --set-version "$release" --show-depends "$module" || echo "$module" >>"$work/missing"
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$1]++'
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/modules" "$work/proc" "$work/sys" "$work/dev" "$work/root"
# shellcheck disable=SC2046 # words
files $(wanted initramfs) >"$work/list"
# shellcheck disable=SC2046
files $(wanted root) >"$work/keep"
: >"$work/modules/order"
# Debian packs each module; here what they are in is packed as a whole, and the start need not unpack them one by one.
while read -r file; do
    name=$(basename "$file" .xz)
    case $file in
    *.xz) xz -dc "$root$file" >"$work/modules/$name" ;;
    *) cp "$root$file" "$work/modules/$name" ;;
    esac
    echo "$name" >>"$work/modules/order"
done <"$work/list"
rm "$work/list"

if [ -s "$work/missing" ]; then
    echo "debian: not among the kernel's modules: $(tr '\n' ' ' <"$work/missing")" >&2
    exit 1
fi
sed "s|^.*/$release/||" "$work/keep" >"$out/modules.kept"
rm "$work/keep"
(cd "$tree/$release" && find kernel -name '*.ko*' | grep -Fxv -f "$out/modules.kept" | xargs rm -f && find kernel -name '*.ko.xz' -exec unxz {} + && find kernel -type d -empty -delete)
chroot "$root" depmod "$release"

# One program without a library. Its source says why it is none of Debian's.
"${CC:-cc}" -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -nostdlib -static -fno-pie -no-pie \
    -Wl,--build-id=none,-s,-z,noexecstack -o "$work/init" "$here/init.c"
chmod 0755 "$work/init"
# Firmware and shim read the slot's program byte by byte several times: each megabyte less is most of a second in emulation.
(cd "$work" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | zstd -q -19 -c >"$out/initrd.img"
