#!/bin/sh
# From a root to a disk, for boards that start by U-Boot: assemble-uboot.sh BOARD OUT. Reads OUT/root.image (erofs), OUT/kernel, OUT/board.dtb,
# the loaders that board.toml names, OUT/initrd.img (if there). Makes OUT/root.img (with its hash tree), OUT/boot.vfat (the signed FIT),
# OUT/env.img (what U-Boot counts), OUT/wardgate.img (the disk), OUT/bundle (what an update carries).
# WARDGATE_FIT_KEY: as in fit.sh; without it the development key of OUT/boot-key. OUT/u-boot.dtb (Buildroot, image-uboot): the FIT must be one
# that this loader starts, else no disk is made. WARDGATE_FIT_CHECK: U-Boot's fit_check_sign.
set -eu
board=$1
out=$(cd "$2" && pwd)
common=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=image/common/slot.sh
. "$common/slot.sh"

hash_root
for slot in a b; do command_line $slot >"$out/line-$slot"; done
[ ! -f "$out/initrd.img" ] || export WARDGATE_FIT_RAMDISK="$out/initrd.img"
WARDGATE_FIT_KEY=${WARDGATE_FIT_KEY:-$out/boot-key} WARDGATE_FIT_ADDRESS=$(word fit_kernel) \
    "$common/fit.sh" "$out/wardgate.itb" "$out/kernel" "$out/board.dtb" "a=$out/line-a" "b=$out/line-b"
rm "$out/line-a" "$out/line-b"
if [ -f "$out/u-boot.dtb" ]; then
    for slot in a b; do
        "${WARDGATE_FIT_CHECK:-fit_check_sign}" -f "$out/wardgate.itb" -k "$out/u-boot.dtb" -c $slot >"$out/fit.log" 2>&1 || {
            tail -n 3 "$out/fit.log" >&2
            echo "assemble: this board's U-Boot has another key than the one that signed: it would start nothing" >&2
            exit 1
        }
    done
fi
vfat "$out/boot.vfat" BOOT boot_a
mcopy -m -i "$out/boot.vfat" "$out/wardgate.itb" ::

# Two copies, the same.
# shellcheck disable=SC2046 # words
set -- $("$python" "$common/uboot.py" --place)
size=$1
shift
rm -f "$out/env.img"
"$python" "$common/uboot.py" --counting | mkenvimage -r -s "$size" -o "$out/env.one" -
for offset in "$@"; do dd if="$out/env.one" of="$out/env.img" bs=4096 seek=$((offset / 4096)) conv=notrunc status=none; done
rm "$out/env.one"

set -- env=env.img --loader
for pair in $(sed -n 's/^loader = {\(.*\)}$/\1/p' "$settings" | tr -d ' "' | tr , ' '); do set -- "$@" "$pair"; done
disk "$@"
