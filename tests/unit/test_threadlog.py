"""Log lines of threads that write while pytest takes nothing are kept for the next failure of their test."""

from __future__ import annotations

import sys
import threading

import pytest

from support import threadlog
from wardgate.codes import Code
from wardgate.log import Log


def _logs(name: str) -> None:
    thread = threading.Thread(target=lambda: Log(name).event(Code.STARTED))
    thread.start()
    thread.join()


def test_a_line_of_a_thread_goes_to_pytest_while_it_takes_lines_and_is_kept_while_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threadlog.install()
    _logs("taken")
    assert " taken info " in capsys.readouterr().err and threadlog.take() == ""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", sys.__stderr__)  # as it is between two phases
        _logs("kept")
    assert " kept info " in threadlog.take() and threadlog.take() == ""
    assert capsys.readouterr().err == ""
