"""The HTTP side of the witness: one call, bounded in size, time and number; TLS when it is given a certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from wardtools.witness.callers import MAX_CALLERS, Callers
from wardtools.witness.judge import Witness
from wardtools.witness.request import MAX_BODY, Answer

_SECONDS: Final = 15.0  # each wait for bytes
_MAX_THREADS: Final = 2 * MAX_CALLERS  # those that were cut end in a moment


class WitnessServer(ThreadingHTTPServer):
    """Serves `witness` at `address`. With `tls` (certificate chain, private key; PEM) over HTTPS."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], witness: Witness, tls: tuple[Path, Path] | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self.witness = witness
        self.callers = Callers()
        self._room = threading.Semaphore(_MAX_THREADS)
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._context.load_cert_chain(*tls)

    def service_actions(self) -> None:
        """Called twice a second."""
        self.callers.look()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread; at the cap another one gives way."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self.callers.enter(request, str(client_address[0]))
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection: the handshake is here, so that it keeps nobody else waiting."""
        try:
            request.settimeout(_SECONDS)
            if self._context is not None:
                try:
                    request = self._context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                    self.callers.replace(request)
                    request.do_handshake()
                except (OSError, ValueError):
                    self.shutdown_request(request)
                    return
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def close_request(self, request: Any) -> None:
        """Close a connection that was entered, or not."""
        self.callers.leave(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server: WitnessServer

    def do_POST(self) -> None:
        """Serve add-checkpoint, below any prefix."""
        length = self.headers.get("Content-Length", "")
        if not self.path.endswith("/add-checkpoint"):
            self._send(Answer(404, "not here\n"))
        elif not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            self._send(Answer(413 if length.isdigit() else 411, "a Content-Length within bounds is needed\n"))
        else:
            self._send(self.server.witness.add_checkpoint(self.rfile.read(int(length))))

    def do_GET(self) -> None:
        """There is nothing to get."""
        self._send(Answer(404, "POST .../add-checkpoint\n"))

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing for each request: what matters is told by the witness."""
