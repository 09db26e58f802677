"""`import`: each line is a resource. What is wrong with one stops no other; what broke off goes on where it was.

Ids are kept. A line without an id is given one that is made of the line, so that importing it again makes no second
resource. A line that refers to one further on is tried again at the end.
"""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from app.fhir.outcome import Fault, Issue
from app.fhir.resource import parse
from app.interactions import Asked, Services
from app.interactions.loading import BATCH, RANK, Report, load
from app.storage import transfers

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
        self.seconds += report.seconds


Told = Callable[[int], None]


def files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those in the folders named: what others refer to first."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.ndjson")) if path.is_dir() else [path]
        found += sorted(inside, key=lambda one: RANK.get(one.stem, len(RANK)))
    return found


def imported(
    services: Services, asked: Asked, paths: list[Path], told: Told = lambda _bytes: None, batch: int = BATCH
) -> Imported:
    """Store every line of the files; `told` hears of bytes that were read."""
    report = Imported()
    for path in paths:
        _file(services, asked, path, report, told, batch)
    while report.refused and _again(services, asked, report):
        pass
    for path in paths:
        services.store.retry(lambda tx, file=_name(path): transfers.clear_mark(tx, file))  # type: ignore[misc]
    report.refused.sort(key=lambda one: (str(one.file), one.line))
    return report


def _file(services: Services, asked: Asked, path: Path, report: Imported, told: Told, batch: int) -> None:
    name = _name(path)
    said = services.store.retry(lambda tx: transfers.mark(tx, name))
    done, before = json.loads(said) if said else (0, [])
    report.skipped += done
    report.refused += [Refused(path, line, ()) for line in before]
    lines = array("Q")

    def mark(so_far: Report) -> None:
        wrong = [*before, *(lines[number] for number, _ in so_far.refused)]
        place = json.dumps([done + so_far.done, wrong])
        services.store.retry(lambda tx: transfers.set_mark(tx, name, place))

    found = load(services, asked, _resources(path, lines, done, told), batch=batch, told=mark)
    report.add(found)
    report.refused += [Refused(path, lines[number], issues) for number, issues in found.refused]


def _again(services: Services, asked: Asked, report: Imported) -> bool:
    """Try the refused lines once more, for what they refer to may be there by now; whether that did any good."""
    before, report.refused = report.refused, []
    for path in dict.fromkeys(one.file for one in before):
        numbers = sorted(one.line for one in before if one.file == path)
        found = load(services, asked, _picked(path, set(numbers)))
        report.add(found)
        report.refused += [Refused(path, numbers[number], issues) for number, issues in found.refused]
    return len(report.refused) < len(before)


def _resources(path: Path, lines: array[int], skip: int, told: Told) -> Iterator[dict[str, Any] | bytes]:
    """The lines as resources, noting the number of each; one that cannot be read is left to be refused."""
    passed = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            told(len(line))
            if not line.strip():
                continue
            if passed < skip:
                passed += 1
                continue
            lines.append(number)
            yield _read(line)


def _picked(path: Path, numbers: set[int]) -> Iterator[dict[str, Any] | bytes]:
    with path.open("rb") as file:
        yield from (_read(line) for number, line in enumerate(file, 1) if number in numbers)


def _read(line: bytes) -> dict[str, Any] | bytes:
    try:
        resource = parse(line)
    except Fault:
        return line
    if "id" not in resource:
        resource["id"] = base64.b32encode(blake2b(line.strip(), digest_size=16).digest()).decode().rstrip("=").lower()
    return resource


def _name(path: Path) -> str:
    """What a file is known by: its size and its two ends, wherever it lies."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = file.read(_READ)
        file.seek(max(0, size - _READ))
        ends += file.read(_READ)
    return f"{size}-{blake2b(ends, digest_size=16).hexdigest()}"
