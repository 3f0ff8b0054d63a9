#!/bin/sh
# Runs the groups that need nothing but Python under 3.13, the product's version; says why when it cannot.
set -eu
cd "$(dirname "$0")/.."

python=""
for candidate in python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python3.13; do
    # A shim may be on the path without a version behind it, and ensurepip may be missing.
    if "$candidate" -c 'import ensurepip, ssl, venv' >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "SKIPPED: the groups unit, vectors and pair under Python 3.13: no python3.13 with venv on this machine"
    exit 0
fi

stamp=.venv313/.stamp
wanted=$(cat pyproject.toml tools/py313.sh | sha256sum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "setup: making .venv313 with $("$python" --version)"
    [ -x .venv313/bin/python ] || "$python" -m venv .venv313
    mkdir -p build
    .venv313/bin/python -m pip install -q --disable-pip-version-check -e '.[dev]' >build/setup.log 2>&1 || {
        tail -n 20 build/setup.log >&2
        exit 1
    }
    printf '%s\n' "$wanted" >"$stamp"
fi
exec .venv313/bin/python -m pytest -rs tests/unit tests/vectors tests/pair
