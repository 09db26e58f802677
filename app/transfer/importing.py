"""`import`: each line is a resource. What is wrong with one stops no other; what broke off goes on where it was.

Ids are kept. A line without an id is given one that is made of the line, so that importing it again makes no second
resource. A line that refers to one further on is tried again at the end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from app.config import Settings
from app.fhir.outcome import Issue
from app.interactions import Asked, Services
from app.interactions.loading import BATCH, RANK, Report
from app.storage import transfers
from app.transfer.spreading import Crew, Parts, crew

_READ = 1 << 20  # bytes of each end of a file that are a part of what it is known by


@dataclass
class Refused:
    """A line that could not be stored, and all that was wrong with it."""

    file: Path
    line: int
    issues: tuple[Issue, ...]

    def __str__(self) -> str:
        said = (f"{issue.expression}: {issue.text}" if issue.expression else issue.text for issue in self.issues)
        return f"{self.file}:{self.line}: {'; '.join(said)}"


@dataclass
class Imported:
    """What came of it. `skipped` are lines that an import which broke off had behind it."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    seconds: float = 0.0
    refused: list[Refused] = field(default_factory=list)

    def add(self, report: Report) -> None:
        self.created += report.created
        self.updated += report.updated
        self.unchanged += report.unchanged


Told = Callable[[int], None]


def files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those in the folders named: what others refer to first."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.ndjson")) if path.is_dir() else [path]
        found += sorted(inside, key=lambda one: RANK.get(one.stem, len(RANK)))
    return found


def imported(
    services: Services,
    asked: Asked,
    paths: list[Path],
    told: Told = lambda _bytes: None,
    batch: int = BATCH,
    processes: int = 1,
    anew: Callable[[Settings], Services] | None = None,
) -> Imported:
    """Store every line of the files; `told` hears of bytes that were read. `processes` load at once, each with services
    that `anew` makes (see `spreading`)."""
    report = Imported()
    with crew(services, asked, batch, processes, anew) as loaders:
        began = time.monotonic()
        for path in paths:
            _file(services, loaders, path, report, told)
        while report.refused and _again(loaders, report):
            pass
        report.seconds = time.monotonic() - began
    for path in paths:
        services.store.retry(lambda tx, file=_name(path): transfers.clear_mark(tx, file))  # type: ignore[misc]
    report.refused.sort(key=lambda one: (str(one.file), one.line))
    return report


def _file(services: Services, loaders: Crew, path: Path, report: Imported, told: Told) -> None:
    name = _name(path)
    said = services.store.retry(lambda tx: transfers.mark(tx, name))
    done, wrong = json.loads(said) if said else (0, [])
    report.skipped += done
    report.refused += [Refused(path, line, ()) for line in wrong]
    for numbers, found in _loaded(loaders, _lines(path, done, told)):
        report.add(found)
        report.refused += [Refused(path, numbers[number], issues) for number, issues in found.refused]
        wrong += [numbers[number] for number, _ in found.refused]
        done += found.done
        place = json.dumps([done, wrong])
        services.store.retry(lambda tx, place=place: transfers.set_mark(tx, name, place))  # type: ignore[misc]


def _again(loaders: Crew, report: Imported) -> bool:
    """Try the refused lines once more, for what they refer to may be there by now; whether that did any good."""
    before, report.refused = report.refused, []
    for path in dict.fromkeys(one.file for one in before):
        wanted = {one.line for one in before if one.file == path}
        picked = (one for one in _lines(path, 0, lambda _bytes: None) if one[0] in wanted)
        for numbers, found in _loaded(loaders, picked):
            report.add(found)
            report.refused += [Refused(path, numbers[number], issues) for number, issues in found.refused]
    return len(report.refused) < len(before)


def _loaded(loaders: Crew, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[list[int], Report]]:
    """Window after window, the next being read and divided while one is loaded: the numbers of its lines, and what came
    of it."""

    def read() -> tuple[list[int], list[bytes], Parts]:
        window = list(islice(lines, loaders.window))
        given = [line for _, line in window]
        return [number for number, _ in window], given, loaders.divided(given)

    numbers, given, parts = read()
    while numbers:
        pending, loading = loaders.begin(given, parts), numbers
        numbers, given, parts = read()
        yield loading, pending()


def _lines(path: Path, skip: int, told: Told) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers, but for the first `skip`."""
    passed = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            told(len(line))
            if not line.strip():
                continue
            passed += 1
            if passed > skip:
                yield number, line


def _name(path: Path) -> str:
    """What a file is known by: its size and its two ends, wherever it lies."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = file.read(_READ)
        file.seek(max(0, size - _READ))
        ends += file.read(_READ)
    return f"{size}-{blake2b(ends, digest_size=16).hexdigest()}"
