#!/bin/sh
# Runs the groups that need nothing but Python under 3.13, nearer to the pinned release's 3.14 than what most machines have; says why when it cannot.
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

tools/venv.sh "$python" .venv313
exec .venv313/bin/python -m pytest -rs -n "${JOBS:-4}" --dist loadfile tests/unit tests/vectors tests/pair
