#!/bin/sh
# Makes the virtual environment DIR with PYTHON and the development tools: tools/venv.sh PYTHON DIR. Silent when nothing is to be done.
set -eu
cd "$(dirname "$0")/.."
python=$1 venv=$2

stamp=$venv/.stamp
wanted=$(cat pyproject.toml tools/venv.sh | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
printf 'setup: making %s with %s and the development tools (about a minute)\n' "$venv" "$("$python" --version)"
mkdir -p build
{
    { [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"; } &&
        "$venv/bin/python" -m pip install -q --disable-pip-version-check -e '.[dev]'
} >build/setup.log 2>&1 || {
    tail -n 20 build/setup.log >&2
    exit 1
}
# The import hook of an editable install would load pathlib and urllib into every process whose memory we measure: paths do.
for pth in "$venv"/lib/python3*/site-packages/__editable__.wardgate-*.pth; do
    printf '%s\n' "$PWD/firmware" "$PWD/hsm" "$PWD/tools" >"$pth"
done
printf '%s\n' "$wanted" >"$stamp"
printf 'setup: %s is ready\n' "$venv"
