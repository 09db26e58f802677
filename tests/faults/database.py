"""The database goes away at once and comes back: 503 meanwhile, recovery by itself, nothing acknowledged is lost."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.conftest import migrate
from tests.faults.common import Found, Writers, kept, region
from tests.support.machines import Server, until


def run(dburl: str, folder: Path, size: int) -> Found:
    """`size` times. The cluster is the fault's own, whatever `dburl` names; SQLite is a file, and does not go away."""
    found = Found()
    home = Path(tempfile.mkdtemp(prefix="registry-faults-"))
    server = Server(home).create()
    try:
        with region(server.base + server.database(migrate), folder) as (app, steward):
            with Writers(steward) as writers:
                for _ in range(size):
                    _more(writers)
                    server.stop()
                    until(lambda: steward.get("/Patient/p1").status_code == 503, "a read is not answered with 503")
                    server.start()
                    until(lambda: steward.get("/Patient/p1").status_code == 200, "the service does not recover")
                    _more(writers)
            found.counters |= {"outages": size, "answers": dict(writers.statuses)}
            found.must(writers.statuses.keys() <= {201, 503}, "answers are 201 or 503")
            found.must(app.test_client().get("/health/ready").status_code == 200, "it is ready again")
            kept(app, found, writers.acknowledged)
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
    return found


def _more(writers: Writers) -> None:
    before = len(writers.acknowledged)
    until(lambda: len(writers.acknowledged) >= before + 10, "nothing is written")
