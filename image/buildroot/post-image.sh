#!/bin/sh
# Buildroot calls it with the folder of images and the board's name. Boards with UEFI: image/common/assemble.sh, as for the Debian image;
# it needs sbsign (sbsigntool) of the building machine, Buildroot has none. Boards with U-Boot: image/common/assemble-uboot.sh.
set -eu
images=$1
board=$2
here=$(cd "$(dirname "$0")" && pwd)
common=$here/../common
python=$HOST_DIR/bin/python3
PATH=$HOST_DIR/bin:$HOST_DIR/sbin:$PATH
# shellcheck source=image/common/board.sh
. "$common/board.sh"

if [ "$(word bootloader)" = grub ]; then
    case $(word arch) in
    x86_64) short=x64 tuple=x86_64-efi ;;
    *) short=aa64 tuple=arm64-efi ;;
    esac
    cp "$images/rootfs.erofs" "$images/root.image"
    cp "$images/$(word kernel)" "$images/kernel"
    cp "$TARGET_DIR/usr/lib/os-release" "$images/os-release"
    # The pinned release builds the stub for x86 only: WARDGATE_STUB is one from elsewhere.
    cp "${WARDGATE_STUB:-$TARGET_DIR/usr/lib/systemd/boot/efi/linux$short.efi.stub}" "$images/stub.efi"
    cp "$images/shim$short.efi" "$images/shim.efi"
    for core in "$BUILD_DIR"/grub2-*/build-"$tuple"/grub-core; do :; done
    "$common/loader.sh" "$core" $tuple "$images/grub.efi"
    # The building machine's own may know no programs of another architecture, the toolchain's does.
    for tool in "$HOST_DIR/bin/$(word arch)"-*-objcopy; do
        [ ! -x "$tool" ] || export OBJCOPY="${OBJCOPY:-$tool}" OBJDUMP="${OBJDUMP:-${tool%objcopy}objdump}"
    done
    PYTHON=$python exec "$common/assemble.sh" "$board" "$images"
fi

cp "$images/rootfs.erofs" "$images/root.image"
cp "$images/$(word kernel)" "$images/kernel"
cp "$images/$(word dtb)" "$images/board.dtb"
PYTHON=$python exec "$common/assemble-uboot.sh" "$board" "$images"
