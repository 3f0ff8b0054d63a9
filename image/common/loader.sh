#!/bin/sh
# GRUB as one program: loader.sh MODULES TUPLE OUT. With its revocation level (SBAT), which shim asks for and neither builder's GRUB says itself,
# and the version that its builder has.
set -eu
common=$(cd "$(dirname "$0")" && pwd)
version=$(grub-mkimage --version | sed -n 's/^.*(GRUB) //p')
[ -n "$version" ] || {
    echo "loader: grub-mkimage says no version" >&2
    exit 1
}
sed "s/@VERSION@/$version/" "$common/boot/sbat.csv" >"$3.csv"
# shellcheck disable=SC2046 # words
grub-mkimage -d "$1" -O "$2" -o "$3" -p /EFI/BOOT --sbat "$3.csv" $(cat "$common/boot/modules")
rm "$3.csv"
