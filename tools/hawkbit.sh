#!/bin/sh
# Makes build/hawkbit: rauc-hawkbit-updater for the Debian image, and goosebit, an update server, for the tests. Safe to run again; prints the
# folder. From the environment: HAWKBIT_DIR, a tree of the pinned release (else it is fetched). Needs what Debian calls meson,
# libcurl4-gnutls-dev, libglib2.0-dev, libjson-glib-dev, libsystemd-dev. About a minute.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
pin=image/debian/hawkbit.pin
out=$PWD/build/hawkbit
pinned() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$pin"; }
fail() {
    printf 'hawkbit: %s\n' "$*" >&2
    exit 1
}

mkdir -p build
exec 8>build/hawkbit.lock
flock 8 # several test processes may ask at once
made=$(cat "$pin" tools/hawkbit.sh | sha256sum)
if [ "$(cat "$out/made" 2>/dev/null)" = "$made" ]; then
    echo "$out"
    exit 0
fi
for tool in meson ninja; do command -v $tool >/dev/null || fail "$tool is not installed"; done
# The libcurl that RAUC brings into the Debian image (GnuTLS); Buildroot's is with OpenSSL.
for library in libcurl gio-2.0 json-glib-1.0 libsystemd; do
    pkg-config --exists $library || fail "headers of $library are not installed"
done
rm -rf "$out"
mkdir -p "$out"
tree=${HAWKBIT_DIR:-}
if [ -n "$tree" ]; then
    [ "$(PYTHONPATH=tools $python -c 'import pathlib, sys; from imagecheck.pin import digest; print(digest(pathlib.Path(sys.argv[1])))' "$tree")" = "$(pinned files)" ] ||
        fail "$tree is not the pinned release"
else
    curl -fsSL -m 60 -o "$out/archive" "$(pinned url)" 2>"$out/log" || fail "the pinned release cannot be fetched; give HAWKBIT_DIR= ($(tail -n 1 "$out/log"))"
    [ "$(sha256sum "$out/archive" | cut -d' ' -f1)" = "$(pinned archive)" ] || fail "what was fetched is not the pinned release"
    mkdir "$out/tree"
    tar -C "$out/tree" --strip-components=1 -xf "$out/archive"
    tree=$out/tree
fi
meson setup "$out/meson" "$tree" -Dsystemd=enabled -Dapidoc=disabled --buildtype=release -Dc_args='-fstack-protector-strong -D_FORTIFY_SOURCE=2' \
    -Dc_link_args='-Wl,-z,relro,-z,now' -Db_pie=true >"$out/log" 2>&1 || fail "meson: $(tail -n 1 "$out/log")"
ninja -C "$out/meson" >>"$out/log" 2>&1 || fail "ninja: $(tail -n 1 "$out/log")"
readelf -d "$out/meson/rauc-hawkbit-updater" | grep -q 'NEEDED.*libcurl-gnutls' ||
    fail "linked with another libcurl than the image has: install libcurl4-gnutls-dev, which takes the place of the other one's headers"
install -m 0755 "$out/meson/rauc-hawkbit-updater" "$out/rauc-hawkbit-updater"
tools/goosebit.sh >/dev/null
rm -rf "$out/meson" "$out/archive" "$out/tree"
echo "$made" >"$out/made"
echo "$out"
