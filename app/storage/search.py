"""One search, one page: what matches, what is included, and the key of the next page.

The grant's rule is a part of the WHERE of page, count and include. Paging is by key, never by offset.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from app.fhir.outcome import Fault
from app.fhir.query import Chain, Clause, Condition, Include, Query, Reference, Sort, Token, Typed
from app.fhir.registry import TYPES
from app.policy.grant import Grant
from app.policy.redaction import hides
from app.storage.conditions import Builder, is_identifier
from app.storage.engine import Tx
from app.storage.indexing import PATIENT_PARAMS, UID_PARAMS, WHEN
from app.storage.keys import param_number
from app.storage.predicate import locatable, visible, within
from app.storage.resources import COLUMNS, Stored, stored
from app.storage.sql import TRUE, Sql, all_of, any_of, joined, sql

MOST_INCLUDED = 1000
ITERATIONS = 4
FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Page:
    """`total` only where the query asked for one; `truncated` when more was to be included than is allowed."""

    entries: list[Stored]
    included: list[Stored]
    total: int | None
    next: str | None
    truncated: bool


def run(tx: Tx, grant: Grant, query: Query) -> Page:
    """The page of `query` that the grant covers. Raises Fault "invalid" for a cursor that is not of this query."""
    builder = Builder(tx, grant, drive=driving(query))
    conditions = [
        sql("r.type = ? AND NOT r.deleted", TYPES[query.type].code),
        *(builder.condition(query.type, condition, "r") for condition in query.where),
        visible(tx, grant, query.type, "r"),
    ]
    where = all_of(["(" + condition + ")" for condition in conditions])
    total = None
    if query.total != "none" or query.summary == "count" or query.count == 0:
        counted = "SELECT count(*) FROM resource r WHERE " + where
        total = int(tx.rows(counted.text, *counted.params)[0][0])
    if query.summary == "count" or query.count == 0:
        return Page([], [], total, None, False)
    keys = _keys(query)
    located = locatable(tx, grant, query.type, "r")
    columns = f"SELECT {COLUMNS.format('r')}, (" + located + ")" + "".join(f", {key.expression}" for key in keys)
    statement = columns + " FROM resource r WHERE " + where
    if query.cursor is not None:
        statement = statement + " AND " + _after(keys, _decode(query.cursor, len(keys)))
    order = ", ".join(f"{key.expression} {'DESC' if key.descending else 'ASC'}" for key in keys)
    statement = statement + sql(f" ORDER BY {order} LIMIT ?", query.count + 1)
    rows = tx.rows(statement.text, *statement.params)
    more = len(rows) > query.count
    rows = rows[: query.count]
    entries = [stored(row) for row in rows]
    next_key = _encode(rows[-1][10:]) if more else None
    included, truncated = _included(tx, grant, query, entries)
    return Page(entries, included, total, next_key, truncated)


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


# Order and paging ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """One part of the order. The expression is never NULL, so that keys compare the same on every database."""

    expression: str
    descending: bool


def _keys(query: Query) -> list[Key]:
    sorts = query.sort or (Sort(TYPES[query.type].params["_lastUpdated"], True),)
    keys: list[Key] = []
    for sort in sorts:
        keys += _sort_keys(query.type, sort)
    keys.append(Key("r.rid", sorts[0].descending))
    return keys


def _sort_keys(type_name: str, sort: Sort) -> list[Key]:
    param, number = sort.param, param_number(sort.param.key)
    pick = "max" if sort.descending else "min"
    of_row = f"x.patient = r.patient AND x.rid = r.rid AND x.param = {number}"
    if param.name == "_lastUpdated":
        return [Key("r.updated", sort.descending)]
    if param.name == "_id":
        return [Key("r.id", sort.descending)]
    if param.kind == "date":
        return _date_keys(type_name, sort, of_row)
    if param.kind == "number":
        value, blank = f"(SELECT {pick}(x.low) FROM number x WHERE {of_row})", "0"
    elif param.kind == "string":
        value, blank = f"(SELECT {pick}(x.norm) FROM string x WHERE {of_row})", "''"
    elif is_identifier(param):
        value, blank = f"(SELECT {pick}(x.value) FROM identifier x WHERE {of_row})", "''"
    elif param.name == "status":
        value, blank = "r.status", "''"
    elif param.kind == "reference" and param.name not in PATIENT_PARAMS.get(type_name, ()):
        value, blank = f"(SELECT {pick}(x.target) FROM reference x WHERE {of_row})", "''"
    elif param.kind == "reference":
        value, blank = "(SELECT p.id FROM person p WHERE p.patient = r.patient)", "''"
    else:
        raise Fault(
            "invalid", f"sorting by '{param.name}' is not supported; expected a date, string, number or identifier"
        )
    # What has no value comes last in either direction.
    absent = Key(f"(CASE WHEN {value} IS NULL THEN 1 ELSE 0 END)", False)
    return [absent, Key(f"COALESCE({value}, {blank})", sort.descending)]


def _date_keys(type_name: str, sort: Sort, of_row: str) -> list[Key]:
    """A period counts by its beginning when ascending and by its end when descending; open ends lie beyond all."""
    column, open_end, pick = ("high", FOREVER, "max") if sort.descending else ("low", -FOREVER, "min")
    if WHEN.get(type_name) == sort.param.name:
        there = "(r.low IS NOT NULL OR r.high IS NOT NULL)"
        value = f"COALESCE(r.{column}, {open_end})"
    else:
        there = f"EXISTS (SELECT 1 FROM date x WHERE {of_row})"
        value = f"COALESCE((SELECT {pick}(COALESCE(x.{column}, {open_end})) FROM date x WHERE {of_row}), 0)"
    return [Key(f"(CASE WHEN {there} THEN 0 ELSE 1 END)", False), Key(value, sort.descending)]


def _after(keys: list[Key], values: list[Any]) -> Sql:
    if all(key.descending == keys[0].descending for key in keys):
        left = ", ".join(key.expression for key in keys)
        sign = "<" if keys[0].descending else ">"
        return sql(f"({left}) {sign} ({', '.join('?' * len(values))})", *values)
    parts = []
    for depth, key in enumerate(keys):
        equal = [sql(f"{keys[i].expression} = ?", values[i]) for i in range(depth)]
        parts.append(
            "(" + all_of([*equal, sql(f"{key.expression} {'<' if key.descending else '>'} ?", values[depth])]) + ")"
        )
    return any_of(parts)


def _encode(values: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(values))).decode()


def _decode(cursor: str, count: int) -> list[Any]:
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor))
    except ValueError as error:
        raise Fault("invalid", "the page link is damaged; expected a link as the server gave it") from error
    if not isinstance(values, list) or len(values) != count:
        raise Fault("invalid", "the page link is of another search; expected a link as the server gave it")
    return values


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
    targets = [include.target] if include.target else list(include.param.targets)
    if include.param.name in PATIENT_PARAMS.get(include.source, ()) and "Patient" in targets:
        rids = sorted({source.patient for source in sources if source.patient})
        text, param = tx.in_list("t.rid", rids)
        return _rows(tx, grant, ["Patient"], sql(f"SELECT $ FROM resource t WHERE {text}", param))
    endpoints = include.source in ("ImagingStudy", "DiagnosticReport") and include.param.name == "endpoint"
    if endpoints:
        sources = [source for source in sources if source.locatable]
    if grant.redact and hides(include.source, include.param.name):
        sources = [source for source in sources if source.locatable]
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
    # The endpoint of a study that may be located is the requester's to see: the study has been decided already.
    return _rows(tx, grant, targets, statement, decided=endpoints)


def _referring(tx: Tx, grant: Grant, include: Include, sources: list[Stored]) -> list[Stored]:
    if not sources or (include.target and include.target != sources[0].type):
        return []
    if include.param.name in PATIENT_PARAMS.get(include.source, ()) and sources[0].type == "Patient":
        text, param = tx.in_list("t.patient", sorted({source.rid for source in sources}))
        return _rows(tx, grant, [include.source], sql(f"SELECT $ FROM resource t WHERE {text}", param))
    by_target, ids = tx.in_list("x.target", [source.id for source in sources])
    statement = sql(
        "SELECT DISTINCT $ FROM reference x JOIN resource t ON t.patient = x.patient AND t.rid = x.rid"
        f" WHERE {by_target} AND x.target_type = ? AND x.param = ?",
        ids,
        TYPES[sources[0].type].code,
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
