"""What a run says: a table for people, JSON for machines."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness.run import Plan, Result
from benchmarks.harness.table import Row
from benchmarks.harness.world import STUDIES_PER_PATIENT

ROOT = Path(__file__).parents[2]


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def lines(rows: list[Row]) -> list[str]:
    """The rows as a Markdown table, which reads well in a terminal too."""
    head = ("Figure", "1/s", "p50 ms", "p95", "p99", "share", "web µs", "db µs", "value", "target", "met")
    several = {row.figure for row in rows if sum(other.figure == row.figure for other in rows) > 1}
    body = [
        (
            f"{row.figure}: {row.what}" if row.figure in several else row.figure,
            _number(row.rate),
            _number(row.p50, 2),
            _number(row.p95, 2),
            _number(row.p99, 2),
            "" if row.share is None else f"{row.share:.1%}",
            _number(row.web),
            _number(row.database),
            "FAULT" if row.fault else "" if row.value is None else f"{row.value:,g} {row.unit}",
            row.target,
            {None: "", True: "yes", False: "no"}[row.met],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]

    def line(cells: tuple[str, ...]) -> str:
        padded = [
            cell.rjust(width) if 1 <= column <= 7 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = (
        "|"
        + "|".join("-" * (width + 1) + (":" if 1 <= column <= 7 else "-") for column, width in enumerate(widths))
        + "|"
    )
    return [line(head), rule, *(line(cells) for cells in body)]


def as_json(plan: Plan, result: Result) -> dict[str, Any]:
    return {
        "schema": 1,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}".strip(),
        "machine": {
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "processor": _processor(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "plan": {
            "patients": plan.patients,
            "studies": plan.patients * STUDIES_PER_PATIENT,
            "database": "given" if "://" in plan.dburl else (plan.dburl or "postgresql"),
            "seconds": plan.seconds,
            "rounds": plan.rounds,
            "workers": plan.workers,
            "threads": plan.threads,
            "peer": plan.peer,
        },
        "facts": result.facts,
        "rows": [row.as_json() for row in result.rows],
    }


def write(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    names = [line for line in known.read_text().splitlines() if line.startswith("model name")] if known.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()
