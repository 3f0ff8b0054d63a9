"""Processes that speak the master's protocols and do nothing else: stand-ins for a worker and for the custody writer.

    fake_child.py writer --socket PATH ...
    fake_child.py worker FD      what it does is told by files in its run directory:
    fail-GENERATION              say "failed" instead of "ready"
    slow-drain                   never finish draining
    grow                         hold 64 MiB more; taken away by the first who does
The worker leaves `worker-PID.start` with its start message.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from pathlib import Path


def writer(words: list[str]) -> None:
    """Take connections until SIGTERM or the master's end."""
    control = socket.socket(fileno=int(words[words.index("--control-fd") + 1]))
    path = Path(words[words.index("--socket") + 1])
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        while control not in select.select([listener, control], [], [])[0]:
            listener.accept()[0].close()


def worker(fd: int) -> None:
    """Serve until told to stop."""
    control = socket.socket(fileno=fd)

    def say(message: object) -> None:
        control.send(json.dumps(message).encode())

    first, received, _, _ = socket.recv_fds(control, 1 << 20, 250)
    if not first:
        sys.exit(0)
    start = json.loads(first)
    start["received"] = received
    fds = received or start["fds"]
    run_dir = Path(start["config"]["box"]["run_dir"])
    (run_dir / f"worker-{os.getpid()}.start").write_text(json.dumps(start))
    generation = start.get("generation")
    for listener, _text, _parties in start.get("listeners", []):
        assert socket.socket(fileno=os.dup(fds[listener])).getsockname()
    if (run_dir / f"fail-{generation}").exists():
        say({"is": "failed", "code": "WG301", "detail": "as the test wished"})
        sys.exit(1)
    say({"is": "ready"})
    status = {"links": {"ct1": {"now": 1, "associations": 7}}, "errors": [[1, "WG501", "one"]]}
    ballast = b""
    while data := control.recv(1 << 20):
        message = json.loads(data)
        if message["do"] == "status":
            if (run_dir / "grow").exists():
                (run_dir / "grow").unlink(missing_ok=True)
                ballast += b"x" * (64 << 20)
            say({"is": "status", "id": message["id"], "status": status})
        elif message["do"] == "ping":
            say({"is": "alive"})
        elif message["do"] == "stop":
            sys.exit(0)
        elif message["do"] == "drain" and not (run_dir / "slow-drain").exists():
            say({"is": "drained"})
            sys.exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "writer":
        writer(sys.argv[2:])
    else:
        worker(int(sys.argv[2]))
