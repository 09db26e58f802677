"""Versions over time: of one resource, of a type, of everything; newest first, or as a feed that misses nothing.

With `since` the order is that of commits and the last page still has a next link: a reader that follows it sees each
version exactly once, though transactions overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.fhir.outcome import Fault
from app.fhir.registry import TYPES
from app.policy.grant import Grant
from app.storage import former
from app.storage.engine import Tx
from app.storage.outbox import OLDEST
from app.storage.predicate import locatable, visible
from app.storage.resources import OPERATIONS, Stored, get, stored
from app.storage.sql import Sql, all_of, any_of, sql


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """`entries` are (version, HTTP method that made it)."""

    entries: list[tuple[Stored, str]]
    next: str | None


def history(
    tx: Tx,
    grant: Grant,
    *,
    type: str | None = None,
    id: str | None = None,
    since: int | None = None,
    cursor: str | None = None,
    count: int = 20,
) -> HistoryPage | None:
    """A page of versions that the grant covers; None where one resource is asked for and it is not covered."""
    if id is not None and type is not None:
        return _of_instance(tx, grant, type, id, since, cursor, count)
    return _of_changes(tx, grant, type, since, cursor, count)


_VERSION = (
    "{0}.rid, {0}.type, {0}.id, {0}.version, {0}.updated, {0}.deleted, {0}.content, {0}.patient, {0}.owner, {1}, {0}.op"
)


def _of_instance(
    tx: Tx, grant: Grant, type: str, id: str, since: int | None, cursor: str | None, count: int
) -> HistoryPage | None:
    current = get(tx, grant, type, id)
    if current is None:
        return None
    parts = []
    now = sql("resource r WHERE r.patient = ? AND r.rid = ?", current.patient, current.rid)
    for row, found in (("r", now), ("h", former.versions(tx, current.rid, current.patient))):
        shown, located = visible(tx, grant, type, row), locatable(tx, grant, type, row)
        located = sql("TRUE") if current.locatable and located.text == "TRUE" else "(" + located + ")"
        if not current.locatable:
            located = sql("FALSE")
        part = "SELECT " + _VERSION.format(row, "\0")
        head, tail = part.split("\0")
        whole = head + located + tail + " FROM " + found + " AND " + shown
        if since is not None:
            whole = whole + sql(f" AND {row}.updated >= ?", since)
        if cursor is not None:
            whole = whole + sql(f" AND {row}.version < ?", _number(cursor))
        parts.append(whole)
    statement = parts[0] + " UNION ALL " + parts[1] + sql(" ORDER BY 4 DESC LIMIT ?", count + 1)
    rows = tx.rows(statement.text, *statement.params)
    entries = [(stored(row[:10]), OPERATIONS[row[10]]) for row in rows[:count]]
    return HistoryPage(entries, str(entries[-1][0].version) if len(rows) > count else None)


def _of_changes(
    tx: Tx, grant: Grant, type: str | None, since: int | None, cursor: str | None, count: int
) -> HistoryPage:
    feed = since is not None
    types = [type] if type else [name for name in grant.rows if name != "AuditEvent"]
    shown = any_of([_covers(tx, grant, name) for name in types])
    located = _locatable(tx, grant, types)
    conditions = [shown]
    if since is not None:
        # A transaction that is still open may yet commit rows before those of later ones: wait for it.
        conditions += [sql(f"c.xid < {OLDEST[tx.dialect]}"), sql("c.updated >= ?", since)]
    if cursor is not None:
        xid, _, seq = cursor.partition(".")
        conditions.append(sql(f"(c.xid, c.seq) {'>' if feed else '<'} (?, ?)", _number(xid), _number(seq)))
    version = (
        "r.rid, r.type, r.id, c.version, c.updated, COALESCE(h.deleted, r.deleted), COALESCE(h.content, r.content),"
        " c.patient, COALESCE(h.owner, r.owner), "
    )
    statement = (
        f"SELECT {version}"
        + located
        + ", c.op, c.xid, c.seq FROM change c JOIN resource r ON r.rid = c.rid"
        + " LEFT JOIN history h ON h.rid = c.rid AND h.version = c.version AND c.version < r.version WHERE "
        + all_of(["(" + condition + ")" for condition in conditions])
        + sql(f" ORDER BY c.xid {'ASC' if feed else 'DESC'}, c.seq {'ASC' if feed else 'DESC'} LIMIT ?", count + 1)
    )
    rows = tx.rows(statement.text, *statement.params)
    entries = [(stored(row[:10]), OPERATIONS[row[10]]) for row in rows[:count]]
    if feed:
        last = f"{rows[:count][-1][11]}.{rows[:count][-1][12]}" if entries else cursor or "0.0"
        return HistoryPage(entries, last)
    return HistoryPage(entries, f"{rows[count - 1][11]}.{rows[count - 1][12]}" if len(rows) > count else None)


def _covers(tx: Tx, grant: Grant, name: str) -> Sql:
    """The row as it is now and, where the version is an older one, as it was then."""
    now, then = visible(tx, grant, name, "r"), visible(tx, grant, name, "h")
    return sql("(r.type = ? AND ", TYPES[name].code) + "(" + now + ") AND (h.rid IS NULL OR (" + then + ")))"


def _locatable(tx: Tx, grant: Grant, types: list[str]) -> Sql:
    named = [name for name in types if name in ("ImagingStudy", "DiagnosticReport")]
    if not named or (grant.locate is None):
        return sql("TRUE")
    case: Sql = sql("CASE r.type")
    for name in named:
        now, then = locatable(tx, grant, name, "r"), locatable(tx, grant, name, "h")
        case = case + sql(" WHEN ? THEN ((", TYPES[name].code) + now + ") AND (h.rid IS NULL OR (" + then + ")))"
    return case + " ELSE TRUE END"


def _number(text: str) -> int:
    if not text.isdecimal():
        raise Fault("invalid", "the page link is damaged; expected a link as the server gave it")
    return int(text)
