"""Says where a defect of ours happened, for the log."""

from __future__ import annotations

import os


def traceback_of(error: BaseException) -> str:
    """Return where an exception came from, innermost last, as `file:line` words; without values, which may be a patient's."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(places[-6:])
