"""The peer: a HAPI FHIR JPA server, built from Maven Central, on another database of the same PostgreSQL.

It is as it comes: default indexing and caches, no validation and, unlike the registry, neither authorization nor audit.
"""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from app.demo.naming import Resource
from benchmarks.harness.load import Generator, Job, Took
from benchmarks.harness.site import Site
from benchmarks.harness.table import LOADED, Row, Target, percentiles
from benchmarks.harness.world import World
from tests.support.postgres import free_port

SOURCES = Path(__file__).parents[1] / "hapi"
BUILT = Path(__file__).parents[2] / "var" / "bench" / "hapi"
HEAP = "3g"
START_SECONDS = 240
TOGETHER = 250  # resources in one transaction
CLIENTS = 4
# What both are asked, and how many times the peer's rate the registry is to have.
COMPARED = {"read": None, "search": 3.0, "create": 2.0, "transaction": None}
WARM_UP_SECONDS = 12.0  # for the peer alone, before anything is measured: its code is compiled while it runs
Say = Callable[[str], None]


def build(say: Say) -> None:
    """Compile it and fetch what it is made of, once. Raises SystemExit where Maven cannot."""
    if not shutil.which("mvn") or not shutil.which("java"):
        raise SystemExit("PEER=hapi needs Java 17 and Maven (apt-get install default-jdk-headless maven)")
    say("building the peer (its parts come from Maven Central the first time)")
    done = subprocess.run(
        ["mvn", "-B", "-q", "-f", str(SOURCES / "pom.xml"), f"-Dplace={BUILT}", "compile"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"the peer could not be built:\n{done.stdout}{done.stderr}")


@contextmanager
def hapi(folder: Path, url: str, say: Say) -> Iterator[str]:
    """The server on the empty database at `url`; its address. Stopped at the end."""
    folder.mkdir()
    parts, port = urlsplit(url), free_port()
    jdbc = f"jdbc:postgresql://{parts.hostname}:{parts.port}{parts.path}"
    command = ["java", f"-Xmx{HEAP}", "-cp", f"{BUILT / 'classes'}:{BUILT / 'lib'}/*", "peer.Peer", str(port), jdbc]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, str(parts.username)], stdout=log, stderr=log, cwd=folder)
    try:
        began = time.monotonic()
        while not _ready(port):
            if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise SystemExit(f"the peer does not start:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.5)
        say(f"the peer is ready after {time.monotonic() - began:.0f} s")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _ready(port: int) -> bool:
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        wire.request("GET", "/fhir/Patient?_count=1")
        return wire.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        wire.close()


def load(address: str, url: str, world: World, say: Say) -> float:
    """Put the world into it, over HTTP by transactions; the seconds that took."""
    began, parts, done = time.monotonic(), urlsplit(address), 0

    def send(resources: list[Resource]) -> int:
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in resources
        ]
        wire = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=300)
        body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        wire.request("POST", "/fhir", body, {"Content-Type": "application/fhir+json"})
        answer = wire.getresponse()
        said = answer.read()
        assert answer.status == 200, said[:1000]
        wire.close()
        return len(resources)

    # Organisations first, parent before part: a transaction of the peer's finds what an earlier one made.
    send(list(world.directory()))
    step = TOGETHER // (2 + world.per_patient)
    with ThreadPoolExecutor(CLIENTS) as pool:
        batches = (
            list(world.people(first, min(first + step, world.patients))) for first in range(0, world.patients, step)
        )
        for number in pool.map(send, batches):
            done += number
            if done % 5000 < number:
                say(f"the peer holds {done:,} of {world.resources():,} resources")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return time.monotonic() - began


def compare(
    site: Site, address: str, world: World, generator: Generator, seconds: float, rounds: int, say: Say
) -> list[Row]:
    """Both under the same load in turns: a row with the ratio of the rates for each figure of COMPARED."""
    unguarded = World(world.patients, guarded=False)
    open_to_all = dict.fromkeys(site.tokens, "")
    sides = {
        "registry": (site.address, (world, site.tokens)),
        "peer": (address, (unguarded, open_to_all)),
    }
    for name in COMPARED:
        say(f"the peer warms up: {name}")
        generator.run(Job(address, LOADED[name].make, sides["peer"][1], 8, WARM_UP_SECONDS))
    took: dict[tuple[str, str], list[Took]] = {}
    for number in range(rounds):
        say(f"load: round {number + 1} of {rounds}")
        for name in COMPARED:
            for side, (where, args) in sides.items():
                run = generator.run(Job(where, LOADED[name].make, args, 8, seconds / rounds, 0.5))
                took.setdefault((name, side), []).append(run)
    return [_row(name, factor, took[name, "registry"], took[name, "peer"]) for name, factor in COMPARED.items()]


def _row(name: str, factor: float | None, ours: list[Took], theirs: list[Took]) -> Row:
    if faults := [
        f"{side}: {fault}"
        for side, runs in (("registry", ours), ("HAPI", theirs))
        for run in runs
        for fault in run.faults
    ]:
        return Row(f"{name} ÷ HAPI's", LOADED[name].what, fault=faults[0])

    def rate(runs: list[Took]) -> float:
        return sum(len(run.times) for run in runs) / sum(run.seconds for run in runs)

    def spread(runs: list[Took]) -> dict[str, Any]:
        p50, p95, p99 = percentiles(list(chain.from_iterable(run.times for run in runs)))
        rates = [round(len(run.times) / run.seconds) for run in runs]
        return {
            "rate": round(rate(runs), 1),
            "p50": round(p50, 2),
            "p95": round(p95, 2),
            "p99": round(p99, 2),
            "rates": rates,
        }

    ratios = [
        (len(one.times) / one.seconds) / (len(other.times) / other.seconds)
        for one, other in zip(ours, theirs, strict=True)
    ]
    own = spread(ours)
    row = Row(
        f"{name} ÷ HAPI's",
        f"{LOADED[name].what}: the registry's rate as a multiple of HAPI FHIR's",
        rate=own["rate"],
        p50=own["p50"],
        p95=own["p95"],
        p99=own["p99"],
        value=round(statistics.median(ratios), 2),
        unit="×",
        number=sum(len(run.times) for run in ours),
        notes={"HAPI": spread(theirs), "ratios": [round(ratio, 2) for ratio in ratios]},
    )
    if factor is not None:
        target = Target(f"≥ {factor:g} ×", lambda row: (row.value or 0) >= factor)
        row.target, row.met = target.text, target.met(row)
    return row
