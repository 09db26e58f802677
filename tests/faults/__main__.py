"""`python -m tests.faults [NAME…] [--postgresql] [--size N]`: the faults at length, each with its counters.

Without names all of them. Exit status 1 where anything that must hold does not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.conftest import migrate
from tests.faults import clock, database, disk, kills, subscriber
from tests.notifications import faults as events
from tests.support import postgres

# name: (what runs it, its full size)
FAULTS = {
    "writes": (kills.run, 10_000),
    "database": (database.run, 10),
    "disk": (disk.run, 16),
    "subscriber": (subscriber.run, 500),
    "clock": (clock.run, 1_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([*FAULTS, 'events'])}")
    parser.add_argument("--postgresql", action="store_true", help="a cluster of its own instead of SQLite")
    parser.add_argument("--size", type=int, help="instead of the full size of each")
    given = parser.parse_args()
    broken = 0
    for name in given.names or [*FAULTS, "events"]:
        folder = Path(tempfile.mkdtemp(prefix="registry-faults-"))
        base = postgres.start(folder) if given.postgresql else ""
        try:
            dburl = postgres.create_database(base) if base else f"sqlite:///{folder}/registry.db"
            migrate(dburl)
            began = time.monotonic()
            if name == "events":
                told = events.run(dburl, folder, given.size or 10_000, 3.0)
                wrong = [f"{told.lost} lost, {told.unordered} out of order"] if told.lost or told.unordered else []
                counters: object = told
            else:
                run, size = FAULTS[name]
                found = run(dburl, folder, given.size or size)
                counters, wrong = found.counters, found.broken
        finally:
            if base:
                postgres.stop(folder)
        broken += len(wrong)
        print(f"{name}: {counters} in {time.monotonic() - began:.0f} s: {'; '.join(wrong) or 'all holds'}", flush=True)
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
