#!/bin/sh
# Buildroot calls it with the target folder and the board's name, before the root file system is made. What both builders do to a root
# is in image/common/finish.sh.
set -eu
target=$1
board=$2
here=$(cd "$(dirname "$0")" && pwd)
# WARDGATE_VERSION is Buildroot's own word for our package (tools/image.sh).
WARDGATE_VERSION=${WARDGATE_IMAGE_VERSION:-} "$here/../common/finish.sh" "$target" "$board"
# Slot logic of RAUC needs the loader's own tool on the box; nothing else of the loader stays.
rm -rf "${target:?}/boot"
