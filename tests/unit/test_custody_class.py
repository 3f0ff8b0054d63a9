"""How the custody writer is scheduled: first where there are several processors, not at all in a hurry where there is one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wardgate.custody.writer import enter_class

ASKED = """
import os
from wardgate.custody.writer import enter_class
enter_class({})
print(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)
"""


def asked(processors: int) -> list[int]:
    done = subprocess.run([sys.executable, "-c", ASKED.format(processors)], capture_output=True, text=True, timeout=100, check=True)
    return [int(word) for word in done.stdout.split()]


def test_on_one_processor_the_writer_interrupts_nobody() -> None:
    assert asked(1) == [os.SCHED_BATCH, 0]


@pytest.mark.skipif(os.geteuid() != 0, reason="the real-time class is root's, or a unit's, to give")
def test_on_several_the_writer_goes_first_and_what_it_starts_does_not() -> None:
    assert asked(2) == [os.SCHED_RR | os.SCHED_RESET_ON_FORK, 1]


def test_a_class_that_is_refused_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _policy: int, _param: os.sched_param) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    enter_class(2)
    enter_class(1)
