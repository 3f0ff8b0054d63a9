#!/bin/sh
# Makes build/guest: a distribution's kernel and a root with what the tests of the cable need, for tests/image/test_guest_cable.py.
# Debian 13, from the Debian mirror that apt uses here. Safe to run again; prints the folder. About a minute, 100 MB, 700 MB while it works.
set -eu
cd "$(dirname "$0")/.."

BASE=$PWD/build/guest
PACKAGES=python3-minimal,libpython3-stdlib,python3-cryptography,python3-pytest,python3-pytest-timeout,dcmtk,nftables,iproute2,tcpdump
PACKAGES=$PACKAGES,procps,kmod,openssh-client,openssh-server,busybox-static,openssl
KERNEL=linux-image-cloud-amd64
VERSION=1 # of this script's output

fail() {
    printf 'guest: %s\n' "$*" >&2
    exit 1
}

if [ "$(cat "$BASE/made" 2>/dev/null)" = "$VERSION $PACKAGES $KERNEL" ]; then
    echo "$BASE"
    exit 0
fi
[ "$(id -u)" = 0 ] || fail "making a root needs root"
for tool in mmdebstrap mksquashfs; do
    command -v $tool >/dev/null || fail "$tool is not installed (apt-get install mmdebstrap squashfs-tools)"
done
MIRROR=$(image/debian/mirror.sh 2>&1) || fail "$MIRROR"
rm -rf "$BASE"
mkdir -p "$BASE"

# strap VARIANT PACKAGES PLACE
strap() {
    timeout 400 mmdebstrap --quiet --variant="$1" --include="$2" --aptopt='APT::Install-Recommends "0"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        trixie "$3" "$MIRROR" >>"$BASE/log" 2>&1 || fail "Debian 13 could not be unpacked: $(tail -n 1 "$BASE/log")"
}
strap minbase "$PACKAGES" "$BASE/root"
strap extract "$KERNEL" "$BASE/kernel" # unpacked only: nothing of it runs here

cp "$BASE"/kernel/boot/vmlinuz-* "$BASE/vmlinuz"
# Of the modules only those of networks and file systems.
release=$(ls "$BASE/kernel/usr/lib/modules")
from=$BASE/kernel/usr/lib/modules/$release
to=$BASE/root/usr/lib/modules/$release
mkdir -p "$to/kernel/drivers" "$to/kernel/drivers/block"
cp -a "$from"/modules.* "$to/"
for part in net fs/squashfs fs/overlayfs lib crypto drivers/net drivers/block; do
    [ ! -d "$from/kernel/$part" ] || { mkdir -p "$to/kernel/$part" && cp -a "$from/kernel/$part/." "$to/kernel/$part/"; }
done
chroot "$BASE/root" depmod "$release" 2>>"$BASE/log" || fail "depmod: $(tail -n 1 "$BASE/log")"

# What the first stage needs: a shell, insmod, three modules.
first=$BASE/first
mkdir -p "$first/bin" "$first/dev" "$first/proc" "$first/sys" "$first/new" "$first/low" "$first/top" "$first/modules"
cp "$BASE/root/usr/bin/busybox" "$first/bin/busybox"
for module in virtio_blk squashfs overlay; do
    chroot "$BASE/root" modprobe -S "$release" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p' | while read -r path; do
        xz -dc "$BASE/root$path" >"$first/modules/$(basename "$path" .xz)"
        basename "$path" .xz >>"$first/modules/order"
    done
done
cat >"$first/init" <<'END'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs none /dev
while read -r m; do $b insmod "/modules/$m" 2>/dev/null; done </modules/order
$b mount -t squashfs -o ro /dev/vda /low
$b mount -t tmpfs none /top
$b mkdir /top/up /top/work
$b mount -t overlay -o lowerdir=/low,upperdir=/top/up,workdir=/top/work none /new
$b mkdir -p /new/tree
$b mount -t squashfs -o ro /dev/vdb /new/tree
$b mount --move /dev /new/dev
exec $b switch_root /new /tree/guest-init
END
chmod +x "$first/init"
(cd "$first" && find . | "$first/bin/busybox" cpio -o -H newc 2>>"$BASE/log" | gzip -1 >"$BASE/initrd.img")
mksquashfs "$BASE/root" "$BASE/root.squashfs" -comp zstd -Xcompression-level 3 -noappend -quiet -no-progress >>"$BASE/log" 2>&1 ||
    fail "mksquashfs: $(tail -n 1 "$BASE/log")"
rm -rf "$BASE/root" "$BASE/kernel" "$first"
echo "$VERSION $PACKAGES $KERNEL" >"$BASE/made"
echo "$BASE"
