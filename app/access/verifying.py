"""Is the audit what was written? The chain, the day's trees and the signed statements, from the database or an export.

What is wrong is named by its place in the chain: the day and the number of the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import rfc8785

from app.access.checkpoints import Key, digest, written
from app.storage.chain import NOTHING, Link, Tree, following, leaf

MOST_FAULTS = 20
STANDING_NAME = "standing"


@dataclass
class Report:
    """`faults` name the first bad row first; there may be more than are told."""

    rows: int = 0
    checkpoints: int = 0
    unlinked: int = 0
    key: str = ""
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("rows", "checkpoints", "unlinked", "key", "faults")}


@dataclass
class _Day:
    tree: Tree = field(default_factory=Tree)
    number: int = 0
    last: bytes = NOTHING
    marks: dict[int, tuple[str, str]] = field(default_factory=dict)  # count: (last, root), where a statement looks


def verify(
    links: Iterable[Link],
    statements: Mapping[str, str],
    key: Key,
    columns: Callable[[Mapping[str, Any]], tuple[object, ...]] | None = None,
    exact: bool = False,
) -> Report:
    """Hold every link against its row and its neighbours, then the days against the statements. `columns` says what the
    other columns of a record's row must be; `exact`: the standing statement must be there and count every row."""
    report = Report(key=key.thumbprint)
    stated = _opened(statements, key, report)
    looked_at = {(said["day"], said["count"]) for said in stated.values()}
    days: dict[str, _Day] = {}
    previous, place = NOTHING, ""
    for link in links:
        day = written(link.day)
        where = f"{day} row {link.n}"
        if day not in days:
            if place > day:
                report.fault(f"{where}: comes after {place}; expected days in order")
            days[day], place = _Day(last=previous), day
        one = days[day]
        report.rows += 1
        if link.n != one.number + 1:
            said = "a row before it is missing" if link.n > one.number + 1 else "it comes twice, or too late"
            report.fault(f"{where}: {said}; expected number {one.number + 1}")
        one.number = link.n
        mark = _mark(link, where, report, columns)
        if mark is not None and following(previous, mark) != link.hash:
            report.fault(f"{where}: what it says is not what was linked (seq {link.seq})")
        previous = link.hash
        one.tree.add(mark or NOTHING)
        one.last = previous
        if (day, one.tree.count) in looked_at:
            one.marks[one.tree.count] = (previous.hex(), one.tree.root.hex())
    _held(days, stated, report, exact)
    if exact and STANDING_NAME not in statements:
        report.fault("the end is missing; expected the signed statement of how far the export goes")
    return report


def _mark(
    link: Link, where: str, report: Report, columns: Callable[[Mapping[str, Any]], tuple[object, ...]] | None
) -> bytes | None:
    if link.record is None:
        report.fault(f"{where}: the row is gone (seq {link.seq})")
        return None
    try:
        said = orjson.loads(link.record)
        canonical = rfc8785.dumps(said)
    except (ValueError, TypeError):
        report.fault(f"{where}: the record cannot be read (seq {link.seq})")
        return None
    if canonical != link.record:
        report.fault(f"{where}: the record is not in canonical form (seq {link.seq})")
    if columns is not None and columns(said) != link.columns:
        report.fault(f"{where}: the row's columns are not those of its record (seq {link.seq})")
    return leaf(canonical)


def _opened(statements: Mapping[str, str], key: Key, report: Report) -> dict[str, dict[str, Any]]:
    """The statements whose signature is good, by name, in order."""
    found: dict[str, dict[str, Any]] = {}
    for name, statement in statements.items():
        said = key.open(statement.strip())
        if said is None:
            report.fault(f"checkpoint {name}: it is not signed by the key {key.thumbprint}")
        elif name != STANDING_NAME and said.get("day") != name:
            report.fault(f"checkpoint {name}: it speaks of another day")
        else:
            found[name] = said
    before = ""
    for name in [*sorted(set(found) - {STANDING_NAME}), *({STANDING_NAME} & set(found))]:
        if found[name].get("previous") != before:
            report.fault(f"checkpoint {name}: it does not name the one before it, so that one is missing or another")
        before = digest(statements[name].strip())
    return found


def _held(days: Mapping[str, _Day], stated: Mapping[str, dict[str, Any]], report: Report, exact: bool) -> None:
    """Each statement against the day that it speaks of, and every day that is over against its statement."""
    for name, said in stated.items():
        day, count = said["day"], said["count"]
        one = days.get(day, _Day())
        report.checkpoints += 1
        if one.number < count:
            report.fault(f"{day} row {one.number + 1}: it is missing; the checkpoint counts {count} rows")
        elif count and one.marks.get(count) != (said["last"], said["root"]):
            report.fault(f"{day} row {count} or one before it: it is not what the checkpoint was signed for")
        elif (name != STANDING_NAME or exact) and one.number > count:
            report.fault(f"{day} row {count + 1}: it was added after what the checkpoint counts")
    for day in list(days)[:-1]:
        if day not in stated:
            report.fault(f"checkpoint {day}: it is missing, and the day is over")
