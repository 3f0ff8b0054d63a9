#!/bin/sh
# Builds the image of a board with Buildroot: tools/image.sh BOARD. About an hour on two cores; the result lies in build/image/BOARD/images.
# From the environment: O (the folder to build in; else build/image/BOARD), BUILDROOT_DIR (a tree; else the pinned release is fetched), BR2_DL_DIR, BR2_PRIMARY_SITE, TOOLCHAIN (a fragment
# that replaces ours; image/buildroot/toolchain-debian.sh makes one), EXTRA (a fragment behind ours, its words win), JOBS (packages at once,
# with BR2_PER_PACKAGE_DIRECTORIES=y in EXTRA), UNPINNED=yes (the tree may be another than the pinned one: for trying, the image says so).
# Whose image it is (docs/image.md, "A release"; without them it starts by a development key, takes no update and any state):
# STATE_ANCHORS, WARDGATE_KEYRING, WARDGATE_VERSION; boards with UEFI WARDGATE_BOOT_KEY and WARDGATE_BOOT_CERTIFICATE; boards with U-Boot
# WARDGATE_FIT_KEY, as in image/common/fit.sh, and for a key in a token WARDGATE_FIT_CERTIFICATE.
# WARDGATE_STUB: systemd's stub where the release builds none (arm64). UBOOT_DIR: U-Boot's source in place of the release that Buildroot has.
# Relative names are seen from the top of this tree.
# A folder that was built in before is built on: our own package, the overlay, the scripts, and packages whose folder in O/build was removed.
# Other changed options of packages want a new folder: Buildroot does not see them.
set -eu
cd "$(dirname "$0")/.."
board=$(printf %s "${1:-}" | tr - _)
python=.venv/bin/python
pin=image/buildroot/buildroot.pin

fail() {
    printf 'image: %s\n' "$*" >&2
    exit 1
}
pinned() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$pin"; }

if [ -z "$board" ] || [ ! -f "image/buildroot/board/$board/board.config" ]; then
    printf 'image: BOARD= one of:\n' >&2
    for path in image/buildroot/board/*/board.config; do basename "$(dirname "$path")" >&2; done
    exit 2
fi
bootloader=$(sed -n 's/^bootloader = "\(.*\)"$/\1/p' "image/buildroot/board/$board/board.toml")
# What the last step needs and Buildroot neither has nor asks for: better known before the hour than after it.
wanted=openssl
[ "$bootloader" != grub ] || wanted="openssl sbsign:sbsigntool objcopy:binutils"
for pair in $wanted; do
    command -v "${pair%:*}" >/dev/null || fail "${pair%:*} is needed at the end of the build (apt-get install ${pair#*:})"
done

# Buildroot calls our hooks in its own folder: every file by its whole path.
for word in STATE_ANCHORS WARDGATE_KEYRING WARDGATE_BOOT_KEY WARDGATE_BOOT_CERTIFICATE WARDGATE_FIT_KEY WARDGATE_FIT_CERTIFICATE WARDGATE_STUB UBOOT_DIR BR2_DL_DIR; do
    eval "value=\${$word:-}"
    case $value in
    '' | /* | pkcs11:*) ;;
    *) export "$word=$PWD/$value" ;;
    esac
done

for word in TOOLCHAIN EXTRA; do
    eval "value=\${$word:-}"
    [ -z "$value" ] || [ -f "$value" ] || fail "$word=$value: no file; it names a fragment of Buildroot's configuration"
done

out=${O:-build/image/$board}
for pair in "O=$out" "BUILDROOT_DIR=${BUILDROOT_DIR:-}" "BR2_DL_DIR=${BR2_DL_DIR:-}" "this tree is $PWD"; do
    case $pair in
    *=*[[:space:]@]* | "this tree is "*[[:space:]@]*) fail "$pair: Buildroot takes no folder with a space or @ in its name" ;;
    esac
done
# What is there already: of this board, by this release, or nothing that is another's.
if [ -f "$out/.config" ]; then
    before=$(sed -n 's/^BR2_ROOTFS_POST_SCRIPT_ARGS="\(.*\)"$/\1/p' "$out/.config")
    [ "$before" = "$board" ] || fail "O=$out was built in for ${before:-no board of ours}, not for $board: name another folder"
elif [ -n "$(ls -A "$out" 2>/dev/null)" ] && [ ! -f "$out/defconfig" ] && [ ! -f "$out/wardgate.lock" ]; then
    fail "O=$out is not empty, and no image was built there: name another folder"
fi

PYTHONPATH=tools:firmware $python -m imagecheck.signers "$board" || exit 1

tree=${BUILDROOT_DIR:-}
if [ -z "$tree" ]; then
    tree=build/buildroot-$(pinned version)
    if [ ! -d "$tree" ]; then
        mkdir -p build
        exec 8>build/buildroot.lock
        flock 8 # one fetches, the other waits for it
    fi
    if [ ! -d "$tree" ]; then
        command -v git >/dev/null || fail "git is needed to fetch Buildroot; or give BUILDROOT_DIR="
        rm -rf "$tree.new"
        git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$(pinned version)" "$(pinned url)" "$tree.new" ||
            fail "Buildroot $(pinned version) cannot be fetched; give BUILDROOT_DIR="
        [ "$(git -C "$tree.new" rev-parse HEAD)" = "$(pinned commit)" ] || fail "what was fetched is not the pinned commit"
        mv "$tree.new" "$tree"
    fi
    exec 8>&-
fi
PYTHONPATH=tools $python -m imagecheck "$tree" || fail "the check above must hold before a build"
if [ -f "$out/.config" ]; then
    before=$(sed -n 's/^# Buildroot \(.*\) Configuration$/\1/p' "$out/.config") now=$(sed -n 's/^export BR2_VERSION := //p' "$tree/Makefile")
    [ "$before" = "$now" ] || fail "O=$out was built in by Buildroot $before, this is $now, and would take what is built there for its own: name another folder"
fi
mkdir -p "$out"
# What it starts has it too: of a build whose script was killed the compilers may still be at work.
exec 9>"$out/wardgate.lock"
flock -n 9 || fail "another build is at work in $out: wait for its end, or name another folder (O=)"
out=$(cd "$out" && pwd)
PYTHONPATH=tools $python -m imagecheck.assemble "$board" ${TOOLCHAIN:+"$TOOLCHAIN"} >"$out/defconfig"
# Buildroot builds no package again whose options or patches changed: what comes out is then neither the old configuration nor the new one.
made=$({ cat "$out/defconfig" ${EXTRA:+"$EXTRA"} image/buildroot/external.mk && find image/buildroot/patches -type f | LC_ALL=C sort | xargs cat; } | sha256sum)
if [ ! -d "$out/build" ]; then
    rm -f "$out/wardgate.mixed"
    printf '%s\n' "$made" >"$out/wardgate.configuration"
elif [ "$made" != "$(cat "$out/wardgate.configuration" 2>/dev/null)" ]; then
    : >"$out/wardgate.mixed"
fi
[ ! -f "$out/wardgate.mixed" ] || echo "image: $out was begun with another configuration: packages that are built there stay as they are; for a release name a new folder (O=)"
[ -z "${BR2_PRIMARY_SITE:-}" ] || printf 'BR2_PRIMARY_SITE="%s"\n' "$BR2_PRIMARY_SITE" >>"$out/defconfig"
[ -z "${EXTRA:-}" ] || cat "$EXTRA" >>"$out/defconfig"
[ -n "${BR2_DL_DIR:-}" ] || unset BR2_DL_DIR
jobs=${JOBS:+-j$JOBS}
unset O BUILDROOT_DIR BR2_PRIMARY_SITE TOOLCHAIN EXTRA JOBS MAKEFLAGS MAKEOVERRIDES
# A board with U-Boot: the key that its slots are signed by is compiled into the loader.
if [ "$bootloader" = uboot ]; then
    if [ -z "${WARDGATE_FIT_KEY:-}" ]; then
        WARDGATE_FIT_KEY=$out/boot-key
        [ -f "$WARDGATE_FIT_KEY/boot.key" ] || {
            mkdir -p "$WARDGATE_FIT_KEY"
            openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=Wardgate development boot key (never for a hospital)" \
                -keyout "$WARDGATE_FIT_KEY/boot.key" -out "$WARDGATE_FIT_KEY/boot.crt" 2>/dev/null
        }
    fi
    WARDGATE_UBOOT=$out/uboot
    export WARDGATE_FIT_KEY WARDGATE_UBOOT
    $python image/common/uboot.py "$board" "${WARDGATE_FIT_CERTIFICATE:-$WARDGATE_FIT_KEY/boot.crt}" "$WARDGATE_UBOOT"
    rm -f "$out/local.mk"
    [ -z "${UBOOT_DIR:-}" ] || printf 'UBOOT_OVERRIDE_SRCDIR = %s\n' "$UBOOT_DIR" >"$out/local.mk"
fi
# make hands a word of its environment on as its makefiles set it, and to Buildroot the version of a package `wardgate` is WARDGATE_VERSION (always
# "local"), and the source of U-Boot UBOOT_DIR: ours come to the hooks by another name, or not.
export WARDGATE_IMAGE_VERSION="${WARDGATE_VERSION:-}"
unset WARDGATE_VERSION UBOOT_DIR
buildroot() { make -C "$tree" O="$out" BR2_EXTERNAL="$PWD/image/buildroot" BR2_DEFCONFIG="$out/defconfig" "$@"; }
buildroot defconfig
began=$(date +%s)
# Buildroot takes a package's source once, and what is in its target folder stays there. Ours changes from build to build.
if [ -d "$out/build/wardgate-local" ]; then
    echo "image: $out was built in before and is built on"
    buildroot wardgate-dirclean
    rm -rf "$out"/target/usr/lib/python3*/site-packages/wardgate "$out"/target/usr/lib/python3*/site-packages/wardkeys
    # With a folder a package the whole target folder is made of those again.
    [ ! -d "$out/per-package" ] || rm -rf "$out/target"
else
    echo "image: the first build in $out: about an hour on two cores"
fi
buildroot ${jobs:+"$jobs"} ||
    fail "Buildroot did not come to its end, for what stands above. Archives that cannot be fetched: BR2_DL_DIR= a folder with them, or BR2_PRIMARY_SITE= a mirror. The same command goes on from there"
seconds=$(($(date +%s) - began))
printf 'image: built for %s in %d min %d s, in %s (%s)\n' "$board" $((seconds / 60)) $((seconds % 60)) "$out" "$(du -sh "$out" | cut -f1)"
for name in wardgate.img root.img boot.vfat kernel; do
    printf 'image: %8s  %s\n' "$(du -h --apparent-size "$out/images/$name" | cut -f1)" "$out/images/$name"
done
PYTHONPATH=tools:firmware $python -m imagecheck.signers "$board" "$out"
printf 'image: make flash IMAGE=%s DEVICE=    writes it to a disk\n' "$out/images/wardgate.img"
printf 'image: make image-test IMAGE=%s    starts it in QEMU\n' "$out/images"
