#!/bin/sh
# From a root to a disk, for boards that boot by UEFI; both builders use it: assemble.sh BOARD OUT. Reads OUT/root.image (squashfs or erofs),
# OUT/kernel, OUT/initrd.img (if there), OUT/shim.efi, OUT/grub.efi, OUT/stub.efi (systemd's). Makes OUT/root.img (with its hash tree),
# OUT/boot.vfat (both signed programs), OUT/wardgate.img (the disk), OUT/bundle (what an update carries).
# WARDGATE_BOOT_KEY, WARDGATE_BOOT_CERTIFICATE: what the firmware trusts (PEM); without them a development key is made in OUT.
# Files OUT/state.ext4 and OUT/vault.ext4 are put on the disk, if there.
set -eu
board=$1
out=$(cd "$2" && pwd)
common=$(cd "$(dirname "$0")" && pwd)
settings=$common/../buildroot/board/$board/board.toml
python=${PYTHON:-python3}

word() { sed -n "s/^$1 = \"\\(.*\\)\"\$/\\1/p" "$settings"; }
sectors() { echo $(($(stat -c %s "$1") / 512)); }

key=${WARDGATE_BOOT_KEY:-$out/boot-key.pem}
certificate=${WARDGATE_BOOT_CERTIFICATE:-$out/boot-certificate.pem}
if [ ! -f "$key" ]; then
    openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=Wardgate development boot key (never for a hospital)" \
        -keyout "$key" -out "$certificate" 2>/dev/null
fi

# Root with its hash tree behind it. The salt is of the content: the same root gives the same image.
root=$out/root.img
cp "$out/root.image" "$root"
bytes=$(stat -c %s "$root")
blocks=$(((bytes + 4095) / 4096))
truncate -s $((blocks * 4096)) "$root"
salt=$(sha256sum "$root" | cut -c1-64)
veritysetup format --data-block-size=4096 --hash-block-size=4096 --data-blocks="$blocks" --hash-offset=$((blocks * 4096)) \
    --salt="$salt" --uuid=00000000-0000-0000-0000-000000000000 "$root" "$root" >"$out/verity.txt"
hash=$(sed -n 's/^Root hash:[[:space:]]*//p' "$out/verity.txt")

# One program a slot: each names its own root. `lockdown`: also where the firmware checks nothing.
command_line() {
    device=PARTLABEL=root_$1
    printf '%s' "root=/dev/dm-0 ro rootwait console=$(word console) $(word command_line) quiet panic=10 lockdown=confidentiality systemd.gpt_auto=0" \
        " rauc.slot=$2 dm-mod.waitfor=$device dm-mod.create=\"root,,,ro,0 $((blocks * 8)) verity 1 $device $device" \
        " 4096 4096 $blocks $((blocks + 1)) sha256 $hash $salt 1 panic_on_corruption\""
}

# Sections behind the stub's own, each on a page of its own (systemd-stub(7)): the kernel last, it is the largest.
program() {
    place=$(${OBJDUMP:-objdump} -h "$out/stub.efi" | awk 'NF == 7 { end = ("0x" $4); size = ("0x" $3); print end, size }' |
        while read -r start size; do echo $((start + size)); done | sort -n | tail -n 1)
    set --
    for section in osrel:os-release cmdline:cmdline initrd:initrd.img linux:kernel; do
        file=$out/${section#*:}
        [ -f "$file" ] || continue
        place=$(((place + 4095) / 4096 * 4096))
        set -- "$@" --add-section ".${section%%:*}=$file" --change-section-vma ".${section%%:*}=$place"
        place=$((place + $(stat -c %s "$file")))
    done
    ${OBJCOPY:-objcopy} "$@" "$out/stub.efi" "$out/program.efi"
}

sign() { sbsign --key "$key" --cert "$certificate" --output "$2" "$1" 2>"$out/sbsign.log" || { cat "$out/sbsign.log" >&2 && exit 1; }; }

boot=$out/boot
rm -rf "$boot" "$out/bundle" "$out/boot.vfat" "$out/esp.vfat"
mkdir -p "$boot" "$out/bundle"
for slot in a b; do
    command_line $slot "$(echo $slot | tr ab AB)" >"$out/cmdline"
    program
    sign "$out/program.efi" "$boot/wardgate-$slot.efi"
done
rm -f "$out/program.efi" "$out/cmdline"

megabytes() {
    own=$(sed -n "s/^${1%_a}_mebibytes = //p" "$settings")
    echo "${own:-$(sed -n "/^name = \"$1\"/,/^holds/ s/^mebibytes = //p" "$common/partitions.toml")}"
}
vfat() {
    truncate -s "$(megabytes "$3")M" "$1"
    mkfs.vfat --invariant -n "$2" "$1" >/dev/null
}
vfat "$out/boot.vfat" BOOT boot_a
mcopy -s -m -i "$out/boot.vfat" "$boot"/* ::
suffix=X64
[ "$(word arch)" = x86_64 ] || suffix=AA64
vfat "$out/esp.vfat" ESP esp
mmd -i "$out/esp.vfat" ::/EFI ::/EFI/BOOT
# GRUB under Secure Boot hands over only what shim agrees to, and shim asks the firmware's keys.
sign "$out/shim.efi" "$out/signed.efi"
mcopy -i "$out/esp.vfat" "$out/signed.efi" "::/EFI/BOOT/BOOT$suffix.EFI"
sign "$out/grub.efi" "$out/signed.efi"
mcopy -o -i "$out/esp.vfat" "$out/signed.efi" "::/EFI/BOOT/grub$(echo $suffix | tr '[:upper:]' '[:lower:]').efi"
mcopy -i "$out/esp.vfat" "$common/boot/grub.cfg" ::/EFI/BOOT/grub.cfg
mcopy -i "$out/esp.vfat" "$common/boot/grubenv" ::/grubenv

set -- "--board=$settings" esp=esp.vfat boot=boot.vfat root=root.img
for data in state vault; do [ ! -f "$out/$data.ext4" ] || set -- "$@" "$data=$data.ext4"; done
"$python" "$common/layout.py" "$@" >"$out/genimage.cfg"
rm -rf "$out/genimage.tmp"
genimage --rootpath "$boot" --tmppath "$out/genimage.tmp" --inputpath "$out" --outputpath "$out" --config "$out/genimage.cfg" >"$out/genimage.log" 2>&1 || {
    tail -n 3 "$out/genimage.log" >&2
    exit 1
}
rm -rf "$out/genimage.tmp" "$boot"
ln "$out/boot.vfat" "$out/root.img" "$out/bundle/"
