"""Messages that must not leave the box. Each ends its association."""

from __future__ import annotations

from wardgate.codes import Code


class NotAccepted(Exception):
    """A message on a context that was not accepted (PS3.8 9.3.5.1)."""

    code = Code.CONTEXT_NOT_ACCEPTED


class NotOpened(Exception):
    """A message that wants a record, in an association that proposed no SOP class for it: it has no open entry."""

    code = Code.STORE_NOT_PROPOSED


class NoLogSpace(Exception):
    """A C-STORE request that could not get its record must not leave the box."""

    code = Code.LOG_SPACE_OUT
