#!/bin/sh
# What both builders do to a root whose packages and overlay are in place: finish.sh ROOT BOARD
set -eu
root=$1
board=$2
common=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=image/common/board.sh
. "$common/board.sh"

while read -r place link; do
    case $place in
    /*) ;;
    *) continue ;;
    esac
    if [ -n "$link" ]; then
        # Where an older tree was built in the same folder it was a mount point.
        [ ! -d "$root$place" ] || [ -L "$root$place" ] || rmdir "$root$place"
        ln -sfn "$link" "$root$place"
    else
        install -d -m 0755 "$root$place"
    fi
done <"$common/directories"

# A checkout made with another umask would leave them writable for their group.
(cd "$common/overlay" && find . -type f) | while read -r file; do chmod go-w "$root/$file"; done

# What never starts, and what is not asked at a start.
while read -r kind name; do
    case $kind in
    '' | '#'*) continue ;;
    generator) place=systemd/system-generators ;;
    rules) place=udev/rules.d ;;
    tmpfiles) place=tmpfiles.d ;;
    *) place=systemd/system name=$kind ;;
    esac
    install -d -m 0755 "$root/etc/$place"
    ln -sfn /dev/null "$root/etc/$place/$name"
done <"$common/masked"
# udev's names and quirks of thousands of devices: nothing of ours asks for them.
rm -f "$root/usr/lib/udev/hwdb.bin" "$root/etc/udev/hwdb.bin"

# Debian has the module for cards in its architecture's folder: a box's keys.toml names it in the same place in both.
for module in "$root"/usr/lib/*-linux-gnu/opensc-pkcs11.so; do
    [ ! -e "$module" ] || ln -sfn "${module#"$root/usr/lib/"}" "$root/usr/lib/opensc-pkcs11.so"
done

# An empty file: systemd gives the box a machine id of its own, in memory.
rm -f "$root/etc/machine-id"
: >"$root/etc/machine-id"
chmod 0444 "$root/etc/machine-id"

# Which version this is: shown, compared by RAUC, said in custody records.
version=${WARDGATE_VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$common/../../pyproject.toml")}
release=$root/usr/lib/os-release
sed -i '/^IMAGE_/d; /^VARIANT_ID=/d' "$release"
printf 'IMAGE_ID=%s\nIMAGE_VERSION=%s\n' "$(word compatible)" "$version" >>"$release"
# Built from a tree that is not the pinned one: for trying (tools/image.sh).
[ "${UNPINNED:-}" != yes ] || echo VARIANT_ID=unpinned >>"$release"

"$common/rauc.sh" "$root" "$board" "$version"

"$common/built.sh" "$root"
"$common/needed.sh" "$root"
"${PYTHON:-python3}" "$common/hardened.py" "$root"
