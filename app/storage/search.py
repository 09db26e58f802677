"""One search, one page: what matches, what is included, and the key of the next page.

The grant's rule is a part of the WHERE of page, count and include. Paging is by key, never by offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.fhir.query import Chain, Clause, Condition, Include, Query, Reference, Token, Typed
from app.fhir.registry import TYPES, followed
from app.policy.grant import Grant
from app.policy.redaction import hides
from app.storage import foresight
from app.storage.conditions import Builder, is_identifier
from app.storage.engine import Tx
from app.storage.indexing import PATIENT_PARAMS, UID_PARAMS
from app.storage.keys import param_number
from app.storage.ordering import Key, after, decode, encode, keys_of
from app.storage.predicate import locatable, visible, within
from app.storage.resources import COLUMNS, PATIENT, Stored, stored
from app.storage.sql import TRUE, Sql, all_of, any_of, joined, sql
from app.storage.wire import Row

MOST_INCLUDED = 1000
ITERATIONS = 4


@dataclass(frozen=True, slots=True)
class Page:
    """`total` only where the query asked for one; `truncated` when more was to be included than is allowed."""

    entries: list[Stored]
    included: list[Stored]
    total: int | None
    next: str | None
    truncated: bool


def foresee(tx: Tx, grant: Grant, query: Query) -> None:
    """Ask for the page in the round trip of the next statement, for `run` to find; not where more than a page is asked for."""
    if query.total == "none" and query.summary != "count" and query.count != 0 and query.cursor is None:
        foresight.look(tx, grant, query, _statement(tx, grant, query, _where(tx, grant, query), keys_of(query)))


def run(tx: Tx, grant: Grant, query: Query) -> Page:
    """The page of `query` that the grant covers. Raises Fault "invalid" for a cursor that is not of this query."""
    keys, endpoints = keys_of(query), _only_endpoints(query)
    rows = foresight.seen(tx, grant, query, query.type, _patients_of_endpoints if endpoints else _patients)
    total = None
    if rows is None:
        where = _where(tx, grant, query)
        if query.total != "none" or query.summary == "count" or query.count == 0:
            counted = "SELECT count(*) FROM resource r WHERE " + where
            total = int(tx.rows(counted.text, *counted.params)[0][0])
        if query.summary == "count" or query.count == 0:
            return Page([], [], total, None, False)
        statement = _statement(tx, grant, query, where, keys)
        rows = tx.rows(statement.text, *statement.params)
    if endpoints:
        return _with_endpoints(query, rows, total)
    more = len(rows) > query.count
    rows = rows[: query.count]
    entries = [stored(row) for row in rows]
    next_key = encode(rows[-1][10:]) if more else None
    included, truncated = _included(tx, grant, query, entries)
    return Page(entries, included, total, next_key, truncated)


def _patients(rows: list[Row]) -> set[int]:
    return {row[PATIENT] for row in rows}


def _patients_of_endpoints(rows: list[Row]) -> set[int]:
    return {row[PATIENT + 1] for row in rows if row[0] == 0}


def _where(tx: Tx, grant: Grant, query: Query) -> Sql:
    """Which rows match and may be seen."""
    builder = Builder(tx, grant, drive=driving(query))
    conditions = [
        sql("r.type = ? AND NOT r.deleted", TYPES[query.type].code),
        *(builder.condition(query.type, condition, "r") for condition in query.where),
        visible(tx, grant, query.type, "r"),
    ]
    return all_of(["(" + condition + ")" for condition in conditions])


def _statement(tx: Tx, grant: Grant, query: Query, where: Sql, keys: Sequence[Key]) -> Sql:
    """One page of these rows, in order."""
    located = locatable(tx, grant, query.type, "r")
    columns = f"SELECT {COLUMNS.format('r')}, (" + located + ")" + "".join(f", {key.expression}" for key in keys)
    statement = columns + " FROM resource r WHERE " + where
    if query.cursor is not None:
        statement = statement + " AND " + after(keys, decode(tx, keys, query.cursor))
    order = ", ".join(f"{key.expression} {'DESC' if key.descending else 'ASC'}" for key in keys)
    statement = statement + sql(f" ORDER BY {order} LIMIT ?", query.count + 1)
    return _and_endpoints(tx, grant, query, statement, keys) if _only_endpoints(query) else statement


def _only_endpoints(query: Query) -> bool:
    """Whether all that is to be included are the endpoints of the studies: by far the most usual search."""
    if len(query.includes) != 1 or query.type != "ImagingStudy":
        return False
    one = query.includes[0]
    return not one.reverse and one.source == query.type and one.param.name == "endpoint" and one.target is None


_STORED = ("rid", "type", "id", "version", "updated", "deleted", "content", "patient", "owner")


def _and_endpoints(tx: Tx, grant: Grant, query: Query, page: Sql, keys: Sequence[Key]) -> Sql:
    """A page and the endpoints of its studies that may be located, in one statement.

    The study has been decided already: its endpoint is the requester's to see, as far as the scopes reach.
    """
    names = [f"k{number}" for number, _ in enumerate(keys)]
    order = ", ".join(f"{name} {'DESC' if key.descending else 'ASC'}" for name, key in zip(names, keys, strict=True))
    of_page = ", ".join([*_STORED, "located", *names])
    shown = within(tx, grant, "Endpoint", "t")
    return (
        f"WITH page ({of_page}) AS MATERIALIZED (" + page + f") SELECT 0 AS part, {of_page} FROM page UNION ALL"
        f" SELECT 1, {COLUMNS.format('t')}, TRUE, {', '.join(['NULL'] * len(keys))} FROM (SELECT DISTINCT x.target_type,"
        f" x.target FROM (SELECT patient, rid, located FROM page ORDER BY {order} LIMIT {query.count}) p"
        " JOIN reference x ON x.patient = p.patient AND x.rid = p.rid"
        f" WHERE p.located AND x.param = {param_number('ImagingStudy.endpoint')}) e"
        " JOIN identity i ON i.type = e.target_type AND i.id = e.target"
        " JOIN resource t ON t.patient = i.patient AND t.rid = i.rid"
        f" WHERE t.type = {TYPES['Endpoint'].code} AND NOT t.deleted AND " + shown + f" ORDER BY part, {order}"
    )


def _with_endpoints(query: Query, rows: list[Row], total: int | None) -> Page:
    found = [row[1:] for row in rows if row[0] == 0]
    included = sorted((stored(row[1:11]) for row in rows if row[0] == 1), key=lambda one: one.rid)
    next_key = encode(found[query.count - 1][10:]) if len(found) > query.count else None
    entries = [stored(row) for row in found[: query.count]]
    return Page(entries, included[:MOST_INCLUDED], total, next_key, len(included) > MOST_INCLUDED)


def every(tx: Tx, grant: Grant, query: Query) -> Page:
    """All matches of a query that the grant covers, page after page, as one."""
    entries: list[Stored] = []
    page = run(tx, grant, query)
    entries += page.entries
    while page.next is not None:
        page = run(tx, grant, replace(query, cursor=page.next))
        entries += page.entries
    return Page(entries, [], None, None, False)


def driving(query: Query) -> Condition | None:
    """The condition whose index is to be read first: an exact identifier or UID, unless the patient is named."""
    if any(_names_patient(query.type, condition) for condition in query.where):
        return None
    for condition in query.where:
        if isinstance(condition, Clause) and condition.modifier in (None, "of-type", "identifier"):
            exact = all(
                (isinstance(value, Token) and value.code) or isinstance(value, Typed) for value in condition.values
            )
            uid = condition.param.name in UID_PARAMS.get(query.type, ())
            if exact and (is_identifier(condition.param) or uid or condition.modifier == "identifier"):
                return condition
    for condition in query.where:
        if not isinstance(condition, Clause) or condition.modifier is not None:
            continue
        if all(isinstance(value, Reference) and value.id for value in condition.values):
            return condition
    return None


def _names_patient(type_name: str, condition: Condition) -> bool:
    if isinstance(condition, Clause):
        return condition.modifier is None and condition.param.name in PATIENT_PARAMS.get(type_name, ())
    return isinstance(condition, Chain) and condition.param.name in PATIENT_PARAMS.get(type_name, ())


# Includes --------------------------------------------------------------------------------------------------------


def _included(tx: Tx, grant: Grant, query: Query, entries: list[Stored]) -> tuple[list[Stored], bool]:
    found: dict[int, Stored] = {}
    known = {entry.rid for entry in entries}
    fresh, first = entries, True
    for _ in range(ITERATIONS):
        wanted = query.includes if first else tuple(include for include in query.includes if include.iterate)
        if not wanted or not fresh:
            break
        added: list[Stored] = []
        for include in wanted:
            for one in _follow(tx, grant, include, fresh):
                if one.rid not in known and one.rid not in found:
                    if len(found) == MOST_INCLUDED:
                        return list(found.values()), True
                    found[one.rid] = one
                    added.append(one)
        fresh, first = added, False
    return list(found.values()), False


def _follow(tx: Tx, grant: Grant, include: Include, sources: list[Stored]) -> list[Stored]:
    if include.reverse:
        return _referring(tx, grant, include, sources)
    sources = [source for source in sources if source.type == include.source]
    targets = [include.target] if include.target else list(followed(include.param))
    if include.param.name in PATIENT_PARAMS.get(include.source, ()) and "Patient" in targets:
        rids = sorted({source.patient for source in sources if source.patient})
        text, param = tx.in_list("t.rid", rids)
        people = _rows(tx, grant, ["Patient"], sql(f"SELECT $ FROM resource t WHERE {text}", param)) if rids else []
        # A study of a group or a device names it like any other reference.
        others = [source for source in sources if not source.patient] if len(targets) > 1 else []
        return people + _referred(tx, grant, include, targets, others)
    endpoints = include.source in ("ImagingStudy", "DiagnosticReport") and include.param.name == "endpoint"
    if endpoints:
        sources = [source for source in sources if source.locatable]
    if grant.redact and hides(include.source, include.param.name):
        sources = [source for source in sources if source.locatable]
    # The endpoint of a study that may be located is the requester's to see: the study has been decided already.
    return _referred(tx, grant, include, targets, sources, decided=endpoints)


def _referred(
    tx: Tx, grant: Grant, include: Include, targets: list[str], sources: list[Stored], *, decided: bool = False
) -> list[Stored]:
    if not sources:
        return []
    by_patient, patients = tx.in_list("x.patient", sorted({source.patient for source in sources}))
    by_rid, rids_param = tx.in_list("x.rid", [source.rid for source in sources])
    statement = sql(
        "SELECT DISTINCT $ FROM reference x JOIN identity i ON i.type = x.target_type AND i.id = x.target"
        " JOIN resource t ON t.patient = i.patient AND t.rid = i.rid"
        f" WHERE {by_patient} AND {by_rid} AND x.param = ?",
        patients,
        rids_param,
        param_number(include.param.key),
    )
    return _rows(tx, grant, targets, statement, decided=decided)


def _referring(tx: Tx, grant: Grant, include: Include, sources: list[Stored]) -> list[Stored]:
    """Resources that refer to the sources, which may be of several types where includes build on each other."""
    found = []
    for kind in (include.target,) if include.target else followed(include.param):
        alike = [source for source in sources if source.type == kind]
        found += _referring_to(tx, grant, include, kind, alike) if alike else []
    return found


def _referring_to(tx: Tx, grant: Grant, include: Include, kind: str, sources: list[Stored]) -> list[Stored]:
    if include.param.name in PATIENT_PARAMS.get(include.source, ()) and kind == "Patient":
        text, param = tx.in_list("t.patient", sorted({source.rid for source in sources}))
        return _rows(tx, grant, [include.source], sql(f"SELECT $ FROM resource t WHERE {text}", param))
    by_target, ids = tx.in_list("x.target", [source.id for source in sources])
    statement = sql(
        "SELECT DISTINCT $ FROM reference x JOIN resource t ON t.patient = x.patient AND t.rid = x.rid"
        f" WHERE {by_target} AND x.target_type = ? AND x.param = ?",
        ids,
        TYPES[kind].code,
        param_number(include.param.key),
    )
    if grant.redact and hides(include.source, include.param.name):
        statement = statement + " AND " + locatable(tx, grant, include.source, "t")
    return _rows(tx, grant, [include.source], statement)


def _rows(tx: Tx, grant: Grant, types: list[str], statement: Sql, *, decided: bool = False) -> list[Stored]:
    parts = []
    located = []
    for name in types:
        if name in TYPES:
            shown = within(tx, grant, name, "t") if decided else visible(tx, grant, name, "t")
            parts.append("(" + sql("t.type = ? AND ", TYPES[name].code) + shown + ")")
            if name in ("ImagingStudy", "DiagnosticReport"):
                located.append(sql("WHEN ? THEN ", TYPES[name].code) + "(" + locatable(tx, grant, name, "t") + ")")
    if not parts:
        return []
    flag = "CASE t.type " + joined(" ", located) + " ELSE TRUE END" if located else TRUE
    head, tail = statement.text.split("$", 1)
    text = f"{head}{COLUMNS.format('t')}, ({flag.text}){tail} AND NOT t.deleted AND {any_of(parts).text}"
    rows = tx.rows(
        text + f" ORDER BY 2, 1 LIMIT {MOST_INCLUDED + 1}", *flag.params, *statement.params, *any_of(parts).params
    )
    return [stored(row) for row in rows]
