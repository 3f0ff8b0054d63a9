"""Fetches CRLs: `python -m wardgate.transport.crlfetch [--audit] CONFIG`. A short-lived program that the master starts every now and then.

With `--audit` an audit sender that has an account of its own starts it, for the repositories alone and into a directory of that account.

From crl_urls, the distribution points of our own and the anchors' certificates, and those that workers saw in peers' certificates.
Only http (RFC 5280 4.2.1.13: a CRL is signed; https would need CRLs of its own), bounded in size and time, replaced atomically.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.transport import chain as chains
from wardgate.transport.crl import MAX_BYTES, MAX_FETCHED, MAX_WANTED, url_name
from wardgate.transport.crllist import CrlList
from wardgate.transport.crlround import fetch_all
from wardgate.transport.errors import CrlError, PeerRefused
from wardgate.transport.patience import connect_until

if TYPE_CHECKING:
    from wardgate.policy.model import Config
    from wardgate.policy.tls import Tls

STEP_SECONDS: Final = 10.0  # connect, and each wait for bytes
TOTAL_SECONDS: Final = 60.0
_REDIRECTS: Final = 2
_LARGE: Final = 4 << 20
_one_large = threading.Lock()  # several lists come at once, but one of more than _LARGE bytes: the memory of the box is small
_KEEP_SECONDS: Final = 30 * 86400  # a file that came so long ago goes, when nothing asks for it any more


def fetch(url: str, folder: Path, *, step_seconds: float = STEP_SECONDS, total_seconds: float = TOTAL_SECONDS) -> bool:
    """Fetch one CRL into `folder`, atomically; return whether it is new. Raises `CrlError`; the old file stays then."""
    data = _download(url, step_seconds, time.monotonic() + total_seconds)
    try:
        crl = CrlList(data)
    except ValueError as error:
        raise CrlError(Code.CRL_FETCH_FAILED, f"{url}: not a CRL that can be used: {str(error)[:120]}") from error
    target = folder / f"{url_name(url)}.crl"
    try:
        held = target.read_bytes()
    except OSError:
        held = b""
    if held == data:
        return False
    if held:
        with contextlib.suppress(ValueError):
            old = CrlList(held)
            # An older list, replayed, would undo a revocation. Who signed them is judged where they are used.
            if old.issuer == crl.issuer and old.this_update > crl.this_update:
                raise CrlError(Code.CRL_OLDER, url)
    _replace(target, data)
    return True


def urls_of(config: Config, folder: Path, tables: Iterable[Tls] | None = None) -> list[str]:
    """Return all URLs to fetch, each once, at most 256: of policy and own certificates first, the others in another order each time.

    `tables`: for whom; all of the gateway's own without it.
    """
    found: dict[str, None] = {}
    for tls in _gateways(config) if tables is None else tables:
        if tls.crl_policy == "off":
            continue
        found.update(dict.fromkeys(tls.crl_urls))
        for path in (tls.anchors, *(pair.chain for pair in tls.certificates)):
            found.update(dict.fromkeys(_points(path)))
    seen = list(_wanted(folder / "wanted"))
    random.shuffle(seen)  # when a round has no time for all, it is not the same ones each time
    found.update(dict.fromkeys(seen))
    return list(found)[:MAX_FETCHED]


def main(arguments: list[str]) -> int:
    """Fetch everything once; return 0 when all came, 1 when some did not, 2 on wrong usage."""
    for_audit = arguments[:1] == ["--audit"]
    if len(arguments) != 1 + for_audit:
        sys.stderr.write("usage: python -m wardgate.transport.crlfetch [--audit] CONFIG\n")
        return 2
    from wardgate.policy import load

    config = load(Path(arguments[-1]), check_files=not for_audit)
    folder = (config.audit_socket.parent if for_audit else config.box.run_dir) / "crl"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = Log("crlfetch")
    failed = False
    urls = urls_of(config, folder, [each.tls for each in config.audit.repositories] if for_audit and config.audit else None)
    for url, result in fetch_all(urls, lambda each: fetch(each, folder)):
        if isinstance(result, CrlError):
            failed = True
            log.event(result.code, detail=result.detail)
        elif result:
            log.event(Code.CRL_FETCHED, url=url)
    _sweep(folder, urls)
    return int(failed)


def _gateways(config: Config) -> Iterable[Tls]:
    """Yield the TLS tables of what the gateway's account does."""
    parties = (party.tls for link in config.links for party in link.parties)
    repositories = config.audit.repositories if config.audit is not None and not config.audit.socket else ()
    yield from (tls for tls in (*parties, *(each.tls for each in repositories)) if tls is not None)


def _download(url: str, step_seconds: float, deadline: float) -> bytes:
    for _ in range(_REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme.lower() != "http" or not parts.hostname:
            raise CrlError(Code.CRL_URL_REFUSED, url)
        try:
            answer = _get(parts.hostname, parts.port or 80, parts.path + (f"?{parts.query}" if parts.query else ""), step_seconds, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CrlError(Code.CRL_FETCH_FAILED, f"{url}: {type(error).__name__} {error}") from error
        if isinstance(answer, bytes):
            return answer
        url = answer
    raise CrlError(Code.CRL_FETCH_FAILED, f"{url}: too many redirections")


def _get(host: str, port: int, path: str, step_seconds: float, deadline: float) -> bytes | str:
    """Return the body, or the place of a redirection."""
    connection = http.client.HTTPConnection(host, port, timeout=step_seconds)
    large = False
    try:
        connect_until(connection, deadline)
        connection.request("GET", path or "/", headers={"Accept": "application/pkix-crl, */*", "Connection": "close"})
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308):
            return response.headers.get("Location", "")
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        body = bytearray()
        while chunk := response.read1(1 << 16):
            body += chunk
            if len(body) > _LARGE and not large:
                large = _one_large.acquire(timeout=max(0.0, deadline - time.monotonic()))
                if not large:
                    raise TimeoutError("another large list is coming")
            if len(body) > MAX_BYTES:
                raise ValueError(f"over {MAX_BYTES} bytes")
        if response.length:
            raise ValueError("cut short")
        return bytes(body)
    finally:
        connection.close()
        if large:
            _one_large.release()


def _replace(target: Path, data: bytes) -> None:
    partial = target.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise CrlError(Code.CRL_FETCH_FAILED, f"{target}: {error.strerror}") from error


def _points(path: Path) -> Iterable[str]:
    """Return the http distribution points of all certificates in a PEM file; a file that cannot be read is another's complaint."""
    try:
        ders = chains.pem_certificates(path.read_text("utf-8", "replace"))
        return [url for der in ders for url in chains.read_facts(der).points if url.lower().startswith("http://")]
    except (OSError, ValueError, PeerRefused):
        return []


def _wanted(folder: Path) -> Iterable[str]:
    urls = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder))[:MAX_WANTED]:
            with contextlib.suppress(OSError, ValueError):
                url = (folder / name).read_text("utf-8")[:1024]
                if name == url_name(url):
                    urls.append(url)
    return urls


def _sweep(folder: Path, urls: list[str]) -> None:
    asked = {f"{url_name(url)}.crl" for url in urls}
    with contextlib.suppress(OSError):
        for path in folder.glob("*.crl"):
            if path.name not in asked and time.time() - path.stat().st_mtime > _KEEP_SECONDS:
                path.unlink()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
