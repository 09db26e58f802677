"""What the server's processes cost: how soon it is ready, and how much memory each of them holds before and after the load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness.table import FRESH, Bench, Row, at_most, measured


def below(process: int) -> Iterator[int]:
    """The process and everything that it has started."""
    yield process
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from below(int(child))


def resident(process: int) -> float:
    """Megabytes of memory that the process holds, what it shares with others included."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def largest(bench: Bench, what: str) -> Row:
    """The largest of the server's processes, which is one of the web workers."""
    if not Path("/proc/self/task").exists():
        return Row("memory", what, fault="this system does not show the memory of processes; expected /proc")
    each = sorted((round(resident(one), 1) for one in below(bench.site.process)), reverse=True)
    return Row("memory", what, value=each[0], unit="MB", number=len(each), notes={"each process": each})


@measured("start-up", "until /health/ready, on the filled database", at_most(3, "s"), when=FRESH)
def start_up(bench: Bench) -> Row:
    return Row("start-up", "until /health/ready, on the filled database", value=round(bench.site.started, 2), unit="s")


@measured("memory idle", "the largest process before it is asked anything", at_most(150, "MB"), when=FRESH)
def idle(bench: Bench) -> Row:
    return largest(bench, "the largest process before it is asked anything")


@measured("memory after", "the largest process after the load")
def after(bench: Bench) -> Row:
    return largest(bench, "the largest process after the load")
