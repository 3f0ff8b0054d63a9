#!/bin/sh
# The end of a Buildroot build on a root of Debian's packages: as-buildroot.sh ROOT KERNEL BOARD OUT. Lays out in OUT what Buildroot has when it
# calls post-image.sh (images, host, target, build), with a kernel of our configuration (`make image-kernel`), and calls it: root in erofs,
# no initramfs, the kernel opens the root. Loader, stub and tools are the building machine's. LOADERS: where their folder /usr is.
set -eu
root=$1
kernel=$2
board=$3
out=$4
here=$(cd "$(dirname "$0")" && pwd)
buildroot=$here/../buildroot
common=$here/../common
loaders=${LOADERS:-}

# shellcheck source=image/common/board.sh
. "$common/board.sh"
fail() {
    printf 'as-buildroot: %s\n' "$*" >&2
    exit 1
}

[ "$(basename "$kernel")" = "$(word kernel)" ] || fail "KERNEL= is no $(word kernel) (make image-kernel BOARD=$board)"
command -v mkfs.erofs >/dev/null || fail "mkfs.erofs is not installed (erofs-utils)"
case $(word arch) in
x86_64) short=x64 tuple=x86_64-efi ;;
*) short=aa64 tuple=arm64-efi ;;
esac

# Modules are the kernel's own, if it has any: those of Debian's kernel do not load.
rm -rf "$root/usr/lib/modules" "$out/initrd.img"
mkdir "$root/usr/lib/modules"
modules=$(dirname "$kernel")/modules/lib/modules
[ ! -d "$modules" ] || cp -a "$modules/." "$root/usr/lib/modules/"

rm -rf "$out/host" "$out/build"
mkdir -p "$out/host/bin" "$out/host/sbin" "$out/build/grub2-debian/build-$tuple"
ln -s "$(command -v "${PYTHON:-python3}")" "$out/host/bin/python3"
ln -s "$loaders/usr/lib/grub/$tuple" "$out/build/grub2-debian/build-$tuple/grub-core"
install -D -m 0644 "$loaders/usr/lib/systemd/boot/efi/linux$short.efi.stub" "$root/usr/lib/systemd/boot/efi/linux$short.efi.stub"
cp "$loaders/usr/lib/shim/shim$short.efi" "$out/"
cp "$kernel" "$out/"
# The words of fs/erofs/erofs.mk for our configuration, but `-T`: here modules of Python lie beside their source, and are taken for old by its time.
rm -f "$out/rootfs.erofs"
mkfs.erofs -zlz4hc,9 -U00000000-0000-0000-0000-000000000000 "$out/rootfs.erofs" "$root" >"$out/erofs.log" 2>&1 || fail "mkfs.erofs: $(tail -n 1 "$out/erofs.log")"
HOST_DIR=$out/host TARGET_DIR=$root BUILD_DIR=$out/build "$buildroot/post-image.sh" "$out" "$board"
