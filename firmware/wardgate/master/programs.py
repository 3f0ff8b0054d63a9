"""Which programs the master starts. Tests give others."""

from __future__ import annotations

import sys

_MODULE = (sys.executable, "-P", "-m")  # -P: never import from the folder the master was started in


class Programs:
    """Command lines.

    `resolve`, `crl_fetch`, `witnessing`, `pruning`, `keeping` and `recording` get the file's path appended, the others their control
    descriptor.
    """

    def __init__(
        self,
        resolve: tuple[str, ...] = (*_MODULE, "wardgate.policy.resolve"),
        writer: tuple[str, ...] = (*_MODULE, "wardgate.hold.writer"),
        worker: tuple[str, ...] = (*_MODULE, "wardgate.relay.worker"),
        crl_fetch: tuple[str, ...] = (*_MODULE, "wardgate.transport.crlfetch"),
        witnessing: tuple[str, ...] = (*_MODULE, "wardgate.custody.witnessing"),
        pruning: tuple[str, ...] = (*_MODULE, "wardgate.custody.pruning"),
        keeping: tuple[str, ...] = (*_MODULE, "wardgate.provision.keeping"),
        recording: tuple[str, ...] = (*_MODULE, "wardgate.plant.recording"),
        forwarder: tuple[str, ...] = (*_MODULE, "wardgate.hold.forwarder"),
        auditor: tuple[str, ...] = (*_MODULE, "wardgate.audit.sender"),
    ) -> None:
        self.resolve = resolve
        self.writer = writer
        self.worker = worker
        self.crl_fetch = crl_fetch
        self.witnessing = witnessing
        self.pruning = pruning
        self.keeping = keeping
        self.recording = recording
        self.forwarder = forwarder
        self.auditor = auditor
