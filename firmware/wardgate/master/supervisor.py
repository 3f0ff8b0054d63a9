"""The master itself: configuration, writer, generations, signals, status."""

from __future__ import annotations

import os
import signal
import sys
import time
from enum import Enum

from wardgate.codes import Code
from wardgate.master import rundir
from wardgate.master.apart import WriterApart
from wardgate.master.asking import Asking, own_memory
from wardgate.master.auditing import Auditing
from wardgate.master.children import Children, memory_bytes
from wardgate.master.companion import Companion, holds
from wardgate.master.events import Events
from wardgate.master.generation import Generation, Phase
from wardgate.master.listeners import ListenError, Listeners
from wardgate.master.loop import Loop
from wardgate.master.parts import Parts
from wardgate.master.programs import Programs
from wardgate.master.pulse import Pulse
from wardgate.master.resolving import Resolving
from wardgate.master.rounds import Rounds
from wardgate.master.statusport import StatusPort
from wardgate.master.tokens import Tokens
from wardgate.master.totals import add
from wardgate.master.waiting import Waiting
from wardgate.master.weight import Weight
from wardgate.master.writer import Writer
from wardgate.notify import Notifier
from wardgate.provision.due import is_floor_old, is_waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardgate.master.process import Process

_WRITER_STOP_SECONDS = 20.0
_RECORD_SECONDS = 2.0  # only while something waits
_PRUNE_SECONDS = 3600.0
_KEEP_SECONDS = 5.0
_FLOOR_SECONDS = 900.0


class Stage(Enum):
    """Of the master."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"


class Supervisor:
    """Runs one box until it is told to stop. `run()` returns the exit status."""

    def __init__(self, path: str, programs: Programs | None = None) -> None:
        self._path = os.path.abspath(path)
        self._programs = programs or Programs()
        self._notifier = Notifier()
        self._loop = Loop()
        self._children = Children()
        self._events = Events("wardgate")
        self._stage = Stage.STARTING
        self._exit_status = 0
        self._started = time.time()
        self._lock = -1
        self._answer: dict[str, Any] = {}
        self._listeners: Listeners | None = None
        self._parts = Parts()
        self._writer: Writer | WriterApart | None = None
        tools = (self._loop, self._children, self._events)
        self._waiting = Waiting(*tools, self._programs.worker)
        self._forwarder = Companion(*tools, "hold forwarder", self._programs.forwarder, holds, Code.HOLD_FORWARDER_DIED)
        self._auditing = Auditing(*tools, self._programs.auditor)
        self._forwarder_gone = False
        self._status: StatusPort | None = None
        self._generations: list[Generation] = []
        self._numbers = 0
        self._past: dict[str, Any] = {}
        self._reader: Resolving | None = None  # while the configuration is read
        self._reload_wanted = False
        self._crls = Rounds(
            *tools,
            "crlfetch",
            (*self._programs.crl_fetch, self._path),
            lambda: float(self._answer["config"]["box"]["crl_refresh_seconds"]),
            lambda: self._stage is Stage.SERVING and bool(self._answer.get("fetch_crls")),
        )
        self._weight = Weight(self._loop, lambda: self._generations, self._on_heavy)
        self._tokens = Tokens(self._loop, self._events, lambda: self._generations, self._tell_writer)
        self._pulse = Pulse(self._loop, self._events, self._notifier, self._processes, lambda: self._writer)

    def run(self) -> int:
        """Serve. Returns 0 after a stop that was asked for, 1 when the box could not start."""
        for number, call in (
            (signal.SIGCHLD, self._children.reap),
            (signal.SIGTERM, self._on_stop_signal),
            (signal.SIGINT, self._on_stop_signal),
            (signal.SIGHUP, self._on_reload_signal),
        ):
            self._loop.on_signal(number, call)
        self._resolve(self._on_first_answer)
        self._waiting.begin()
        self._loop.run()
        return self._exit_status

    # Configuration

    def _resolve(self, use: Callable[[dict[str, Any]], None]) -> None:
        def done(answer: dict[str, Any] | None) -> None:
            self._reader = None
            if answer is None:
                self._events.event(Code.CHILD_FAILED, what="resolver")
                answer = {"ok": False, "mistakes": []}
            for mistake in answer.get("mistakes", []):
                self._events.event(Code[mistake["name"]], place=mistake["place"], expected=mistake["expected"], found=mistake["found"])
            use(answer)

        try:
            self._reader = Resolving(self._loop, self._children, (*self._programs.resolve, self._path), done)
        except OSError as error:
            self._events.event(Code.START_FAILED, what="resolver", detail=error.strerror)
            self._loop.after(0, lambda: use({"ok": False, "mistakes": []}))

    def _on_first_answer(self, answer: dict[str, Any]) -> None:
        if self._stage is not Stage.STARTING:
            return
        if not answer["ok"]:
            self._give_up()
            return
        self._answer = answer
        config = answer["config"]
        self._events.rename(config["box"]["name"])
        self._log_warnings(answer)
        run_dir = config["box"]["run_dir"]
        keepers = config.get("plant", {}).get("management", {}).get("side", "off") != "off"
        try:
            self._lock = rundir.hold(run_dir, keepers)
            self._status = StatusPort(self._loop, os.path.join(run_dir, "status.sock"), self._ask, 0o660 if keepers else 0o600)
        except rundir.AlreadyRunning:
            self._events.event(Code.ALREADY_RUNNING, run_dir=run_dir)
            self._give_up()
            return
        except (rundir.RunDirError, OSError) as error:
            self._events.event(Code.RUN_DIR_FAILED, detail=error)
            self._give_up()
            return
        from wardgate.transport.sockets import sockets_for

        self._auditing.prepare(config)
        self._tokens.prepare(config)
        self._listeners = Listeners(sockets_for(config["plant"]["ports"], config["plant"]["socket"]).listen)
        calls = (self._on_writer_ready, self._give_up, self._on_writer_gone)
        if config["custody"]["socket"]:
            self._writer = WriterApart(config, self._loop, self._events, *calls)
        else:
            self._writer = Writer(config, self._loop, self._children, self._events, self._programs.writer, *calls)
        self._writer.start()

    def _log_warnings(self, answer: dict[str, Any]) -> None:
        for text in answer.get("unsafe", []):
            self._events.event(Code.CONFIG_UNSAFE, what=text)
        for text in answer.get("warnings", []):
            self._events.event(Code.CONFIG_CERTIFICATE_EXPIRES, what=text)

    # Generations

    def _on_writer_ready(self) -> None:
        if self._stage is Stage.STARTING and not self._generations:
            self._new_generation(self._answer)

    def _new_generation(self, answer: dict[str, Any]) -> None:
        assert self._listeners is not None
        self._numbers += 1
        try:
            if answer.get("openssl_conf"):
                name = f"openssl-{self._numbers}.cnf"
                answer["openssl_conf_path"] = rundir.write_file(answer["config"]["box"]["run_dir"], name, answer["openssl_conf"])
            generation = Generation(
                self._numbers,
                answer,
                self._loop,
                self._children,
                self._events,
                self._listeners,
                self._programs.worker,
                self._tokens.state_for(answer),
                self._parts,
                self._on_generation_ready,
                self._on_generation_failed,
                self._on_generation_gone,
                self._waiting,
            )
            self._listeners.open(generation.endpoints)
        except (ListenError, OSError) as error:
            rundir.remove_file(answer.get("openssl_conf_path"))
            self._events.event(Code.LISTEN_FAILED if isinstance(error, ListenError) else Code.RUN_DIR_FAILED, detail=error)
            self._refuse_generation()
            return
        self._generations.append(generation)
        generation.start()
        self._waiting.stop()  # if it could not be taken

    def _on_generation_ready(self, generation: Generation) -> None:
        if self._stage is Stage.STARTING:
            self._stage = Stage.SERVING
            self._events.event(Code.STARTED, generation=generation.number, endpoints=",".join(generation.endpoints))
            sys.stdout.write("READY\n")
            sys.stdout.flush()
            self._say_ready()
            self._pulse.start()
            self._forwarder.use(generation.answer)
            self._auditing.use(generation.answer)
            self._weight.start()
            self._start_rounds()
            self._crls.now()
        elif self._stage is Stage.SERVING:
            self._answer = generation.answer
            self._forwarder.use(generation.answer)
            self._auditing.use(generation.answer)
            self._events.event(Code.RELOADED, generation=generation.number)
            self._crls.now()  # who is new may need lists that nobody has fetched yet
            self._say_ready()
            for old in self._generations:
                if old is not generation:
                    old.drain()
            self._close_unused_listeners()
        self._reload_if_wanted()

    def _on_generation_failed(self, _generation: Generation) -> None:
        self._refuse_generation()

    def _refuse_generation(self) -> None:
        if self._stage is Stage.STARTING:
            self._give_up()
        elif self._stage is Stage.SERVING:
            self._tokens.back_to(self._newest_serving())
            self._refuse_reload()
            self._close_unused_listeners()

    def _close_unused_listeners(self) -> None:
        if self._listeners is not None:
            used = [g for g in self._generations if g.phase in (Phase.STARTING, Phase.SERVING)]
            self._listeners.close_all_but([text for generation in used for text in generation.endpoints])

    def _on_generation_gone(self, generation: Generation) -> None:
        if generation in self._generations:
            self._generations.remove(generation)
            self._past = add(self._past, generation.past)
            rundir.remove_file(generation.answer.get("openssl_conf_path"))
        if self._stage in (Stage.DRAINING, Stage.STOPPING) and not self._generations:
            self._stop_writer()
        else:
            self._reload_if_wanted()

    # Reload

    def _on_reload_signal(self) -> None:
        self._reload_wanted = True
        self._reload_if_wanted()

    def _reload_if_wanted(self) -> None:
        starting = any(generation.phase in (Phase.STARTING, Phase.FAILED) for generation in self._generations)
        if self._reload_wanted and self._stage is Stage.SERVING and self._reader is None and not starting:
            self._reload_wanted = False
            self._notifier.reloading("reading the configuration again")
            self._resolve(self._on_reload_answer)

    def _on_reload_answer(self, answer: dict[str, Any]) -> None:
        if self._stage is not Stage.SERVING:
            return
        if not answer["ok"]:
            self._refuse_reload()
        else:
            now, new = self._answer["config"], answer["config"]
            fixed = [
                name
                for name, same in (
                    ("custody", now["custody"] == new["custody"]),
                    ("box", _same_place(now, new)),
                    ("hold", _same_queue(now, new)),
                    ("audit.socket", _sender_of(now) == _sender_of(new)),
                    ("keys.socket", self._tokens.may_serve(new)),
                )
                if not same
            ]
            if fixed:
                self._events.event(Code.NEEDS_RESTART, what=",".join(fixed))
                self._refuse_reload()
            else:
                self._log_warnings(answer)
                assert self._writer is not None
                self._writer.tell_queue(new)
                self._new_generation(answer)
        self._reload_if_wanted()

    def _refuse_reload(self) -> None:
        self._events.event(Code.RELOAD_REFUSED)
        self._say_ready(f"; {Code.RELOAD_REFUSED} {Code.RELOAD_REFUSED.value.sentence}")

    def _say_ready(self, more: str = "") -> None:
        """To the service manager; a reload that was refused ends with it too."""
        newest = self._newest_serving()
        self._notifier.ready(f"serving, {len(newest.workers)} workers, generation {newest.number}{more}")

    def _newest_serving(self) -> Generation:
        return [generation for generation in self._generations if generation.phase is Phase.SERVING][-1]

    def _processes(self) -> list[Process]:
        workers = [worker for generation in self._generations for worker in generation.workers.values()]
        return [*workers, *self._forwarder.processes, *self._auditing.processes]

    def _on_heavy(self, pid: int, size: int) -> bool:
        if self._stage is not Stage.SERVING or self._reader is not None or any(g.phase is Phase.STARTING for g in self._generations):
            return False
        self._events.event(Code.WORKER_GREW, pid=pid, mebibytes=size >> 20)
        answer = {**self._answer}
        answer.pop("openssl_conf_path", None)  # that file is another generation's
        self._new_generation(answer)
        return True

    # The end

    def _on_stop_signal(self) -> None:
        if self._stage in (Stage.STARTING, Stage.DRAINING):
            self._stop_now()
        elif self._stage is Stage.SERVING:
            self._stage = Stage.DRAINING
            self._events.event(Code.STOPPING)
            self._notifier.stopping("associations run to their end")
            self._close_listeners()
            self._end_reader()
            for generation in list(self._generations):
                generation.drain()

    def _give_up(self) -> None:
        """End because the box cannot start."""
        if self._stage is not Stage.STOPPING:
            self._exit_status = 1
            self._stop_now()

    def _stop_now(self) -> None:
        if self._stage is Stage.STOPPING:
            return
        self._stage = Stage.STOPPING
        last = self._events.last[-1] if self._exit_status and self._events.last else None
        self._notifier.stopping(f"cannot start: {last[1]} {last[2]}" if last else "stopping")
        self._close_listeners()
        self._end_reader()
        self._waiting.stop()
        for generation in list(self._generations):
            generation.stop()
        if not self._generations:
            self._stop_writer()

    def _close_listeners(self) -> None:
        if self._listeners is not None:
            self._listeners.close_all_but(())

    def _tell_writer(self, out: list[str] | None, news: list[dict[str, str]]) -> None:
        if self._writer is not None:
            self._writer.tell_tokens(out, news)

    def _stop_writer(self) -> None:
        if not self._forwarder_gone:  # it has records to write
            self._forwarder_gone = True
            self._forwarder.stop(self._stop_writer)
            return
        if self._writer is None:
            self._loop.after(0, self._end)
        else:
            self._writer.stop(_WRITER_STOP_SECONDS)

    def _on_writer_gone(self) -> None:
        self._end()

    def _end(self) -> None:
        if self._status is not None:
            self._status.close()
        self._tokens.close()
        self._events.event(Code.STOPPED)
        self._auditing.stop(lambda: self._waiting.stop(lambda: self._end_reader(self._loop.stop)))

    def _end_reader(self, done: Callable[[], None] | None = None) -> None:
        """Who reads the configuration for nobody would go on for up to a minute. `done()` follows, when there is none any more."""
        if self._reader is not None:
            self._reader.stop(done)
        elif done is not None:
            self._loop.after(0, done)

    # Beside the main work

    def _start_rounds(self) -> None:
        def custody(word: str) -> Any:
            return self._answer["config"]["custody"][word]

        def is_serving() -> bool:
            return self._stage is Stage.SERVING

        def is_ours() -> bool:
            """Else who keeps the log writes beside it too: units of its account."""
            return not custody("socket")

        tools = (self._loop, self._children, self._events)
        self._crls.start()
        Rounds(
            *tools,
            "witnessing",
            (*self._programs.witnessing, self._path),
            lambda: float(custody("witness_seconds")),
            lambda: is_serving() and is_ours() and bool(custody("witness")),
        ).start()
        Rounds(
            *tools,
            "pruning",
            (*self._programs.pruning, self._path),
            lambda: _PRUNE_SECONDS,
            lambda: is_serving() and is_ours() and bool(custody("retention_days") or custody("retention_mebibytes")),
        ).start()

        def state() -> str:
            return str(self._answer["config"]["box"]["state"])

        keeping = (*self._programs.keeping, self._path)
        Rounds(*tools, "keeping", keeping, lambda: _KEEP_SECONDS, lambda: is_serving() and is_waiting(state())).start()
        Rounds(*tools, "keeping", keeping, lambda: _FLOOR_SECONDS, lambda: is_serving() and is_floor_old(state())).start()
        Rounds(
            *tools,
            "recording",
            (*self._programs.recording, self._path),
            lambda: _RECORD_SECONDS,
            lambda: is_serving() and _bypass_waits(self._answer["config"]["plant"]),
        ).start()

    def _ask(self, answer: Callable[[dict[str, Any]], None]) -> None:
        def done(generations: list[dict[str, Any]], totals: dict[str, Any]) -> None:
            writer = self._writer if self._writer is not None and self._writer.pid else None
            errors = sorted([*self._events.last, *totals.pop("errors", [])], key=lambda e: e[0] if isinstance(e[0], int | float) else 0)
            answer(
                {
                    "box": self._answer["config"]["box"]["name"],
                    "stage": self._stage.value,
                    "started": int(self._started),
                    "uptime_seconds": int(time.time() - self._started),
                    "master": own_memory(),
                    "writer": {"pid": writer.pid, "state": writer.state.value, "memory_bytes": memory_bytes(writer.pid)}
                    if writer is not None
                    else None,
                    "forwarder": {"pid": self._forwarder.pid, "memory_bytes": memory_bytes(self._forwarder.pid)}
                    if self._forwarder.pid
                    else None,
                    "auditor": {"pid": self._auditing.pid, "memory_bytes": memory_bytes(self._auditing.pid)}
                    if self._auditing.pid
                    else None,
                    "audit_events": self._auditing.report(),
                    "generations": generations,
                    "totals": totals,
                    "unsafe": self._answer.get("unsafe", []),
                    "certificates": self._answer.get("certificates", []),
                    "tokens": self._tokens.rows(),
                    "key_service": self._tokens.service(),
                    "run_dir": self._answer["config"]["box"]["run_dir"],
                    "errors": errors[-50:],
                }
            )

        Asking(self._loop, self._generations, self._past, done)


def _bypass_waits(plant: dict[str, Any]) -> bool:
    """Does `netd` keep something of break-glass that the custody log does not have? Only looked at, never read here."""
    try:
        return plant["ports"] != "none" and os.stat(os.path.join(plant["state_dir"], "bypass.jsonl")).st_size > 0
    except OSError:
        return False


def _same_queue(now: dict[str, Any], new: dict[str, Any]) -> bool:
    """Old and new workers must not have two queues. Where there was none, one may come."""
    before, after = now.get("hold"), new.get("hold")
    if not before:
        return True
    return after is not None and all(before[word] == after[word] for word in ("directory", "key"))


def _sender_of(config: dict[str, Any]) -> str:
    """Return where an audit sender of its own account takes events, "" when it is a child or there is none."""
    return str((config.get("audit") or {}).get("socket", ""))


def _same_place(now: dict[str, Any], new: dict[str, Any]) -> bool:
    same_plant = all(now["plant"][word] == new["plant"][word] for word in ("ports", "socket"))
    return bool(now["box"]["name"] == new["box"]["name"] and now["box"]["run_dir"] == new["box"]["run_dir"] and same_plant)
