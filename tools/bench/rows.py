"""The rows that the rig measures on loopback, 2 to 4 and 6 to 10, and row 5 on the line. Row 1: `dcmtk`, row 11: `icount`."""

from __future__ import annotations

from bench import disk, hashcost
from bench.compare import Rounds, Settings, Tally, against, compare, medians
from bench.gateways import DIRECT, HAPROXY, STUNNEL, Direction, Subject, wardgate
from bench.material import STREAM_BYTES
from bench.places import one_core, two_cores
from bench.report import Line, Sense
from bench.rig import TrialError, Workload
from bench.trial import Bench, Result, Scenario

_DURABLE = wardgate("--durable", "group")
_UNSYNCED = wardgate("--durable", "none", name="unsynced")
# Row 3 on two cores: each of the settings that use the second one.
_HASH_BESIDE = wardgate("--durable", "group", "--hash-threads", "1", name="1-worker-offload")
_WORKER_EACH = wardgate("--durable", "group", "--workers", "2", "--hash-threads", "0", name="2-workers")
_BOTH = wardgate("--durable", "group", "--workers", "2", "--hash-threads", "1", name="2-workers-offload")
_MIB = 1 << 20


class Rows:
    """Each method measures and returns its lines."""

    def __init__(self, bench: Bench, tally: Tally, settings: Settings) -> None:
        self._bench = bench
        self._tally = tally
        self._settings = settings

    def _compare(self, scenario: Scenario, *subjects: Subject, cores: int = 1) -> Rounds:
        return compare(self._bench, self._tally, self._settings, scenario, subjects, two_cores() if cores == 2 else one_core())

    def ct_one_association(self) -> list[Line]:
        """Row 2, and one association unsynced and durable."""
        rounds = self._compare(Scenario("CT, 1 association", Workload(repeat=1500, files="ct")), STUNNEL, HAPROXY, _UNSYNCED, _DURABLE)
        folder = self._bench.places.data / "ct"
        values: dict[str, list[float]] = {"stunnel": [], "haproxy": []}
        costs = []
        for found in rounds:
            costs.append(hashcost.seconds_per_gigabyte(folder, one_core().gateway))
            for name, into in values.items():
                if name in found and "unsynced" in found:
                    into.append(found["unsynced"].cpu_per_gigabyte() / (found[name].cpu_per_gigabyte() + costs[-1]))
        note = f"unsynced; s/GB: {medians(rounds, Result.cpu_per_gigabyte, '{:.2f}')}, SHA-256 {sorted(costs)[len(costs) // 2]:.2f}"
        figure = "CT: CPU s/GB / (stunnel's + SHA-256)"
        sync = f"fdatasync median {disk.fdatasync_median(self._bench.places.work):.0f} us"
        return [
            Line("2", figure, values["stunnel"], values["haproxy"], Sense.AT_MOST, 1.0, note),
            self._speed("3", "CT, 1 association, unsynced: MB/s / stunnel", rounds, "unsynced", None),
            self._speed("3", "CT, 1 association, durable: MB/s / stunnel", rounds, "wardgate", None)._replace(note=sync),
        ]

    def _speed(self, row: str, figure: str, rounds: Rounds, name: str, must: float | None, small: bool = False) -> Line:
        measure = Result.instances_per_second if small else Result.megabytes_per_second
        note = f"{'inst/s' if small else 'MB/s'}: {medians(rounds, measure)}"
        return Line(row, figure, *against(rounds, measure, name), must=must, note=note)

    def ct_eight_associations(self) -> list[Line]:
        """Row 3."""
        work = Workload(repeat=200, concurrent=8, files="ct")
        one = self._compare(Scenario("CT, 8 associations", work), STUNNEL, HAPROXY, _DURABLE)
        return [
            self._speed("3", "CT, 8 associations, one core: MB/s / stunnel", one, "wardgate", 0.50),
            *self._two_cores("CT, 8 associations, two cores", work, 0.66),
            *self._two_cores("CT, 1 association, two cores", Workload(repeat=800, files="ct"), None),
        ]

    def _two_cores(self, what: str, work: Workload, must: float | None) -> list[Line]:
        rounds = self._compare(Scenario(what, work), STUNNEL, HAPROXY, _HASH_BESIDE, _WORKER_EACH, _BOTH, cores=2)
        shares = f"s/GB: {medians(rounds, Result.cpu_per_gigabyte, '{:.2f}')}"
        rig = f"rig's s/GB: {medians(rounds, Result.rig_per_gigabyte, '{:.2f}')}"
        return [
            self._speed("3", f"{what}, a worker each with hash offload: MB/s / stunnel", rounds, _BOTH.name, must),
            self._speed("3", f"{what}, a worker each: MB/s / stunnel", rounds, _WORKER_EACH.name, None)._replace(note=shares),
            self._speed("3", f"{what}, one worker with hash offload: MB/s / stunnel", rounds, _HASH_BESIDE.name, must)._replace(note=rig),
        ]

    def ct_inwards(self) -> list[Line]:
        """Row 4."""
        scenario = Scenario("CT, TLS in, plain out", Workload(repeat=1500, files="ct"), Direction.IN)
        line = self._speed(
            "4", "TLS in, plain out, CT: MB/s / stunnel", self._compare(scenario, STUNNEL, HAPROXY, _UNSYNCED), "unsynced", 0.65
        )
        return [line._replace(note=f"unsynced; {line.note}")]

    def ct_line(self) -> list[Line]:
        """Row 5; wants the line network."""
        rounds = self._compare(Scenario("CT, 1 Gbit/s", Workload(repeat=400, files="ct")), DIRECT, STUNNEL, HAPROXY, _DURABLE)
        measure = Result.megabytes_per_second
        pair = against(rounds, measure, "wardgate", "direct")
        return [Line("5", "1 Gbit/s line, CT: MB/s / routed without a box", *pair, must=0.98, note=f"MB/s: {medians(rounds, measure)}")]

    def small(self) -> list[Line]:
        """Row 6, and one association unsynced and durable."""
        work = Workload(repeat=2500, concurrent=8, files="small")
        eight = self._compare(Scenario("small, 8 associations", work), STUNNEL, HAPROXY, _DURABLE)
        work = Workload(repeat=5000, files="small")
        one = self._compare(Scenario("small, 1 association", work), STUNNEL, HAPROXY, _UNSYNCED, _DURABLE)
        sync = f"fdatasync median {disk.fdatasync_median(self._bench.places.work):.0f} us"
        return [
            self._speed("6", "small, 8 associations: images/s / stunnel", eight, "wardgate", 0.35, small=True),
            self._speed("6", "small, 1 association, unsynced: images/s / stunnel", one, "unsynced", None, small=True),
            self._speed("6", "small, 1 association, durable: images/s / stunnel", one, "wardgate", None, small=True)._replace(note=sync),
        ]

    def many(self) -> list[Line]:
        """Row 7."""
        rounds = self._compare(
            Scenario("500 associations", Workload("ESSSSSSSSSS", concurrent=500, files="small")), STUNNEL, HAPROXY, _DURABLE
        )
        memory = against(rounds, lambda result: result.peak_rss, "wardgate")
        mib = medians(rounds, lambda result: result.peak_rss / _MIB)
        pss = medians(rounds, lambda result: result.pss / _MIB)
        return [
            self._speed("7", "500 associations: instances/s / stunnel", rounds, "wardgate", 0.75, small=True),
            Line("7", "500 associations: peak RSS / stunnel", *memory, Sense.AT_MOST, 1.7, f"MiB: {mib}; PSS at the end: {pss}"),
        ]

    def echo(self) -> list[Line]:
        """Row 8."""
        rounds = self._compare(Scenario("C-ECHO", Workload("E", repeat=5000)), DIRECT, STUNNEL, HAPROXY, _UNSYNCED)
        values: dict[str, list[float]] = {"stunnel": [], "haproxy": []}
        for found in rounds:
            for name, into in values.items():
                if {name, "direct", "unsynced"} <= found.keys():
                    direct = found["direct"].echo_us()
                    into.append((found["unsynced"].echo_us() - direct) / max(found[name].echo_us() - direct, 0.1))
        note = f"unsynced; us: {medians(rounds, Result.echo_us)}"
        return [Line("8", "C-ECHO: latency added / stunnel's added", values["stunnel"], values["haproxy"], Sense.AT_MOST, 1.6, note)]

    def huge(self) -> list[Line]:
        """Row 9."""
        big = self._compare(Scenario("one object of 2 GB", Workload(stream=STREAM_BYTES)), _DURABLE)
        one = self._compare(Scenario("one object of 0.5 MB", Workload(stream=1 << 19)), _DURABLE)
        pairs = [(a["wardgate"].peak_rss, b["wardgate"].peak_rss) for a, b in zip(big, one, strict=True) if a and b]
        values = [(a - b) / _MIB for a, b in pairs]
        note = f"peak MiB: {medians(big, lambda result: result.peak_rss / _MIB, '{:.1f}')}"
        return [Line("9", "peak RSS for a 2 GB object less that for 0.5 MB", values, (), Sense.AT_MOST, 2.0, note, " MiB")]

    def set_up(self) -> list[Line]:
        """Row 10: one C-ECHO each. What proposes storage classes too has an open entry in the log (decision 088)."""
        lines = []
        kinds = (
            ("resumed", True, "", 2.0),
            ("full", False, "", 1.1),
            ("resumed, may store", True, "small", None),
            ("full, may store", False, "small", None),
        )
        for kind, tickets, files, must in kinds:
            scenario = Scenario(f"association set-up, {kind}", Workload("E", total=300, files=files), tickets=tickets)
            rounds = self._compare(scenario, STUNNEL, HAPROXY, _UNSYNCED)
            for found in rounds:
                for name, result in found.items():
                    resumed, done = result.sink["resumed"], result.load["associations"]
                    if resumed < 0.9 * done if tickets else resumed:
                        self._tally.fail(TrialError(f"{scenario.name}, {name}: {resumed} of {done} sessions were resumed"))
            measure = Result.cpu_per_association
            pair = against(rounds, measure, "unsynced")
            note = f"unsynced; ms: {medians(rounds, lambda result: 1e3 * result.cpu_per_association(), '{:.2f}')}"
            lines.append(Line("10", f"association set-up, {kind}: CPU / stunnel", *pair, Sense.AT_MOST, must, note))
        return lines
