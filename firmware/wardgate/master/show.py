"""`wardgate status`: asks the running gateway and the custody writer, and prints it for a person or as JSON."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from wardgate.codes import Code
from wardgate.log import printable
from wardgate.supervisor import shown as supervisor

if TYPE_CHECKING:
    from wardgate.policy.model import Config

_SECONDS = 5.0
_MAX_BYTES = 4 << 20


def show(path: str, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Print the status of the gateway of the configuration at `path`. Returns 1 when none answers."""
    from wardgate.policy import load
    from wardgate.policy.mistakes import ConfigErrors

    try:
        config = load(path, check_files=False)
        run_dir = str(config.box.run_dir)
    except ConfigErrors as errors:
        out.writelines(f"STATE {line}\n" for line in standing())  # as where the state, with the policy on it, is not there
        err.write(f"{errors}\n")
        return 1
    try:
        status = ask_master(os.path.join(run_dir, "status.sock"))
    except (OSError, ValueError) as error:
        out.writelines(f"STATE {line}\n" for line in standing(str(config.box.state)))
        code = Code.STATUS_UNREACHABLE
        err.write(f"{code} {code.value.sentence} ({run_dir}: {error}) -> {code.value.action}\n")
        return 1
    status["standing"] = standing(str(config.box.state))
    writer = str(config.writer_socket)
    status["closed"] = os.path.exists(writer) and not os.access(writer, os.W_OK)
    status["custody"] = None if status["closed"] else ask_writer(writer)
    status["witnesses"] = {} if status["closed"] else witnesses(config)
    if status.get("forwarder") is not None and not status["closed"]:
        status["hold"] = ask_forwarder(os.path.join(run_dir, "hold.sock"))
    if config.audit is not None:
        from wardgate.audit.report import ask_sender

        sender = str(config.audit_socket)
        status["audit_closed"] = os.path.exists(sender) and not os.access(sender, os.W_OK)
        status["audit"] = None if status["audit_closed"] else ask_sender(sender)
    if config.plant.ports != "none":
        status["plant"] = ask_netd(str(config.plant.socket))
    status["supervisor"] = supervisor.read(supervisor.PATH)
    if as_json:
        json.dump(status, out, indent=2)
        out.write("\n")
    else:
        out.writelines(f"{line}\n" for line in lines(status, time.time()))
    return 0


def ask_master(path: str) -> dict[str, Any]:
    """Return the master's status. Raises `OSError`, `ValueError`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_SECONDS)
        sock.connect(path)
        data = bytearray()
        while chunk := sock.recv(65536):
            data += chunk
            if len(data) > _MAX_BYTES:
                raise ValueError("the answer is too long")
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError("the answer is not a status")
    return answer


def ask_writer(path: str) -> dict[str, Any] | None:
    """Return the writer's own report (STAT), None when it does not answer."""
    from wardgate.custody.client import WriterGone, ask
    from wardgate.custody.wire import Op

    try:
        report = json.loads(ask(path, Op.STAT, _SECONDS))
    except (WriterGone, ValueError):
        return None
    return report if isinstance(report, dict) else None


def ask_forwarder(path: str) -> dict[str, Any] | None:
    """Return the state of the queue, None when the hold forwarder does not answer."""
    from wardgate.hold.port import ask

    try:
        answer = ask(path, {"do": "status"})
    except (OSError, ValueError):
        return None
    return answer if answer.pop("ok", False) else None


def ask_netd(path: str) -> dict[str, Any] | None:
    """Return what netd says of the plant, None when it does not answer."""
    from wardgate.plant import wire

    try:
        answer, _ = wire.ask(path, {"op": "status"}, _SECONDS)
    except (OSError, EOFError, wire.WireError):
        return None
    return answer if answer.get("ok") else None


def standing(state: str = "") -> list[str]:
    """Return the named states that hold, a line each. `state`: where the policy says that the state partition is mounted."""
    from wardgate.provision.standing import Places, look

    return [one.line for one in look(Places(state=state) if state else Places())]


def _plant(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return "plant: netd does not answer"
    enforced = "policy holds" if answer["enforce"] else "ENFORCE = FALSE"
    refused = sum(count for name, count in answer["counters"].items() if not name.startswith(("allow_", "dicom_", "break_glass")))
    return f"plant: {answer['ports']}, {enforced}; modality {', '.join(answer['stations']) or 'not seen yet'}; {refused} frames refused"


def lines(status: dict[str, Any], now: float) -> Iterator[str]:
    """Yield the lines for a person. `now` is Unix seconds."""
    glass = (status.get("plant") or {}).get("break_glass", {})
    if glass.get("lasts"):
        by = f"by {printable(glass['act'])} ({printable(glass['who'])})"
        yield f"BREAK-GLASS LASTS: {glass['left_seconds']} s left; {by}: {printable(glass['reason'])}"
    for problem in glass.get("problems", ()):
        yield f"BREAK-GLASS: {printable(problem)}"
    if glass.get("unrecorded"):
        yield f"BREAK-GLASS: {glass['unrecorded']} records wait for the custody log"
    yield from (f"STATE {line}" for line in status.get("standing", []))
    yield f"{status['box']}: {status['stage']}, up {_duration(status['uptime_seconds'])}"
    for text in status["unsafe"]:
        yield f"UNSAFE: {text}"
    yield from _tokens(status)
    totals = dict(status["totals"])
    events = [each for each in (totals.pop("audit_events", None), status.get("audit_events")) if each]
    for name, counters in sorted(totals.pop("links", {}).items()):
        yield f"link {name}: {_pairs(counters)}"
    codes = totals.pop("codes", {})
    if totals:
        yield f"workers: {_pairs(totals)}"
    if codes:
        yield f"events by code: {_pairs(dict(sorted(codes.items())))}"
    custody = status.get("custody")
    if status.get("closed"):
        yield "custody, hold: only the gateway's own account may ask"
    else:
        yield "custody: the writer does not answer" if custody is None else f"custody: {_custody(custody)}"
    for name, said in status.get("witnesses", {}).items():
        yield f"witness {name}: {_witness(said)}"
    if custody is not None and not status.get("witnesses"):
        yield "custody: no witness is configured: that the log was never rolled back or made again cannot be proved to others"
    if status.get("forwarder") is not None and not status.get("closed"):
        yield from hold_lines(status.get("hold"))
    if status.get("audit_closed"):
        yield "audit: only the gateway's own account may ask"
    elif "audit" in status:
        from wardgate.audit.report import lines as audit_lines

        yield from audit_lines(status["audit"], events)
    if "plant" in status:
        yield _plant(status["plant"])
    if "supervisor" in status:
        yield supervisor.line(status["supervisor"], now)
    for link, party, chain, not_after in status["certificates"]:
        yield f"certificate {chain} ({link}, {party}): {int((not_after - now) // 86400)} days left"
    yield f"master: pid {status['master']['pid']}, {_mib(status['master']['memory_bytes'])}"
    writer = status["writer"]
    yield "writer: none" if writer is None else f"writer: pid {writer['pid']}, {writer['state']}, {_mib(writer['memory_bytes'])}"
    forwarder = status.get("forwarder")
    if forwarder is not None:
        yield f"hold forwarder: pid {forwarder['pid']}, {_mib(forwarder['memory_bytes'])}"
    auditor = status.get("auditor")
    if auditor is not None:
        # Of another account's process the memory is not shown to this one.
        memory = f", {_mib(auditor['memory_bytes'])}" if auditor["memory_bytes"] else ""
        yield f"audit sender: pid {auditor['pid']}{memory}"
    for generation in status["generations"]:
        yield f"generation {generation['generation']}: {generation['phase']}"
        for worker in generation["workers"]:
            silent = "" if worker["answers"] else ", does not answer"
            yield f"  worker {worker['worker']}: pid {worker['pid']}, {worker['state']}, {_mib(worker['memory_bytes'])}{silent}"
    for when, code, text in status["errors"]:
        yield f"{_time(when)} {code} {text}"


def hold_lines(report: dict[str, Any] | None) -> Iterator[str]:
    """Yield the lines of the queue."""
    if report is None:
        yield "hold: the forwarder does not answer"
        return
    rest = dict(report)
    destinations = rest.pop("destinations", [])
    commitment = rest.pop("commitment", None)
    yield f"hold: {_pairs(rest)}"
    if commitment and any(commitment.values()):
        not_done = f"; not done by {', '.join(map(printable, commitment['not_done_by']))}" if commitment["not_done_by"] else ""
        yield (
            f"  storage commitment: {commitment['to_ask']} instances to ask for, {commitment['asked']} transactions without a report, "
            f"{commitment['to_tell']} requests of modalities not told yet{not_done}"
        )
    for one in destinations:
        again = f"; next try in {one['next_try_seconds']} s" if one["failures"] else ""
        last = f"; last answer {printable(one['last'])}" if one["last"] else ""
        yield (
            f"  {one['link']} to {one['peer']}: {one['waiting']} waiting, {one['delivered']} delivered, "
            f"{one['associations']} associations, {one['failures']} failures in a row{again}{last}"
        )


def _tokens(status: dict[str, Any]) -> Iterator[str]:
    service = status.get("key_service")
    if service is not None and not service["connected"]:
        yield f"KEY SERVICE AWAY: {service['socket']}: {service['problem']}"
    for row in status.get("tokens", []):
        since = f" since {_time(row['since'])}" if row["since"] else ""
        tries = "" if row["tries"] is None else f", {row['tries']} tries"
        loud = "" if row["state"] == "present" else f"REFUSED: {row['code']} "
        detail = f" ({row['detail']})" if row["detail"] else ""
        users = ", ".join(row["users"])
        yield f"{loud}token {row['token']}: {row['state']}{since}{detail}, {row['changes']} changes{tries}; used by {users}"
    custody = status.get("custody")
    if custody and custody.get("signing") == "out":
        waiting = custody["durable"] - custody["signed"]
        bound = f" of at most {custody['unsigned_bound']}" if custody["unsigned_bound"] else ""
        yield f"UNSIGNED: the custody log grows without signatures since {_time(custody['signing_since'])}: {waiting} records{bound}"


def _custody(report: dict[str, Any]) -> str:
    """Durable (on disk) and signed (under a checkpoint) are different things; both are shown."""
    rest = dict(report)
    durable, signed, when = rest.pop("durable", 0), rest.pop("signed", 0), rest.pop("checkpoint_time", None)
    last = _time(when) if isinstance(when, int | float) and when > 0 else "none since start"
    return f"{durable} records durable, {signed} signed, {durable - signed} not signed yet; last checkpoint {last}; {_pairs(rest)}"


def witnesses(config: Config) -> dict[str, dict[str, Any]]:
    """Return what each configured witness said last, by name."""
    from wardgate.custody.cosignature import parse_witness_key
    from wardgate.custody.witnessing import read_status

    said = read_status(str(config.custody.log)) if config.custody.witness else {}
    names = [parse_witness_key(witness.key).name for witness in config.custody.witness]
    return {name: said.get(name, {"state": "not asked yet"}) for name in names}


def _witness(said: dict[str, Any]) -> str:
    """In one line; until a witness has signed, what it would prove is not provable."""
    size, when = said.get("size", 0), said.get("cosigned")
    last = f"signed {size} records at {_time(when)}" if when else "has signed nothing yet: a rollback cannot be proved with it"
    detail = f" ({said['detail']})" if said.get("detail") else ""
    return f"{said['state']}, {last}{detail}"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _pairs(table: dict[str, Any]) -> str:
    return ", ".join(
        f"{str(key).replace('_', ' ')} {_pairs(value) if isinstance(value, dict) else printable(value)}" for key, value in table.items()
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    return f"{days} d {rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
