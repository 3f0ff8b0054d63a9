"""Says what an exception means and where a defect of ours happened, for the log."""

from __future__ import annotations

import os

from wardgate.codes import Code


def traceback_of(error: BaseException) -> str:
    """Return where an exception came from, innermost last, as `file:line` words; without values, which may be a patient's."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(places[-6:])


def code_of(error: Exception | None) -> Code:
    """Return the code that an error carries; one without is a defect of ours."""
    code = getattr(error, "code", Code.WORKER_DEFECT)
    return code if isinstance(code, Code) else Code.WORKER_DEFECT
