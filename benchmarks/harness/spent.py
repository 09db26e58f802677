"""Processor time, which says what a request costs whatever else the machine is doing.

Read from /proc before and after a run: that of the web server's processes, and that of a database on this machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK = 1_000_000 / os.sysconf("SC_CLK_TCK")  # microseconds


@dataclass(frozen=True, slots=True)
class Spent:
    """Microseconds of processor time so far, by process."""

    by_process: dict[int, float]

    def since(self, before: Spent) -> float:
        """Microseconds since; a process that has begun in between counts whole."""
        return sum(time - before.by_process.get(process, 0.0) for process, time in self.by_process.items())


def spent_by(*roots: int) -> Spent:
    """The processor time of these processes and of all below them; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            said = place.read_text()
        except OSError:  # it has just ended
            continue
        fields = said.rpartition(")")[2].split()
        process = int(place.parent.name)
        children.setdefault(int(fields[1]), []).append(process)
        times[process] = (int(fields[11]) + int(fields[12])) * TICK
    pending, found = list(roots), dict[int, float]()
    while pending:
        process = pending.pop()
        if process in times:
            found[process] = times[process]
        pending += children.get(process, ())
    return Spent(found)
