#!/bin/sh
# Buildroot calls it with the folder of images and the board's name. Boards with UEFI: image/common/assemble.sh, as for the Debian image;
# it needs sbsign (sbsigntool) of the building machine, Buildroot has none. Boards with U-Boot: below; nothing is signed there (docs/threat-model.md).
set -eu
images=$1
board=$2
here=$(cd "$(dirname "$0")" && pwd)
common=$here/../common
settings=$here/board/$board/board.toml
python=$HOST_DIR/bin/python3
PATH=$HOST_DIR/bin:$HOST_DIR/sbin:$PATH

word() { sed -n "s/^$1 = \"\\(.*\\)\"\$/\\1/p" "$settings"; }

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
    # Buildroot's GRUB says nothing of its revocation level (SBAT), which shim asks for.
    for core in "$BUILD_DIR"/grub2-*/build-"$tuple"/grub-core; do :; done
    # shellcheck disable=SC2046 # words
    grub-mkimage -d "$core" -O $tuple -o "$images/grub.efi" -p /EFI/BOOT --sbat "$common/boot/sbat.csv" $(cat "$common/boot/modules")
    PYTHON=$python exec "$common/assemble.sh" "$board" "$images"
fi

# Root with its hash tree behind it.
root=$images/root.img
cp "$images/rootfs.erofs" "$root"
bytes=$(stat -c %s "$root")
blocks=$(((bytes + 4095) / 4096))
truncate -s $((blocks * 4096)) "$root"
veritysetup format --data-block-size=4096 --hash-block-size=4096 --data-blocks="$blocks" --hash-offset=$((blocks * 4096)) \
    "$root" "$root" >"$images/verity.txt"
hash=$(sed -n 's/^Root hash:[[:space:]]*//p' "$images/verity.txt")
salt=$(sed -n 's/^Salt:[[:space:]]*//p' "$images/verity.txt")

# The kernel opens the root by itself (CONFIG_DM_INIT): no initramfs. One boot image for each slot: each names its own root.
command_line() {
    device=PARTLABEL=root_$1
    echo "root=/dev/dm-0 ro rootwait console=$(word console) quiet panic=10 lockdown=confidentiality rauc.slot=$2" \
        "dm-mod.waitfor=$device dm-mod.create=\"root,,,ro,0 $((blocks * 8)) verity 1 $device $device" \
        "4096 4096 $blocks $((blocks + 1)) sha256 $hash $salt 1 panic_on_corruption\""
}
for slot in a b; do
    upper=$(echo $slot | tr ab AB)
    tree=$images/boot_$slot
    rm -rf "$tree" "$images/boot_$slot.vfat"
    mkdir -p "$tree"
    cp "$images/$(word kernel)" "$tree/"
    [ -z "$(word dtb)" ] || cp "$images/$(word dtb)" "$tree/board.dtb"
    line=$(command_line $slot "$upper")
    printf 'bootargs=%s\n' "$line" >"$tree/cmdline.txt"
    truncate -s 48M "$images/boot_$slot.vfat"
    mkfs.vfat -n "BOOT_$upper" "$images/boot_$slot.vfat" >/dev/null
    mcopy -s -i "$images/boot_$slot.vfat" "$tree"/* ::
done

mkimage -A arm64 -T script -C none -d "$common/boot/uboot.cmd" "$images/boot.scr"
truncate -s 32M "$images/esp.vfat"
mkfs.vfat -n ESP "$images/esp.vfat" >/dev/null
mcopy -i "$images/esp.vfat" "$images/boot.scr" ::
set -- esp=esp.vfat boot=boot_a.vfat root=root.img --loader
for pair in $(sed -n 's/^loader = {\(.*\)}$/\1/p' "$settings" | tr -d ' "' | tr , ' '); do
    set -- "$@" "$pair"
done
"$python" "$common/layout.py" "$@" >"$images/genimage.cfg"
rm -rf "$images/genimage.tmp"
genimage --rootpath "$images/boot_a" --tmppath "$images/genimage.tmp" --inputpath "$images" --outputpath "$images" --config "$images/genimage.cfg"
