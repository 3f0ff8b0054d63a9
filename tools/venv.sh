#!/bin/sh
# Makes the virtual environment DIR with PYTHON and the development tools: tools/venv.sh PYTHON DIR. Silent when nothing is to be done.
set -eu
cd "$(dirname "$0")/.."
python=$1 venv=$2
# Behind a link it is another tree's, and taken as it is.
[ ! -L "$venv" ] || exit 0

mkdir -p build
exec 8>"build/${venv#.}.lock"
# One makes it, who comes meanwhile waits.
flock -n 8 || { echo "setup: another one is at work on $venv; waiting for it" && flock 8; }

minor() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
# One that was interrupted has no pip yet; one whose Python went or is another has modules that it does not find.
is_whole() { [ -d "$venv/lib/python$(minor "$venv/bin/python")/site-packages" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }
# The import hook of an editable install would load pathlib and urllib into every process whose memory we measure: paths do.
# Each time: of a tree that was moved or copied they would lead to the other one.
paths() {
    for pth in "$venv"/lib/python3*/site-packages/__editable__.wardgate-*.pth; do
        [ ! -f "$pth" ] || printf '%s\n' "$PWD/firmware" "$PWD/hsm" "$PWD/tools" | cmp -s - "$pth" ||
            printf '%s\n' "$PWD/firmware" "$PWD/hsm" "$PWD/tools" >"$pth"
    done
    # The commands too: pip writes the whole path of its Python into them, `venv` its own into what is read by a shell.
    for name in wardgate:wardgate.main wardtool:wardtools.main; do
        # shellcheck disable=SC2016 # for the command
        printf '#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/python" -P -m %s "$@"\n' "${name#*:}" >"$venv/bin/${name%%:*}.new"
        chmod 0755 "$venv/bin/${name%%:*}.new"
        mv "$venv/bin/${name%%:*}.new" "$venv/bin/${name%%:*}"
    done
    [ ! -f "$venv/bin/activate" ] || grep -qF "$(pwd -P)/$venv" "$venv/bin/activate" || "$python" -m venv --without-pip "$venv"
}

stamp=$venv/.stamp
wanted=$(cat pyproject.toml tools/venv.sh | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -d "$venv/lib/python$(minor "$venv/bin/python")/site-packages" ]; then
    paths
    exit 0
fi
printf 'setup: making %s with %s and the development tools (about a minute)\n' "$venv" "$("$python" --version)"
{
    { is_whole || "$python" -m venv --clear "$venv"; } &&
        "$venv/bin/python" -m pip install -q --disable-pip-version-check -e '.[dev]'
} >build/setup.log 2>&1 || {
    tail -n 20 build/setup.log >&2
    printf 'setup: %s was not made; what it needs comes from PyPI, or from where PIP_INDEX_URL or PIP_FIND_LINKS say (build/setup.log)\n' "$venv" >&2
    exit 1
}
paths
printf '%s\n' "$wanted" >"$stamp"
printf 'setup: %s is ready\n' "$venv"
