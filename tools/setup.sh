#!/bin/sh
# Makes the development environment: Debian packages and .venv. Safe to run again; silent when nothing is to be done.
# `setup.sh venv`: .venv alone, for what works on any system and without its packages.
set -eu
cd "$(dirname "$0")/.."

# Development and tests only; what the box itself needs is in docs/runtime.md.
#   dcmtk, orthanc: the peers of the demo and of tests/interop     openssl: a peer that is not Python
#   iproute2, util-linux: network and mount namespaces             golang: the independent check of the custody log
#   make: the targets; shellcheck: the scripts of the image
#   nftables, tcpdump: the plant in network namespaces, and what was seen there
#   softhsm2: the token of tests of the key service                opensc: pkcs11-tool, pkcs15-tool, PKCS#11 for cards
#   pcscd, libpcsclite1, vsmartcard-vpcd: the virtual card's way in (`wardkeys.pcsc` loads the library)
#   qemu-system-x86: the other reader of the virtual card (ccid-card-passthru)
#   mmdebstrap: a Python with OpenSSL 3.5 for tests/openssl35
#   openssh-server, openssh-client: management of the box, and who calls it
#   squashfs-tools: also the guest in which the cable meets a distribution's kernel
#   squashfs-tools, genimage, mtools, dosfstools, cpio, zstd, cryptsetup-bin (veritysetup): the Debian image
#   grub-common, grub-efi-amd64-bin, shim-unsigned, systemd-boot-efi (the stub), sbsigntool, binutils: how it boots, signed
#   ovmf, qemu-utils: the firmware with Secure Boot that starts it in QEMU      swtpm: the TPM by which a box opens its vault      rauc: judges our bundles
#   erofs-utils, u-boot-tools (mkimage): what Buildroot's hook makes of a root, also with IMAGE= and KERNEL=
#   device-tree-compiler, u-boot-qemu, qemu-system-arm, libubootenv-tool: boards with U-Boot: a signed FIT, a loader that judges it, RAUC's count
#   rsyslog, rsyslog-openssl: an audit repository      libxml2-utils (xmllint): audit messages against the schema
#   systemd, dbus: units of the image under a real systemd, in namespaces
#   gcc, libc6-dev, libssl-dev, libp11-kit-dev (pkcs11.h): the OpenSSL provider; a PKCS#11 module that is slow on purpose
PACKAGES="python3-venv dcmtk orthanc openssl iproute2 util-linux golang-go golang-golang-x-mod-dev"
PACKAGES="$PACKAGES softhsm2 opensc opensc-pkcs11 pcscd libpcsclite1 vsmartcard-vpcd gcc libc6-dev libssl-dev libp11-kit-dev make mmdebstrap"
PACKAGES="$PACKAGES qemu-system-x86 nftables tcpdump shellcheck openssh-server openssh-client"
PACKAGES="$PACKAGES squashfs-tools genimage mtools dosfstools cpio zstd cryptsetup-bin grub-common grub-efi-amd64-bin shim-unsigned systemd-boot-efi"
PACKAGES="$PACKAGES rsyslog rsyslog-openssl libxml2-utils systemd dbus"
PACKAGES="$PACKAGES sbsigntool binutils ovmf qemu-utils swtpm rauc erofs-utils u-boot-tools"
PACKAGES="$PACKAGES device-tree-compiler u-boot-qemu qemu-system-arm libubootenv-tool"
# Only with WARDGATE_IMAGE_TEST=1, for image tests that are skipped without:
#   qemu-efi-aarch64: the arm64 machine's firmware     qemu-user-static, arch-test: arm64 programs run while it is built
#   binutils-aarch64-linux-gnu: its signed programs are made      gcc-aarch64-linux-gnu, linux-libc-dev-arm64-cross: its /init
#   busybox, fdisk (sfdisk), libtss2-*: the guest that makes and opens a vault, its disk, and what reaches its TPM
#   kmod (modprobe, depmod): the modules that Linux needs below U-Boot
#   libengine-pkcs11-openssl: a FIT signed by a token
[ "${WARDGATE_IMAGE_TEST:-}" != 1 ] ||
    PACKAGES="$PACKAGES qemu-efi-aarch64 qemu-user-static arch-test binutils-aarch64-linux-gnu libengine-pkcs11-openssl"
[ "${WARDGATE_IMAGE_TEST:-}" != 1 ] || PACKAGES="$PACKAGES gcc-aarch64-linux-gnu linux-libc-dev-arm64-cross busybox fdisk kmod"
[ "${WARDGATE_IMAGE_TEST:-}" != 1 ] ||
    PACKAGES="$PACKAGES libtss2-esys-3.0.2-0 libtss2-rc0 libtss2-mu0 libtss2-tcti-device0"
# Only for `make image` (setup.sh image): what Buildroot asks of the machine that builds; the rest of it Debian always has.
[ "${1:-}" != image ] || PACKAGES="$PACKAGES g++ patch perl bzip2 bc cpio file rsync unzip wget git ca-certificates"
# Debian's own interpreter where it is new enough: it is built with profile-guided optimisation, one compiled by hand seldom is, and
# that is a fifth of the gateway's speed.
PYTHON=${PYTHON:-/usr/bin/python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || PYTHON=python3

[ "${1:-}" != venv ] || exec tools/venv.sh "$PYTHON" .venv

say() { printf 'setup: %s\n' "$*"; }

mkdir -p build
exec 9>build/setup.lock
flock -n 9 || { say "another one is at work here; waiting for it" && flock 9; }

missing=""
for package in $PACKAGES; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        say "installing Debian packages:$missing"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >build/setup.log 2>&1 || {
            tail -n 20 build/setup.log >&2
            say "these were not installed (build/setup.log): without network install them beforehand:$missing" >&2
            exit 1
        }
        # Tests start their own Orthanc; the packaged service would listen on every address.
        case "$missing" in
        *orthanc*) systemctl disable --now orthanc >/dev/null 2>&1 || true ;;
        esac
        # Tests start their own rsyslogd; the packaged service would keep this machine's log.
        case "$missing" in
        *rsyslog*) systemctl disable --now rsyslog >/dev/null 2>&1 || true ;;
        esac
        # Tests start their own sshd; the packaged service would listen on every address.
        case "$missing" in
        *openssh-server*) systemctl disable --now ssh >/dev/null 2>&1 || true ;;
        esac
        # Tests start their own pcscd; with vpcd the packaged one would listen on every address.
        case "$missing" in
        *vsmartcard-vpcd*) systemctl disable --now pcscd.socket pcscd.service >/dev/null 2>&1 || true ;;
        esac
    else
        say "not root, so these Debian packages are not installed (apt-get install them):$missing" >&2
        say "tests that need them are skipped and say so" >&2
    fi
fi

# The OpenSSL module for keys in a token; without it the gateway serves keys in files, and the tests of the others are skipped.
make -s -C hsm/provider >build/provider.log 2>&1 || {
    tail -n 5 build/provider.log >&2
    say "hsm/provider was not built (see build/provider.log); tests with keys in a token are skipped" >&2
}

exec tools/venv.sh "$PYTHON" .venv
