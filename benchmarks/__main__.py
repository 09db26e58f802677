"""`make bench`, or `python -m benchmarks`: every figure, on the machine at hand, without a network.

See benchmarks/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import peer, published, report, table
from benchmarks.harness.run import Plan, run
from benchmarks.harness.world import STUDIES_PER_PATIENT
from benchmarks.harness.yardstick import NAME

SIZES = (10_000, 100_000)  # studies, below the full size, at which growth is looked at
SCRATCH = Path(__file__).parents[1] / "var" / "bench"


def parser(names: tuple[str, ...]) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="The benchmarks, and what they found.")
    size = made.add_mutually_exclusive_group()
    size.add_argument("--patients", type=int, help=f"so many patients, each with {STUDIES_PER_PATIENT} studies")
    size.add_argument("--studies", type=int, default=10_000, help="or so many studies (10,000)")
    made.add_argument(
        "--dburl",
        default="",
        help="`sqlite`, or the address of a PostgreSQL in which databases may be made; a new cluster without it",
    )
    made.add_argument("--seconds", type=float, default=6, help="of load for each figure (6)")
    made.add_argument("--rounds", type=int, default=3, help="in so many turns with the others (3)")
    made.add_argument("--only", default="", help=f"of: {', '.join((NAME, *names))}, with commas between")
    made.add_argument("--growth", action="store_true", help="also at 10,000 and 100,000 studies, as ratios of p50")
    made.add_argument("--workers", type=int, default=max(2, os.cpu_count() or 1), help="processes of the web server")
    made.add_argument("--threads", type=int, default=4, help="threads of each")
    made.add_argument("--peer", choices=("hapi",), default="", help="compare with a HAPI FHIR JPA server instead")
    made.add_argument("--readme", action="store_true", help="also put the figures into benchmarks/README.md")
    made.add_argument("--json", type=Path, help="where the figures are written; below var/bench by default")
    return made


def chosen(given: str, names: tuple[str, ...]) -> tuple[str, ...]:
    known = (NAME, *names)
    found = tuple(part.strip() for part in given.split(",") if part.strip())
    if unknown := [name for name in found if name not in known]:
        raise SystemExit(f"--only names {unknown[0]}, which is no figure; expected some of: {', '.join(known)}")
    return found


def main() -> int | str:
    """The exit status: 0, or what went wrong."""
    names = table.collect()
    given = parser(names).parse_args()
    began = time.monotonic()
    patients = given.patients or max(1, given.studies // STUDIES_PER_PATIENT)
    plan = Plan(
        patients,
        given.dburl,
        given.seconds,
        given.rounds,
        chosen(given.only, names),
        tuple(size // STUDIES_PER_PATIENT for size in SIZES if size < patients * STUDIES_PER_PATIENT)
        if given.growth
        else (),
        given.workers,
        given.threads,
        given.peer,
    )
    progress = lambda text: print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True)  # noqa: E731
    if plan.peer:
        if plan.dburl.startswith("sqlite"):
            raise SystemExit("the peer needs PostgreSQL; expected no --dburl sqlite")
        peer.build(progress)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="registry-bench-") as folder:
        result = run(plan, Path(folder), progress)
    print("\n".join(["", *report.lines(result.rows), ""]))
    path = given.json or SCRATCH / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    found = report.as_json(plan, result)
    report.write(path, found)
    if given.readme:
        published.publish(found)
    print(f"figures: {path}")
    for patients, text in result.logs.items():
        log = path.with_suffix(f".{patients}.log")
        log.write_text(text)
        print(f"the server's log: {log}")
    faults = [f"{row.figure}: {row.fault}" for row in result.rows if row.fault]
    return "\n".join(faults) or 0


if __name__ == "__main__":
    sys.exit(main())
