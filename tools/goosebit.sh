#!/bin/sh
# Makes build/goosebit: goosebit, an update server that speaks hawkBit's device interface (PyPI), for the tests. Fifty packages that nothing
# else needs: a virtual environment of its own. Safe to run again, also at once; prints the folder. Half a minute.
set -eu
cd "$(dirname "$0")/.."
pinned=$(sed -n 's/^goosebit = "\(.*\)"$/\1/p' image/debian/hawkbit.pin)
out=$PWD/build/goosebit
mkdir -p build
exec 9>build/goosebit.lock
flock 9
if [ "$(cat "$out/made" 2>/dev/null)" != "$pinned" ]; then
    rm -rf "$out"
    python3 -m venv "$out"
    if ! "$out/bin/pip" install -q "goosebit==$pinned" >"$out/log" 2>&1; then
        printf 'goosebit: pip cannot fetch it: %s\n' "$(tail -n 1 "$out/log")" >&2
        exit 1
    fi
    echo "$pinned" >"$out/made"
fi
echo "$out"
