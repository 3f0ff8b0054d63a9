#!/bin/sh
# From a root to a disk, for boards that boot by UEFI; both builders use it: assemble.sh BOARD OUT. Reads OUT/root.image (squashfs or erofs),
# OUT/kernel, OUT/initrd.img (if there), OUT/shim.efi, OUT/grub.efi, OUT/stub.efi (systemd's). Makes OUT/root.img (with its hash tree),
# OUT/boot.vfat (both signed programs), OUT/wardgate.img (the disk), OUT/bundle (what an update carries).
# WARDGATE_BOOT_KEY, WARDGATE_BOOT_CERTIFICATE: what the firmware trusts (PEM; the key also by a URI pkcs11:..., through OpenSSL's engine
# pkcs11); without them a development key is made in OUT.
# Files OUT/state.ext4 and OUT/vault.ext4 are put on the disk, if there.
set -eu
board=$1
out=$(cd "$2" && pwd)
common=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=image/common/slot.sh
. "$common/slot.sh"

key=${WARDGATE_BOOT_KEY:-$out/boot-key.pem}
certificate=${WARDGATE_BOOT_CERTIFICATE:-$out/boot-certificate.pem}
engine=
case $key in pkcs11:*) engine='--engine pkcs11' ;; esac
if [ -n "${WARDGATE_BOOT_KEY:-}${WARDGATE_BOOT_CERTIFICATE:-}" ]; then
    # A name that is mistyped must not get a development key.
    for file in "${WARDGATE_BOOT_KEY:-}" "${WARDGATE_BOOT_CERTIFICATE:-}"; do
        [ -n "$engine" ] && [ "$file" = "$key" ] || [ -f "$file" ] || {
            echo "assemble: WARDGATE_BOOT_KEY and WARDGATE_BOOT_CERTIFICATE name two files, and there is no '$file'" >&2
            exit 1
        }
    done
elif [ ! -f "$key" ]; then
    openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=Wardgate development boot key (never for a hospital)" \
        -keyout "$key" -out "$certificate" 2>/dev/null
fi

hash_root

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

# shellcheck disable=SC2086 # words, or none
sign() { sbsign $engine --key "$key" --cert "$certificate" --output "$2" "$1" 2>"$out/sbsign.log" || { cat "$out/sbsign.log" >&2 && exit 1; }; }

boot=$out/boot
rm -rf "$boot" "$out/boot.vfat" "$out/esp.vfat"
mkdir -p "$boot"
# One program a slot: each names its own root.
for slot in a b; do
    command_line $slot >"$out/cmdline"
    program
    sign "$out/program.efi" "$boot/wardgate-$slot.efi"
done
rm -f "$out/program.efi" "$out/cmdline"

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

rm -rf "$boot"
disk esp=esp.vfat
