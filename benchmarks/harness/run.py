"""One run: databases filled, servers started, every figure measured in turns with the yardstick, a row for each."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.storage.engine import Store
from benchmarks.harness import peer
from benchmarks.harness import site as sites
from benchmarks.harness.cluster import cluster
from benchmarks.harness.filling import fill
from benchmarks.harness.load import Generator, Job, Took
from benchmarks.harness.site import Site
from benchmarks.harness.spent import spent_by
from benchmarks.harness.table import AFTER, FRESH, LOADED, MEASURED, Bench, Loaded, Row, judged, percentiles
from benchmarks.harness.world import STUDIES_PER_PATIENT, World
from benchmarks.harness.yardstick import NAME, bare
from tests.support import postgres
from tests.support.server import Running

SHOWN = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
RECOVERY_SECONDS = 40
LOG_KEPT = 1_000_000  # characters
GROWTH_MOST = 1.3  # p50 at the full size, as a multiple of p50 at the smallest


@dataclass(frozen=True)
class Plan:
    """What is to be measured. `seconds` of load for each figure, in `rounds` turns."""

    patients: int
    dburl: str = ""
    seconds: float = 6.0
    rounds: int = 3
    only: tuple[str, ...] = ()
    growth: tuple[int, ...] = ()  # further, smaller sizes, in patients
    workers: int = 2
    threads: int = 4
    peer: str = ""
    warm_up: float = 0.5  # seconds at the start of each turn that are not counted

    def wants(self, name: str) -> bool:
        return not self.only or name in self.only


@dataclass
class Result:
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    logs: dict[int, str] = field(default_factory=dict)  # the end of each server's log, where there was a fault


Say = Callable[[str], None]


class Databases:
    """Where empty databases come from: the cluster of the run, or SQLite files."""

    def __init__(self, folder: Path, base: str) -> None:
        self.folder, self.base, self.number = folder, base, 0

    def empty(self) -> str:
        if self.base:
            return postgres.create_database(self.base)
        self.number += 1
        return f"sqlite:///{self.folder}/registry-{self.number}.db"


@contextmanager
def databases(folder: Path, dburl: str) -> Iterator[Databases]:
    """`dburl` is "" for a new PostgreSQL cluster, "sqlite", or the address of a PostgreSQL whose role may make databases."""
    if dburl.startswith("sqlite"):
        yield Databases(folder, "")
    elif dburl:
        yield Databases(folder, dburl.rsplit("/", 1)[0] + "/")
    elif postgres.binaries() is None:
        raise SystemExit(
            "no PostgreSQL server is installed; expected one (apt-get install postgresql), or --dburl sqlite"
        )
    else:
        with cluster(folder) as base:
            yield Databases(folder, base)


def run(plan: Plan, folder: Path, say: Say) -> Result:
    """Every figure that the plan wants. `folder` is empty, on a disk, and everything is gone from it afterwards."""
    result, began = Result(), time.monotonic()
    result.facts["load before"] = round(os.getloadavg()[0], 1)
    with ExitStack() as stack:
        made = stack.enter_context(databases(folder, plan.dburl))
        running: dict[int, Site] = {}
        for patients in sorted({plan.patients, *plan.growth}):
            running[patients] = _filled(stack, plan, folder, made, World(patients), result, say)
        full = running[plan.patients]
        result.facts["database"] = _settings(full.url)
        generator = stack.enter_context(_generator())
        if plan.peer:
            result.rows += _against(stack, plan, folder, made, full, generator, result, say)
            result.facts["seconds"] = round(time.monotonic() - began, 1)
            _keep_logs(result, running)
            return result

        yardstick = stack.enter_context(sites.bare(folder / "bare", plan.workers, plan.threads))

        def measure(when: str) -> None:
            for one in MEASURED.values():
                if one.when == when and plan.wants(one.name):
                    say(one.name)
                    place = folder / f"figure-{len(result.rows)}"
                    place.mkdir()
                    try:
                        found = one.measure(Bench(full, place, generator, plan.seconds, made.empty))
                        rows = [found] if isinstance(found, Row) else list(found)
                    except Exception as error:  # the other figures are worth having still
                        rows = [Row(one.name, one.what, fault=f"{type(error).__name__}: {error}")]
                    result.rows += [judged(row, one.target) for row in rows]

        measure(FRESH)
        result.rows += _under_load(plan, running, yardstick, cluster_of(folder), generator, say)
        measure(AFTER)
        _keep_logs(result, running)
    result.facts["seconds"] = round(time.monotonic() - began, 1)
    return result


def _keep_logs(result: Result, running: dict[int, Site]) -> None:
    """Where an answer was wrong, what the server said of it is wanted when the folder has gone."""
    if any(row.fault for row in result.rows):
        result.logs = {patients: site.server.said()[-LOG_KEPT:] for patients, site in running.items()}


def _settings(url: str) -> dict[str, str]:
    """What of the database decides how durable and how fast it is, as the server itself says."""
    store = Store(url)
    with store.begin(reads=True) as tx:
        if tx.postgresql:
            found = {name: str(tx.rows(f"SHOW {name}")[0][0]) for name in SHOWN}
        else:
            found = {name: str(tx.rows(f"PRAGMA {name}")[0][0]) for name in ("journal_mode", "synchronous")}
            found["version"] = sqlite3.sqlite_version
    store.close()
    return found


@contextmanager
def _generator() -> Iterator[Generator]:
    made = Generator()
    try:
        yield made
    finally:
        made.close()


def _filled(
    stack: ExitStack, plan: Plan, folder: Path, made: Databases, world: World, result: Result, say: Say
) -> Site:
    url = made.empty()
    say(f"filling: {world.studies:,} studies of {world.patients:,} patients")
    seconds = fill(url, world, say)
    rate = world.resources() / seconds
    result.facts[f"filled {world.studies}"] = {
        "resources": world.resources(),
        "seconds": round(seconds, 1),
        "rate": round(rate),
    }
    say(f"filled: {world.resources():,} resources in {seconds:.0f} s, {rate:,.0f}/s")
    return stack.enter_context(sites.site(folder / f"site-{world.patients}", url, world, plan.workers, plan.threads))


def _against(
    stack: ExitStack,
    plan: Plan,
    folder: Path,
    made: Databases,
    full: Site,
    generator: Generator,
    result: Result,
    say: Say,
) -> list[Row]:
    """The registry and its peer, holding the same and asked the same."""
    url = made.empty()
    address = stack.enter_context(peer.hapi(folder / "peer", url, say))
    seconds = peer.load(address, url, full.world, say)
    rate = full.world.resources() / seconds
    say(f"the peer holds {full.world.resources():,} resources after {seconds:.0f} s, {rate:,.0f}/s")
    result.facts["peer filled"] = {"seconds": round(seconds, 1), "rate": round(rate)}
    return peer.compare(full, address, full.world, generator, plan.seconds, plan.rounds, say)


def cluster_of(folder: Path) -> int | None:
    """The process of the run's own PostgreSQL."""
    told = folder / "postgresql" / "data" / "postmaster.pid"
    return int(told.read_text().split("\n")[0]) if told.exists() else None


def weighed(generator: Generator, job: Job, web: int, database: int | None) -> Took:
    """What the job took, with the processor time of an answer."""
    roots = [web] if database is None else [web, database]
    before = [spent_by(root) for root in roots]
    took = generator.run(job)
    if took.answered:
        used = [spent_by(root).since(earlier) / took.answered for root, earlier in zip(roots, before, strict=True)]
        took.web, took.database = used[0], used[1] if len(used) > 1 else None
    return took


def _under_load(
    plan: Plan, running: dict[int, Site], yardstick: Running, database: int | None, generator: Generator, say: Say
) -> list[Row]:
    """All figures under load, in turns: each round goes once through all of them and through the yardstick."""
    wanted = [one for one in LOADED.values() if plan.wants(one.name)]
    if not wanted and not plan.wants(NAME):
        return []
    full = running[plan.patients]
    seconds = plan.seconds / plan.rounds
    base: list[Took] = []
    took: dict[tuple[str, int], list[Took]] = {}
    broken: dict[str, list[Took]] = {}
    for number in range(plan.rounds):
        say(f"load: round {number + 1} of {plan.rounds}")
        assert yardstick.process is not None
        job = Job(yardstick.address, bare, (full.world, {}), 8, seconds, plan.warm_up)
        base.append(weighed(generator, job, yardstick.process.pid, None))
        for one in wanted:
            for patients, site in running.items():
                if one.name in broken or not (patients == plan.patients or one.grows):
                    continue
                job = Job(site.address, one.make, (site.world, site.tokens), one.connections, seconds, plan.warm_up)
                run = weighed(generator, job, site.process, database)
                took.setdefault((one.name, patients), []).append(run)
                if run.faults:  # it is not tried again, nor at a larger size, which would take no less
                    broken[one.name] = took[one.name, plan.patients] = [run]
                    _recovered(site)
    rows = [_row(Loaded(NAME, "a Flask route with nothing behind it", bare), base, base)]
    for one in wanted:
        row = _row(one, took[one.name, plan.patients], base)
        if one.after is not None and not row.fault:
            row.notes |= one.after(full)
        judged(row, one.target)
        rows.append(row)
    sound = [one for row, one in zip(rows[1:], wanted, strict=True) if one.grows and not row.fault]
    rows += [_growth(one, took, running) for one in sound if len(running) > 1]
    return rows


def _recovered(site: Site) -> None:
    """Wait until every thread of the server is free again, so that what was left unanswered slows no other figure."""
    many = site.workers * site.threads
    until = time.monotonic() + RECOVERY_SECONDS
    with ThreadPoolExecutor(many) as pool:
        while time.monotonic() < until:
            began = time.monotonic()
            if all(pool.map(lambda _: site.server.ready(), range(many))) and time.monotonic() - began < 1:
                return


def _row(one: Loaded, runs: Sequence[Took], base: Sequence[Took]) -> Row:
    if faults := [fault for run in runs for fault in run.faults]:
        return Row(one.name, one.what, fault=faults[0])
    rates = [len(run.times) / run.seconds for run in runs]
    shares = [rate / (len(bare.times) / bare.seconds) for rate, bare in zip(rates, base, strict=True)]
    p50, p95, p99 = percentiles([time for run in runs for time in run.times])
    number = sum(len(run.times) for run in runs)
    return Row(
        one.name,
        one.what,
        rate=round(number / sum(run.seconds for run in runs), 1),
        p50=round(p50, 3),
        p95=round(p95, 3),
        p99=round(p99, 3),
        share=round(statistics.median(shares), 4),
        web=_middle([run.web for run in runs]),
        database=_middle([run.database for run in runs]),
        number=number,
        notes={
            "connections": one.connections,
            "checked": sum(run.checked for run in runs),
            "rates": [round(rate) for rate in rates],
        },
    )


def _middle(found: Sequence[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return round(statistics.median(known), 1) if known else None


def _growth(one: Loaded, took: dict[tuple[str, int], list[Took]], running: dict[int, Site]) -> Row:
    """How p50 grows from the smallest size to the full one: the median of the rounds' own ratios."""
    sizes = sorted(running)
    middles = {size: [percentiles(run.times)[0] for run in took[one.name, size]] for size in sizes}
    ratios = {
        size: statistics.median(there / here for here, there in zip(middles[sizes[0]], middles[size], strict=True))
        for size in sizes
    }
    row = Row(
        f"growth: {one.name}",
        f"p50 at {sizes[-1] * STUDIES_PER_PATIENT:,} studies ÷ p50 at {sizes[0] * STUDIES_PER_PATIENT:,}",
        value=round(ratios[sizes[-1]], 3),
        unit="×",
        target=f"≤ {GROWTH_MOST} ×",
        notes={
            "p50": {str(size * STUDIES_PER_PATIENT): round(statistics.median(middles[size]), 3) for size in sizes},
            "ratio": {str(size * STUDIES_PER_PATIENT): round(ratios[size], 3) for size in sizes},
        },
    )
    row.met = row.value is not None and row.value <= GROWTH_MOST
    return row
