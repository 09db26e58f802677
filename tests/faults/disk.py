"""A full disk: writes are refused, reads go on, nothing is corrupt, and it goes on by itself once there is room."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import migrate
from tests.faults.common import Found, Writers, kept, region
from tests.support.machines import until


def run(dburl: str, folder: Path, size: int) -> Found:
    """A SQLite database on a memory disk of `size` megabytes, which only root can make."""
    found = Found()
    disk = Path(tempfile.mkdtemp(prefix="registry-faults-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(disk)], check=True)
    try:
        url = f"sqlite:///{disk}/registry.db"
        migrate(url)
        with region(url, folder) as (app, steward):
            ballast = disk / "ballast"
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            ballast.write_bytes(bytes(max(0, free - 600_000)))
            with Writers(steward, 1) as writers:
                until(lambda: len(writers.statuses) > 1, "the disk does not become full")
                refused = next(status for status in writers.statuses if status != 201)
                reading = steward.get("/metadata").status_code
                ballast.unlink()
                before = len(writers.acknowledged)
                until(lambda: len(writers.acknowledged) >= before + 10, "it does not go on when there is room")
            found.counters |= {"answers": dict(writers.statuses), "metadata meanwhile": reading}
            found.must(refused in (503, 507), f"a write is refused as what may be tried again, not with {refused}")
            found.must(reading == 200, "what needs no record is read")
            kept(app, found, writers.acknowledged)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
        disk.rmdir()
    return found
