#!/bin/sh
# The same appliance on a root of Debian packages, for tests: image/debian/build.sh OUT. Makes OUT/root.squashfs, OUT/vmlinuz, OUT/initrd.img
# and OUT/root (the folder). Needs root, mmdebstrap, squashfs-tools, hsm/provider built. About a minute; the packages are kept in OUT/base.tar.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
common=$tree/image/common
mkdir -p "$1"
out=$(cd "$1" && pwd)

fail() {
    printf 'debian: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "needs root"
for tool in mmdebstrap mksquashfs systemd-sysusers; do
    command -v $tool >/dev/null || fail "$tool is not installed"
done
# The kernel is Debian 12's 6.1: that of Debian 13 does not get through its start in QEMU 7.2 without hardware virtualisation.
packages=$(grep -v '^#' "$here/packages" | paste -sd ,)
if [ ! -f "$out/base.tar" ] || ! cmp -s "$here/packages" "$out/base.packages"; then
    # shellcheck disable=SC2016 # $(SITE) is apt's
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || fail "apt names no Debian mirror here"
    rm -f "$out/base.new.tar"
    # shellcheck disable=SC2016 # $1 is mmdebstrap's
    timeout 900 mmdebstrap --quiet --variant=minbase --include="$packages" --aptopt='APT::Install-Recommends "0"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='printf "squashfs\nvirtio_blk\nvirtio_pci\n" >>"$1/etc/initramfs-tools/modules"' \
        --customize-hook='chroot "$1" update-initramfs -u' trixie "$out/base.new.tar" \
        "deb $mirror trixie main" "deb $mirror bookworm main" >"$out/mmdebstrap.log" 2>&1 ||
        fail "mmdebstrap: $(tail -n 1 "$out/mmdebstrap.log")"
    mv "$out/base.new.tar" "$out/base.tar"
    cp "$here/packages" "$out/base.packages"
fi

root=$out/root
rm -rf "$root"
mkdir "$root"
tar -C "$root" -xf "$out/base.tar"
mv "$root"/boot/vmlinuz-* "$out/vmlinuz"
mv "$root"/boot/initrd.img-* "$out/initrd.img"
rm -rf "$root/var/cache/apt" "$root/var/lib/apt/lists"

cp -a "$common/overlay/." "$root/"
chown -R -h 0:0 "$root/etc" "$root/usr/lib/systemd" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$root/usr/share/wardgate"
site=$root/usr/lib/python3/dist-packages
cp -a "$tree/firmware/wardgate" "$tree/hsm/wardkeys" "$site/"
chown -R 0:0 "$site/wardgate" "$site/wardkeys"
find "$site/wardgate" "$site/wardkeys" -name __pycache__ -prune -exec rm -rf {} +
chroot "$root" /usr/bin/python3 -m compileall -q /usr/lib/python3/dist-packages/wardgate /usr/lib/python3/dist-packages/wardkeys
modules=$root/usr/lib/x86_64-linux-gnu/ossl-modules
[ ! -f "$tree/build/provider/wardkeys.so" ] || install -D -m 0644 "$tree/build/provider/wardkeys.so" "$modules/wardkeys.so"

systemd-sysusers --root="$root"
"$common/finish.sh" "$root" qemu_x86_64
systemctl --root="$root" preset-all >"$out/preset.log" 2>&1 || fail "preset: $(tail -n 1 "$out/preset.log")"

# Only with something to add, tests say: WARDGATE_ROOT_EXTRA is a folder laid over the root. Nothing of it is in a release.
[ -z "${WARDGATE_ROOT_EXTRA:-}" ] || cp -a "$WARDGATE_ROOT_EXTRA/." "$root/"
rm -f "$out/root.squashfs"
mksquashfs "$root" "$out/root.squashfs" -comp zstd -Xcompression-level 3 -noappend -quiet -no-progress >"$out/squashfs.log" 2>&1 ||
    fail "mksquashfs: $(tail -n 1 "$out/squashfs.log")"
