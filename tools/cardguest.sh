#!/bin/sh
# Makes build/cardguest: a distribution's kernel, and a first root in memory with pcscd, the driver of USB readers, and OpenSC. Safe to run
# again; prints the folder. From the Debian mirror that apt uses here; about a minute, 60 MB that stay.
set -eu
cd "$(dirname "$0")/.."

BASE=$PWD/build/cardguest
PACKAGES=pcscd,libccid,opensc,opensc-pkcs11,busybox-static,kmod
KERNEL=linux-image-amd64
SUITE=bookworm
INIT=tests/support/cardguest-init

made=$(cat tools/cardguest.sh "$INIT" | sha256sum)
fail() {
    printf 'cardguest: %s\n' "$*" >&2
    exit 1
}

if [ "$(cat "$BASE/made" 2>/dev/null)" = "$made" ]; then
    echo "$BASE"
    exit 0
fi
[ "$(id -u)" = 0 ] || fail "making a root needs root"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is not installed (apt-get install mmdebstrap)"
MIRROR=$(image/debian/mirror.sh 2>&1) || fail "$MIRROR"
rm -rf "$BASE"
mkdir -p "$BASE"

# Unpacked only: no script of a package runs here.
timeout 300 mmdebstrap --quiet --variant=extract --include="$PACKAGES,$KERNEL" --aptopt='APT::Install-Recommends "0"' \
    --dpkgopt='path-exclude=/usr/share/*' --dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/net/*' \
    --dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/gpu/*' "$SUITE" "$BASE/root" "$MIRROR" >"$BASE/log" 2>&1 ||
    fail "Debian could not be unpacked: $(tail -n 1 "$BASE/log")"
root=$BASE/root
cp "$root"/boot/vmlinuz-* "$BASE/vmlinuz"

# Of the modules only those of the reader's bus.
release=$(ls "$root/lib/modules")
chroot "$root" depmod "$release" 2>>"$BASE/log" || fail "depmod: $(tail -n 1 "$BASE/log")"
mkdir "$root/modules"
chroot "$root" modprobe -S "$release" --show-depends xhci_pci | sed -n 's/^insmod \([^ ]*\).*/\1/p' | while read -r path; do
    cp "$root$path" "$root/modules/"
    basename "$path" >>"$root/modules/order"
done
(cd "$root" && rm -rf lib/modules boot var/lib usr/lib/x86_64-linux-gnu/gconv)
cp "$INIT" "$root/init"
(cd "$root" && find . | bin/busybox cpio -o -H newc 2>>"$BASE/log" | gzip -1 >"$BASE/initrd.img")
rm -rf "$root"
echo "$made" >"$BASE/made"
echo "$BASE"
