#!/bin/sh
# What RAUC reads, and the anchors of releases, in the root, which is signed: rauc.sh ROOT BOARD VERSION
# WARDGATE_KEYRING: the anchors, PEM; without them the image takes no update.
set -eu
root=$1 board=$2 version=$3
common=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=image/common/board.sh
. "$common/board.sh"

install -d -m 0755 "$root/etc/rauc"
loader=bootloader=custom without=
if [ "$(word bootloader)" = uboot ]; then
    # RAUC's own back end counts in U-Boot's environment. There is no ESP: what asks for /efi then waits for nothing.
    loader=bootloader=uboot without=/^bootloader-custom-backend=/d
    "${PYTHON:-python3}" "$common/uboot.py" --fw-env >"$root/etc/fw_env.config"
    rm -f "$root/usr/lib/systemd/system/efi.mount"
fi
sed -e "$without" -e "s|@COMPATIBLE@|$(word compatible)|" -e "s|@BOOTLOADER@|$loader|" -e "s|@VERSION@|$version|" "$common/rauc/system.conf.in" >"$root/etc/rauc/system.conf"
if [ -n "${WARDGATE_KEYRING:-}" ]; then
    install -m 0644 "$WARDGATE_KEYRING" "$root/etc/rauc/keyring.pem"
else
    echo "finish: no WARDGATE_KEYRING: this image takes no update" >&2
    install -m 0644 /dev/null "$root/etc/rauc/keyring.pem"
fi
