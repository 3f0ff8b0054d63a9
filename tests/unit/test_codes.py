"""The table of failure codes: read as an enum is, made row by row when asked."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from wardgate.codes import Code, Entry, Level, Side

ROOT = Path(__file__).resolve().parents[2]


def test_a_code_is_its_row() -> None:
    code = Code.LISTEN_FAILED
    assert isinstance(code, Code) and isinstance(code.value, Entry)
    assert (code.name, code.value.number, code.value.side, code.value.level) == ("LISTEN_FAILED", 210, Side.BOX, Level.ERROR)
    assert (str(code), f"{code}", repr(code)) == ("WG210", "WG210", "Code.LISTEN_FAILED")


def test_there_is_one_of_each_by_whatever_way_it_is_asked_for() -> None:
    code = Code.STARTED
    assert code is Code.STARTED is Code["STARTED"] is Code.__members__["STARTED"] is Code.numbered(201)
    assert code in list(Code) and len(list(Code)) == len(Code) == len(set(Code))
    assert code == Code.STARTED != Code.STOPPED and {code: 1}[Code["STARTED"]] == 1


def test_a_copy_of_a_code_is_the_code() -> None:
    assert copy.copy(Code.STOPPED) is copy.deepcopy([Code.STOPPED])[0] is pickle.loads(pickle.dumps(Code.STOPPED)) is Code.STOPPED


def test_names_and_numbers_are_used_once() -> None:
    """A second row of one name would take the place of the first without a word."""
    text = (ROOT / "firmware/wardgate/codes.py").read_text()
    names = Counter(line.split()[0] for line in text.splitlines() if line.startswith("    ") and " = _row(" in line)
    assert list(names) == list(Code.__members__) and set(names.values()) == {1}
    assert set(Counter(code.value.number for code in Code).values()) == {1}


def test_what_is_no_code_is_refused() -> None:
    with pytest.raises(AttributeError):
        Code.STARTLED  # noqa: B018
    with pytest.raises(KeyError):
        Code["STARTLED"]
    assert Code.numbered(999) is None and "STARTLED" not in Code.__members__


def test_the_table_stays_as_it_is_written() -> None:
    with pytest.raises(AttributeError):
        Code.STARTED = Code.STOPPED
    assert Code.STARTED.value.number == 201


def test_threads_that_ask_at_once_get_the_same() -> None:
    program = (
        "import sys, threading; sys.setswitchinterval(1e-6); from wardgate.codes import Code;"
        "seen = [[] for _ in range(4)]; go = threading.Barrier(4);"
        "ask = lambda mine: (go.wait(), mine.extend(Code));"
        "threads = [threading.Thread(target=ask, args=(mine,)) for mine in seen];"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads];"
        "print({len(set(each)) for each in zip(*seen)})"
    )
    assert told_by(program) == "{1}"


def test_only_the_codes_that_are_used_are_made() -> None:
    """Each process of the box loads the table: what walks all of it at import makes every start slower."""
    modules = (
        "transport.peer transport.provider audit.once relay.worker hold.forwarder custody.service master.supervisor policy.check ports"
    )
    loads = "".join(f"import wardgate.{name};" for name in modules.split())
    program = f"from wardgate.codes import Code; import wardkeys.errors; {loads} print(len(Code._made) < len(Code) // 2)"
    assert told_by(program) == "True"


def told_by(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout.strip()
