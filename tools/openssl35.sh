#!/bin/sh
# Makes build/openssl35/root: Debian 13's Python with OpenSSL 3.5, unpacked beside this system, from the Debian mirror that apt uses here.
# It runs by its own loader and libraries, without chroot. Prints the path of its Python; safe to run again. 17 s, 71 MB.
set -eu
cd "$(dirname "$0")/.."

BASE=build/openssl35
ROOT=$BASE/root
PYTHON=$PWD/$ROOT/usr/bin/python
PACKAGES=python3-minimal,libpython3-stdlib,libssl3t64,python3-cryptography,python3-pytest,python3-pytest-timeout,python3-hypothesis

fail() {
    printf 'openssl35: %s\n' "$*" >&2
    exit 1
}

mkdir -p "$BASE"
exec 9>"$BASE/lock"
flock 9 # several test processes may ask at once
if [ -x "$PYTHON" ]; then
    echo "$PYTHON"
    exit 0
fi
command -v mmdebstrap >/dev/null || fail "mmdebstrap is not installed (apt-get install mmdebstrap)"
MIRROR=$(image/debian/mirror.sh 2>&1) || fail "$MIRROR"
rm -rf "$ROOT" "$ROOT.new"
timeout 300 mmdebstrap --quiet --variant=extract --include="$PACKAGES" --aptopt='APT::Install-Recommends "0"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' trixie "$ROOT.new" "$MIRROR" \
    >"$BASE/log" 2>&1 || {
    rm -rf "$ROOT.new"
    fail "Debian 13 could not be unpacked: $(tail -n 1 "$BASE/log")"
}
cat >"$ROOT.new/usr/bin/python" <<'END'
#!/bin/sh
# Python of this root, with its own libraries; argv0 tells it where it is.
R=${0%/usr/bin/*}
exec "$R/usr/lib64/ld-linux-x86-64.so.2" --library-path "$R/usr/lib/x86_64-linux-gnu" --argv0 "$0" "$R/usr/bin/python3.13" "$@"
END
chmod +x "$ROOT.new/usr/bin/python"
mv "$ROOT.new" "$ROOT"
"$PYTHON" -c 'import ctypes, ssl' 2>>"$BASE/log" || fail "its Python does not run here: $(tail -n 1 "$BASE/log")"
echo "$PYTHON"
