"""The policy information point: rows become facts, in one statement a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.fhir.query import AnyOf, Chain, Clause, Condition, Has, Query, Reference, Token
from app.fhir.registry import TYPES
from app.policy.decide import Person
from app.policy.directive import Directive
from app.policy.grant import Population
from app.policy.model import EmergencyGrant, Relationship
from app.policy.predicate import Expr
from app.storage import uids
from app.storage.conditions import is_identifier
from app.storage.engine import Tx
from app.storage.indexing import PATIENT_PARAMS, UID_PARAMS, uid_hash
from app.storage.keys import code_hash, fact_mark, param_number, short
from app.storage.persons import DECEASED, INDETERMINATE, RESTRICTED
from app.storage.predicate import condition as asked_of
from app.storage.predicate import relationship_holds
from app.storage.projection import REPORT_NAMES
from app.storage.search import driving
from app.storage.sql import Sql, any_of, joined, sql

PATIENT = TYPES["Patient"].code
STUDY, REPORT = TYPES["ImagingStudy"].code, TYPES["DiagnosticReport"].code

# What stands for itself: a study, or a report that names none.
WHOLE = (
    f"(s.type = {STUDY} OR (s.type = {REPORT} AND NOT EXISTS (SELECT 1 FROM reference n WHERE n.patient = s.patient"
    f" AND n.rid = s.rid AND n.param = {REPORT_NAMES})))"
)


@dataclass(frozen=True, slots=True)
class Group:
    """One person: the records joined by replaced-by, and what is on file for them."""

    rids: tuple[int, ...]
    person: Person
    owns_study: bool = False  # the requester's organisation is the origin of one of their studies


@dataclass(frozen=True, slots=True)
class Known:
    """What one gathering found. `records` is rid → "Patient/id"."""

    groups: tuple[Group, ...] = ()
    records: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Names:
    """How a request names its patients: ids, or identifiers."""

    ids: tuple[str, ...] = ()
    identifiers: tuple[Token, ...] = ()


def named(query: Query) -> Names | None:
    """The patients that every match of the query must be about; None where it names none."""
    for condition in query.where:
        if found := _named(query.type, condition):
            return found
    return None


def _named(type_name: str, condition: Condition) -> Names | None:
    params = PATIENT_PARAMS.get(type_name, ("patient",) if type_name in ("Appointment", "AuditEvent") else ())
    match condition:
        case Clause(param, None | "Patient", values) if param.name in params:
            ids = tuple(v.id for v in values if isinstance(v, Reference) and v.id and v.type in (None, "Patient"))
            return Names(ids=ids)
        case Clause(param, "identifier", values) if param.name in params:
            return Names(identifiers=tuple(v for v in values if isinstance(v, Token)))
        case Chain(param, "Patient", Clause(inner, None, values)) if param.name in params:
            if inner.name == "identifier":
                return Names(identifiers=tuple(v for v in values if isinstance(v, Token)))
            if inner.name == "_id":
                return Names(ids=tuple(v.code for v in values if isinstance(v, Token) and v.code))
    return None


def touched(query: Query) -> frozenset[str]:
    """Every type whose rows can change the answer to the query."""
    found = {query.type, *led_to(query)}
    for include in query.includes:
        found.add(include.source)
        found.update([include.target] if include.target else include.param.targets)
    return frozenset(found & TYPES.keys())


def led_to(query: Query) -> set[str]:
    """The types that chains and `_has` of the query lead to."""
    found = set[str]()

    def walk(condition: Condition) -> None:
        match condition:
            case Chain(_, target, rest):
                found.add(target)
                walk(rest)
            case Has(source, _, rest):
                found.add(source)
                walk(rest)
            case AnyOf(parts):
                for part in parts:
                    walk(part)

    for condition in query.where:
        walk(condition)
    return found


def foreseeable(query: Query) -> bool:
    """Whether a search is about few patients and leads to nothing else, so that storage may look ahead."""
    return led_to(query) <= {"Patient"} and (named(query) is not None or exact(query) is not None)


# Types of which a search for studies may tell without asking who else is in the requester's care.
ALONE = frozenset(
    {"ImagingStudy", *(n for n, d in TYPES.items() if d.visibility in ("directory", "conformance", "endpoint"))}
)
MOST_NARROWED = 50


def exact(query: Query) -> Clause | None:
    """The condition by which a search that names no patient finds few: an exact identifier or UID, where nobody else can
    change the answer."""
    condition = driving(query) if touched(query) <= ALONE else None
    if not isinstance(condition, Clause) or not condition.values or condition.modifier is not None:
        return None
    if not _is_uid(query, condition) and not is_identifier(condition.param):
        return None
    return condition


def _is_uid(query: Query, condition: Clause) -> bool:
    return condition.param.name in UID_PARAMS.get(query.type, ())


def narrowed(tx: Tx, query: Query) -> tuple[int, ...] | None:
    """The patients (rids) whom every match is about, where an exact identifier or UID makes them few; else None.

    So a search that names no patient needs the facts of these alone, not of everyone in the requester's care.
    """
    condition = exact(query)
    if condition is None:
        return None
    uid = _is_uid(query, condition)
    found: set[int] = set()
    for value in condition.values:
        if not isinstance(value, Token) or not value.code:
            return None
        if uid:
            key = sql("x.value = ?", uid_hash(UID_PARAMS[query.type].index(condition.param.name), value.code))
        else:
            key = sql("x.value = ? AND x.param = ?", short(value.code), param_number(condition.param.key))
            if value.system is not None:
                key = key + sql(" AND x.system = ?", code_hash(value.system))
        rows = tx.rows(
            f"SELECT DISTINCT x.patient FROM {'uid' if uid else 'identifier'} x WHERE {key.text} LIMIT {MOST_NARROWED + 1}",
            *key.params,
        )
        found.update(patient for (patient,) in rows)
        if len(found) > MOST_NARROWED:
            return None
    return tuple(sorted(found))


def of_names(tx: Tx, names: Names, tree: Sequence[str], practitioner: str | None) -> Known:
    """The facts of the patients named."""
    parts = []
    if names.ids:
        text, param = tx.in_list("i.id", names.ids)
        parts.append(sql(f"SELECT i.rid FROM identity i WHERE i.type = ? AND {text}", PATIENT, param))
    for token in names.identifiers:
        part = sql(
            "SELECT x.rid FROM identifier x WHERE x.param = ? AND x.value = ?",
            param_number("Patient.identifier"),
            token.code or "",
        )
        if token.system is not None:
            part = part + sql(" AND x.system = ?", code_hash(token.system))
        parts.append(part)
    if not parts:
        return Known()
    return _gather(tx, joined(" UNION ", parts), tree, practitioner)


def of_patients(tx: Tx, rids: Sequence[int], tree: Sequence[str], practitioner: str | None) -> Known:
    """The facts of the patients with these rids."""
    text, param = tx.in_list("p.patient", rids)
    return _gather(tx, sql(f"SELECT p.patient FROM person p WHERE {text}", param), tree, practitioner)


def of_resource(tx: Tx, type_name: str, id: str, tree: Sequence[str], practitioner: str | None) -> Known:
    """The facts of the patient that a resource is about."""
    start = sql("SELECT i.patient FROM identity i WHERE i.type = ? AND i.id = ?", TYPES[type_name].code, id)
    return _gather(tx, start, tree, practitioner)


def ahead_of_study(tx: Tx, uid: str, tree: Sequence[str], practitioner: str | None) -> Callable[[], Known]:
    """The facts of the patient whom the study with this UID is about, asked in the round trip of the next statement."""
    start = sql(
        "SELECT x.patient FROM identifier x WHERE x.value = ? AND x.param = ? AND x.system = ?", *uids.identifying(uid)
    )
    text, params = _facts(tx, start.text, tuple(tree), practitioner is not None)
    found: list[list[tuple[Any, ...]]] = []
    tx.ahead(text, (*start.params, *params), found.append)

    def known() -> Known:
        tx.settle()
        return _assemble(found[0])

    return known


def of_population(tx: Tx, population: Population, teams: Iterable[str], own_bound: bool) -> Known:
    """The facts of those in the population for whom there is more on file than a relationship.

    Among them those whose relationship names one of the requester's `teams`; with `own_bound` (P1) also patients of
    the requester's own studies.
    """
    tree = population.orgs
    held = any_of([relationship_holds(tx, rule, population, "l") for rule in population.rules])
    related: Sql = "SELECT a.grp FROM relationship l JOIN person a ON a.patient = l.patient WHERE " + held
    if own_bound:
        own = _origin(tx, "s", population.orgs)
        related = related + " UNION SELECT a.grp FROM resource s JOIN person a ON a.patient = s.patient WHERE " + own
    # From those in care to what is on file for them, never the other way round: they are few, and the region is not.
    special = (
        "WITH held AS MATERIALIZED (" + related + ")"
        " SELECT b.patient FROM held h JOIN person b ON b.grp = h.grp WHERE b.flags <> 0"
        " UNION SELECT d.patient FROM held h JOIN person b ON b.grp = h.grp JOIN directive d ON d.patient = b.patient"
    )
    function = "strpos" if tx.postgresql else "instr"
    for team in sorted(teams):
        special = special + sql(
            f" UNION SELECT l.patient FROM relationship l WHERE {function}(l.members, ?) > 0", f" {team} "
        )
    if population.practitioner is not None:
        special = special + sql(
            " UNION SELECT e.patient FROM emergency_grant e WHERE e.practitioner = ?", population.practitioner
        )
    return _gather(tx, special, tree, population.practitioner)


def shows_any(tx: Tx, patients: Sequence[int], shown: Expr) -> bool:
    """Whether any study or report of these patients (rids) is one for which the condition is true."""
    about, rids = tx.in_list("s.patient", list(patients))
    statement = sql(f"SELECT 1 FROM resource s WHERE {about} AND NOT s.deleted AND " + WHOLE, rids)
    statement = statement + " AND (" + asked_of(shown, "s", tx) + ") IS TRUE LIMIT 1"
    return tx.one(statement.text, *statement.params) is not None


def persons_after(tx: Tx, after: int, most: int) -> list[int]:
    """Records that lead their merge group, by number, from behind `after`: one for each person."""
    rows = tx.rows(
        "SELECT patient FROM person WHERE patient > ? AND grp = patient ORDER BY patient LIMIT ?", after, most
    )
    return [rid for (rid,) in rows]


def count_persons(tx: Tx) -> int:
    return int(tx.rows("SELECT count(*) FROM person WHERE grp = patient")[0][0])


def owners_of_studies(tx: Tx, patients: Sequence[int]) -> dict[int, set[str]]:
    """The organisations that made the studies of these patients (rids)."""
    about, rids = tx.in_list("s.patient", list(patients))
    found: dict[int, set[str]] = {}
    for patient, owner in tx.rows(
        f"SELECT DISTINCT s.patient, s.owner FROM resource s WHERE {about} AND s.type = {STUDY} AND NOT s.deleted", rids
    ):
        if owner:
            found.setdefault(patient, set()).add(owner)
    return found


def choices_and_births(tx: Tx, after: tuple[int, int] = (0, 0), most: int = 500) -> list[tuple[Any, ...]]:
    """Compiled consents in order, from behind (patient, rid): (patient, rid, Directive, when the patient was born)."""
    rows = tx.rows(
        "SELECT d.patient, d.rid, d.id, d.version, d.body, (SELECT min(x.low) FROM date x WHERE x.patient = d.patient"
        f" AND x.rid = d.patient AND x.param = {param_number('Patient.birthdate')}) FROM directive d"
        " WHERE (d.patient, d.rid) > (?, ?) ORDER BY d.patient, d.rid LIMIT ?",
        *after,
        most,
    )
    return [
        (patient, rid, Directive.from_json(body, f"Consent/{id}", version), born)
        for patient, rid, id, version, body, born in rows
    ]


def _origin(tx: Tx, row: str, orgs: Sequence[str]) -> Sql:
    function = "strpos" if tx.postgresql else "instr"
    return any_of([sql(f"{function}({row}.facts, ?) > 0", f" {fact_mark('origin', org)} ") for org in orgs])


def _gather(tx: Tx, start: Sql, tree: Sequence[str], practitioner: str | None) -> Known:
    text, params = _facts(tx, start.text, tuple(tree), practitioner is not None)
    return _assemble(tx.rows(text, *start.params, *params))


_FACTS: dict[tuple[str, str, tuple[str, ...], bool], tuple[str, tuple[Any, ...]]] = {}
MOST_FACTS = 512


def _facts(tx: Tx, start: str, tree: tuple[str, ...], glass: bool) -> tuple[str, tuple[Any, ...]]:
    """The statement that gathers facts of the patients that `start` finds, and its values after those of `start`: put
    together once for each requester's tree. `glass`: a person asks, who may hold emergency grants."""
    key = (tx.dialect, start, tree, glass)
    if key in _FACTS:
        return _FACTS[key]
    own = _origin(tx, "s", tree)
    holders, holder_param = tx.in_list("e.organisation", list(tree))
    statement = (
        "WITH grp AS (SELECT b.patient, b.id, b.grp, b.flags FROM person a JOIN person b ON b.grp = a.grp"
        " WHERE a.patient IN (" + start + ")) "
        "SELECT 0, g.patient, g.grp, g.flags, g.id, '', '', '', '', CAST(NULL AS BIGINT), CAST(NULL AS BIGINT) FROM grp g "
        "UNION ALL SELECT 1, d.patient, g.grp, d.version, d.id, d.body, '', '', '', NULL, NULL"
        " FROM grp g JOIN directive d ON d.patient = g.patient "
        "UNION ALL SELECT 2, l.patient, g.grp, l.version, l.source, l.kind, l.status, l.org, l.members, l.low, l.high"
        " FROM grp g JOIN relationship l ON l.patient = g.patient "
        "UNION ALL SELECT 3, s.patient, s.grp, 0, '', '', '', '', '', NULL, NULL FROM (SELECT g.patient, g.grp FROM grp g"
        f" WHERE EXISTS (SELECT 1 FROM resource s WHERE s.patient = g.patient AND {WHOLE} AND NOT s.deleted AND "
    )
    statement += own.text + ")) s "
    if glass:
        statement += (
            "UNION ALL SELECT 4, e.patient, g.grp, e.version, e.id, e.practitioner, e.organisation, e.reason,"
            " CASE WHEN e.revoked THEN 'revoked' ELSE '' END, e.low, e.high"
            f" FROM grp g JOIN emergency_grant e ON e.patient = g.patient WHERE {holders}"
        )
    if len(_FACTS) >= MOST_FACTS:
        _FACTS.clear()
    _FACTS[key] = statement, (*own.params, holder_param) if glass else own.params
    return _FACTS[key]


def _assemble(rows: list[tuple[Any, ...]]) -> Known:
    groups: dict[int, dict[int, list[tuple[Any, ...]]]] = {}
    for row in rows:
        groups.setdefault(row[2], {}).setdefault(row[0], []).append(row)
    records = {row[1]: f"Patient/{row[4]}" for found in groups.values() for row in found.get(0, ())}
    return Known(tuple(_group(found, records) for _, found in sorted(groups.items())), records)


def _group(found: dict[int, list[tuple[Any, ...]]], records: dict[int, str]) -> Group:
    flags = 0
    for row in found[0]:
        flags |= row[3]
    related: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in found.get(2, ()):
        related.setdefault((row[4], f"{row[5]} {row[6]} {row[8]} {row[9]} {row[10]}"), []).append(row)
    relationships = tuple(
        Relationship(
            source=rows[0][4],
            version=rows[0][3],
            kind=rows[0][5],
            status=rows[0][6],
            patient=records[rows[0][1]],
            orgs=frozenset(row[7] for row in rows if row[7]),
            members=frozenset(rows[0][8].split()),
            start=rows[0][9],
            end=rows[0][10],
        )
        for rows in related.values()
    )
    person = Person(
        patients=frozenset(records[row[1]] for row in found[0]),
        deceased=bool(flags & DECEASED),
        link_error=bool(flags & INDETERMINATE),
        directives=tuple(Directive.from_json(row[5], f"Consent/{row[4]}", row[3]) for row in found.get(1, ())),
        relationships=relationships,
        grants=tuple(
            EmergencyGrant(
                row[4], row[3], row[5], row[6], records[row[1]], row[9], row[10], row[7], row[8] == "revoked"
            )
            for row in found.get(4, ())
        ),
        restricted=bool(flags & RESTRICTED),
    )
    return Group(tuple(sorted(row[1] for row in found[0])), person, 3 in found)


def groups_of(tx: Tx, practitioner: str, tree: Iterable[str], at: int) -> tuple[frozenset[str], int | None]:
    """The care teams and groups that name the practitioner at `at`, and when that next changes."""
    orgs, param = tx.in_list("l.org", ["", *sorted(tree)])
    function = "strpos" if tx.postgresql else "instr"
    rows = tx.rows(
        "SELECT l.source, l.low, l.high FROM relationship l WHERE l.kind IN ('careteam', 'group') AND l.status = 'active'"
        f" AND {function}(l.members, ?) > 0 AND {orgs} AND (l.high IS NULL OR l.high > ?)",
        f" {practitioner} ",
        param,
        at,
    )
    now = frozenset(source for source, low, _ in rows if low is None or low <= at)
    changes = [moment for _, low, high in rows for moment in (low, high) if moment is not None and moment > at]
    return now, min(changes, default=None)
