#!/bin/sh
# The same appliance on a root of Debian packages, for tests: image/debian/build.sh OUT. Makes OUT/wardgate.img (the whole disk: loader,
# slots, dm-verity, signed programs), OUT/bundle (what an update carries) and OUT/root (the folder). Needs root and hsm/provider built.
# About a minute; the packages are kept in base.tar of WARDGATE_BASE (default OUT), then it takes seconds.
# BOARD: qemu-x86_64 (default) or qemu-aarch64, whose programs run by qemu-user here (binfmt_misc has to know them).
# KERNEL: a kernel of our configuration (`make image-kernel`) in place of Debian's: the image then starts as Buildroot's does (as-buildroot.sh).
# WARDGATE_VERSION: the version of this image. WARDGATE_KEYRING: the anchors of releases, PEM; without them it takes no update.
# WARDGATE_STUB: another stub of systemd than the building machine's.
# WARDGATE_BOOT_KEY, WARDGATE_BOOT_CERTIFICATE and OUT/state.ext4, OUT/vault.ext4: as in image/common/assemble.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
common=$tree/image/common
[ $# = 1 ] || {
    echo "debian: build.sh OUT, the folder to make the image in" >&2
    exit 2
}
mkdir -p "$1"
out=$(cd "$1" && pwd)
base=${WARDGATE_BASE:-$out}
mkdir -p "$base"
board=$(printf %s "${BOARD:-qemu_x86_64}" | tr - _)

fail() {
    printf 'debian: %s\n' "$*" >&2
    exit 1
}
case $board in
qemu_x86_64) debian=amd64 short=x64 tuple=x86_64-efi libraries=x86_64-linux-gnu loaders='' cross='' suite='' ;;
# Its kernel is Debian 12's 6.1: that of Debian 13 was not tried.
qemu_aarch64) debian=arm64 short=aa64 tuple=arm64-efi libraries=aarch64-linux-gnu loaders=$base/loaders cross=aarch64-linux-gnu- suite=/bookworm ;;
*) fail "BOARD= qemu-x86_64 or qemu-aarch64" ;;
esac
stub=${WARDGATE_STUB:-$loaders/usr/lib/systemd/boot/efi/linux$short.efi.stub}
shim=$loaders/usr/lib/shim/shim$short.efi
export OBJCOPY="${cross}objcopy" OBJDUMP="${cross}objdump" CC="${cross}gcc"

[ "$(id -u)" = 0 ] || fail "needs root"
for tool in mmdebstrap mksquashfs systemd-sysusers cpio zstd veritysetup sbsign "$OBJCOPY" "$CC" genimage mcopy mkfs.vfat grub-mkimage; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done
[ "$debian" != arm64 ] || [ "$(uname -m)" = aarch64 ] || grep -q ^enabled /proc/sys/fs/binfmt_misc/qemu-aarch64 2>/dev/null ||
    fail "this machine runs no arm64 programs (qemu-user-static, binfmt_misc mounted, qemu-aarch64 registered)"
exec 9>"$out/build.lock"
flock -n 9 || fail "another build is at work in $out: wait for its end, or name another folder"
packages=$(grep -v '^#' "$here/packages" | sed "s|^linux-image-amd64|linux-image-$debian$suite|" | paste -sd ,)
if [ ! -f "$base/base.tar" ] || ! cmp -s "$here/packages" "$base/base.packages"; then
    mirror=$("$here/mirror.sh" 2>&1) || fail "$mirror"
    rm -f "$base/base.new.tar"
    # What the loader is made of comes with the machine, for its own architecture only.
    if [ -n "$loaders" ]; then
        rm -rf "$loaders"
        timeout 300 mmdebstrap --quiet --architectures=$debian --variant=extract --include=systemd-boot-efi,shim-unsigned,grub-efi-$debian-bin \
            --aptopt='APT::Install-Recommends "0"' bookworm "$loaders" "deb $mirror bookworm main" >"$base/mmdebstrap.log" 2>&1 ||
            fail "mmdebstrap: $(tail -n 1 "$base/mmdebstrap.log")"
    fi
    # Debian's initramfs is not used, and takes a quarter of an hour by qemu-user.
    INITRD=No timeout 1800 mmdebstrap --quiet --architectures=$debian --variant=minbase --include="$packages" --aptopt='APT::Install-Recommends "0"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        trixie "$base/base.new.tar" "deb $mirror trixie main" "deb $mirror bookworm main" >"$base/mmdebstrap.log" 2>&1 ||
        fail "mmdebstrap: $(tail -n 1 "$base/mmdebstrap.log")"
    mv "$base/base.new.tar" "$base/base.tar"
    cp "$here/packages" "$base/base.packages"
fi
for file in "$stub" "$shim"; do [ -f "$file" ] || fail "$file is not there (systemd-boot-efi, shim-unsigned)"; done

root=$out/root
[ ! -e "$root" ] || [ -f "$out/root.made" ] || [ -f "$root/usr/lib/sysusers.d/wardgate.conf" ] || fail "$root is there, and no image was made in it: name another folder"
# As after somebody looked into an earlier image with chroot: what is mounted there is another's, this machine's /dev for one.
mounted=$(ROOT=$(printf '%s/' "$root" | sed 's/ /\\040/g') awk 'index($5 "/", ENVIRON["ROOT"]) == 1 { print $5 }' /proc/self/mountinfo)
[ -z "$mounted" ] || fail "umount $(echo "$mounted" | sort -r | tr '\n' ' ')first: it would be removed with the earlier image"
rm -rf "$root"
: >"$out/root.made"
mkdir "$root"
tar -C "$root" -xf "$base/base.tar"
mv "$root"/boot/vmlinuz-* "$out/kernel"
rm -rf "${root:?}/boot" "$root/var/cache/apt" "$root/var/lib/apt/lists"
[ -n "${KERNEL:-}" ] || "$here/initramfs.sh" "$root" "$out" $debian

cp -a "$common/overlay/." "$root/"
chown -R -h 0:0 "$root/etc" "$root/usr/lib/systemd" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$root/usr/lib/wardgate" "$root/usr/share/wardgate"
site=$root/usr/lib/python3/dist-packages
cp -a "$tree/firmware/wardgate" "$tree/hsm/wardkeys" "$site/"
chown -R 0:0 "$site/wardgate" "$site/wardkeys"
find "$site/wardgate" "$site/wardkeys" -name __pycache__ -prune -exec rm -rf {} +
chroot "$root" /usr/bin/python3 -m compileall -q /usr/lib/python3/dist-packages/wardgate /usr/lib/python3/dist-packages/wardkeys
# The provider is built for the machine that builds: an arm64 box made on another one has no keys in tokens.
modules=$root/usr/lib/$libraries/ossl-modules
[ ! -f "$tree/build/provider/wardkeys.so" ] || [ "$(dpkg --print-architecture)" != $debian ] || install -D -m 0644 "$tree/build/provider/wardkeys.so" "$modules/wardkeys.so"
[ ! -f "$tree/build/hawkbit/rauc-hawkbit-updater" ] || [ "$(dpkg --print-architecture)" != $debian ] ||
    install -m 0755 "$tree/build/hawkbit/rauc-hawkbit-updater" "$root/usr/bin/rauc-hawkbit-updater"

# Debian's OpenSC looks for its configuration elsewhere than Buildroot's.
install -d -m 0755 "$root/etc/opensc"
ln -sfn ../opensc.conf "$root/etc/opensc/opensc.conf"

# Debian's pcscd asks polkit, which knows no rule for the key service; on the box the socket's group decides, as in Buildroot's pcscd.
sed -i '/^Requires=polkit.service$/d' "$root/usr/lib/systemd/system/pcscd.service"
echo 'PCSCD_ARGS=--disable-polkit' >"$root/etc/default/pcscd"
ln -sfn /dev/null "$root/etc/systemd/system/polkit.service"

systemd-sysusers --root="$root"
# Buildroot's hook is finish.sh, and a little behind it.
if [ -n "${KERNEL:-}" ]; then "$here/../buildroot/post-build.sh" "$root" "$board"; else "$common/finish.sh" "$root" "$board"; fi
systemctl --root="$root" preset-all >"$out/preset.log" 2>&1 || fail "preset: $(tail -n 1 "$out/preset.log")"

# Only with something to add, tests say: WARDGATE_ROOT_EXTRA is a folder laid over the root. Nothing of it is in a release.
[ -z "${WARDGATE_ROOT_EXTRA:-}" ] || cp -a "$WARDGATE_ROOT_EXTRA/." "$root/"
if [ -n "${KERNEL:-}" ]; then
    LOADERS=$loaders "$here/as-buildroot.sh" "$root" "$KERNEL" "$board" "$out"
    exit
fi
rm -f "$out/root.image"
# lz4: less work to unpack than zstd, and a bundle, which is packed again, is no larger.
mksquashfs "$root" "$out/root.image" -comp lz4 -Xhc -noappend -quiet -no-progress >"$out/squashfs.log" 2>&1 ||
    fail "mksquashfs: $(tail -n 1 "$out/squashfs.log")"

cp "$root/usr/lib/os-release" "$out/os-release"
cp "$stub" "$out/stub.efi"
cp "$shim" "$out/shim.efi"
"$common/loader.sh" "$loaders/usr/lib/grub/$tuple" "$tuple" "$out/grub.efi"
"$common/assemble.sh" "$board" "$out"
