"""Which rows a Grant covers, as SQL: the same rules that `app.policy` reads in Python.

A property test holds the two together for generated worlds on both databases. Only a definite TRUE releases a row.
"""

from __future__ import annotations

from app.fhir.registry import TYPES
from app.policy.grant import (
    About,
    AboutPopulation,
    EndpointsOf,
    Everything,
    Grant,
    OwnedBy,
    Population,
    Rows,
    Rule,
    Slice,
    Studies,
)
from app.policy.predicate import (
    FALSE as NEVER,
)
from app.policy.predicate import (
    And,
    AnyOf,
    Const,
    Definitely,
    Expr,
    Is,
    Not,
    Or,
    Origin,
    Possibly,
    Started,
    Status,
)
from app.policy.relationship import RelationshipRule
from app.storage.engine import Tx
from app.storage.keys import fact_mark, param_number
from app.storage.projection import REPORT_NAMES
from app.storage.sql import FALSE, TRUE, Sql, all_of, any_of, sql

STUDY, STUDY_NUMBER = TYPES["ImagingStudy"].code, param_number("ImagingStudy.identifier")
INNER = 500  # aliases of a scope's conditions begin here, apart from those of the search they stand in


def visible(tx: Tx, grant: Grant, type_name: str, row: str) -> Sql:
    """The condition under which row alias `row` (table resource, or `h`: history) of this type is the requester's to
    see: permitted by policy, and within the token's scopes."""
    permitted = permits(tx, grant, type_name, row)
    if type_name not in grant.within:
        return permitted
    return "(" + permitted + " AND " + within(tx, grant, type_name, row) + ")"


def permits(tx: Tx, grant: Grant, type_name: str, row: str) -> Sql:
    """The part of `visible` that is policy's."""
    return any_of([_rule(tx, rule, type_name, row) for rule in grant.rows.get(type_name, ())])


def within(tx: Tx, grant: Grant, type_name: str, row: str) -> Sql:
    """The part of `visible` that is the scopes'."""
    if type_name not in grant.within:
        return TRUE
    return any_of([_slice(tx, grant, one, type_name, row) for one in grant.within[type_name]])


def _slice(tx: Tx, grant: Grant, slice: Slice, type_name: str, row: str) -> Sql:
    from app.storage.conditions import Builder  # which asks this module about what a chain leads to

    parts = []
    if slice.patient is not None:
        group = sql(
            "(SELECT sb.patient FROM identity si JOIN person sa ON sa.patient = si.rid JOIN person sb ON sb.grp = sa.grp"
            " WHERE si.type = ? AND si.id = ?)",
            TYPES["Patient"].code,
            slice.patient.removeprefix("Patient/"),
        )
        if TYPES[type_name].visibility == "endpoint":
            named = sql(
                f"EXISTS (SELECT 1 FROM reference sf WHERE sf.target = {row}.id AND sf.target_type = ? AND sf.patient IN ",
                TYPES[type_name].code,
            )
            parts.append(named + group + ")")
        else:
            parts.append(f"{row}.patient IN " + group)
    # An earlier version has no index to be searched by: no scope with search parameters reaches it.
    if slice.where and row == "h":
        return FALSE
    builder = Builder(tx, grant, counter=INNER)
    parts += ["(" + builder.condition(type_name, condition, row) + ") IS TRUE" for condition in slice.where]
    return "(" + all_of(parts) + ")"


def locatable(tx: Tx, grant: Grant, type_name: str, row: str) -> Sql:
    """The condition under which the row's endpoint may be shown; assumes that the row is visible."""
    return TRUE if grant.locate is None else _studies(tx, grant.locate, type_name, row)


def _rule(tx: Tx, rule: Rule, type_name: str, row: str) -> Sql:
    match rule:
        case Everything():
            return TRUE
        case OwnedBy(orgs):
            return _in(tx, f"{row}.owner", orgs)
        case About(patients):
            return _in(tx, f"{row}.patient", patients)
        case Rows(ids):
            return _in(tx, f"{row}.id", ids)
        case AboutPopulation(population, apart):
            inside = _population(tx, population, row)
            return inside if not apart else "(" + inside + " AND NOT " + _in(tx, f"{row}.patient", apart) + ")"
        case Studies():
            return _studies(tx, rule, type_name, row)
        case EndpointsOf(studies):
            return (
                sql(
                    "EXISTS (SELECT 1 FROM reference f JOIN resource s ON s.patient = f.patient AND s.rid = f.rid"
                    f" WHERE f.target = {row}.id AND f.target_type = ? AND f.param = ? AND NOT s.deleted AND ",
                    TYPES["Endpoint"].code,
                    param_number("ImagingStudy.endpoint"),
                )
                + _decided(tx, studies, "s")
                + ")"
            )


def _studies(tx: Tx, studies: Studies, type_name: str, row: str) -> Sql:
    own = _decided(tx, studies, row)
    if type_name != "DiagnosticReport":
        return own
    # A report shows only if every study that a version of it names does; one that names none is judged by its own
    # attributes. What is named by identifier may be several studies, or none that is here: then it does not show.
    names = (
        f"SELECT 1 FROM reference n WHERE n.patient = {row}.patient AND n.rid = {row}.rid AND n.param = {REPORT_NAMES}"
    )
    decided = _decided(tx, studies, "s")
    by_id = "SELECT 1 FROM identity k JOIN resource s ON s.patient = k.patient AND s.rid = k.rid"
    by_id += f" WHERE k.type = {STUDY} AND k.id = n.target AND NOT s.deleted AND "
    by_number = "SELECT 1 FROM identifier m JOIN resource s ON s.patient = m.patient AND s.rid = m.rid"
    by_number += f" WHERE m.param = {STUDY_NUMBER} AND m.value = n.target AND NOT s.deleted"
    hidden = (
        f"EXISTS ({names} AND CASE WHEN n.target_type = {STUDY} THEN NOT EXISTS ({by_id}"
        + decided
        + f") ELSE NOT EXISTS ({by_number}) OR EXISTS ({by_number} AND NOT "
        + decided
        + ") END)"
    )
    return "(NOT " + hidden + f" AND (EXISTS ({names}) OR " + own + "))"


def _decided(tx: Tx, studies: Studies, row: str) -> Sql:
    parts = []
    for case in studies.cases:
        if case.shown != NEVER and case.patients:
            parts.append(
                "(" + _in(tx, f"{row}.patient", case.patients) + " AND " + _definite(case.shown, row, tx) + ")"
            )
    apart = studies.apart
    elsewhere = TRUE if not apart else "NOT " + _in(tx, f"{row}.patient", apart)
    if studies.population is not None and studies.ordinary != NEVER:
        inside = _population(tx, studies.population, row)
        parts.append("(" + all_of([elsewhere, inside, _definite(studies.ordinary, row, tx)]) + ")")
    if studies.otherwise != NEVER:
        parts.append("(" + all_of([elsewhere, _definite(studies.otherwise, row, tx)]) + ")")
    return any_of(parts)


def _population(tx: Tx, population: Population, row: str) -> Sql:
    held = any_of([relationship_holds(tx, rule, population, "l") for rule in population.rules])
    return (
        f"{row}.patient IN (SELECT b.patient FROM relationship l JOIN person a ON a.patient = l.patient"
        " JOIN person b ON b.grp = a.grp WHERE a.flags = 0 AND " + held + ")"
    )


def relationship_holds(tx: Tx, rule: RelationshipRule, population: Population, row: str) -> Sql:
    """The rule's window and parties for row alias `row` (table relationship); twin of `relationship.holds`."""
    at = population.at
    parts = [sql(f"{row}.kind = ?", rule.kind), _in(tx, f"{row}.status", sorted(rule.statuses))]
    named = FALSE
    if population.practitioner is not None:
        named = _word(tx, f"{row}.members", population.practitioner)
    if rule.member_required:
        parts.append(named)
    if rule.org_required:
        parts.append("(" + _in(tx, f"{row}.org", population.orgs) + f" OR ({row}.org = '' AND " + named + "))")
    columns = {"start": "low", "end": "high"}
    if rule.needs_start:
        parts.append(sql(f"{row}.low IS NOT NULL"))
    if rule.anchor_low is not None:
        column = columns[rule.anchor_low]
        parts.append(sql(f"({row}.{column} IS NULL OR {row}.{column} <= ?)", at - rule.low_offset))
    if rule.anchor_high is not None:
        column = columns[rule.anchor_high]
        parts.append(sql(f"({row}.{column} IS NULL OR {row}.{column} > ?)", at - rule.high_offset))
    if rule.until_end:
        parts.append(sql(f"({row}.high IS NULL OR {row}.high > ?)", at))
    return "(" + all_of(parts) + ")"


# Conditions as they were put into SQL: those of most patients are the same few.
_KNOWN: dict[tuple[Expr, str, str], Sql] = {}
MOST_KNOWN = 4096
LARGE = 1_000  # values, beyond which a condition is not kept


def _definite(expr: Expr, row: str, tx: Tx) -> Sql:
    key = (expr, row, tx.dialect)
    found = _KNOWN.get(key)
    if found is None:
        found = "(" + condition(expr, row, tx) + ") IS TRUE"
        if len(found.params) > LARGE:
            return found
        if len(_KNOWN) >= MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = found
    return found


def condition(expr: Expr, row: str, tx: Tx) -> Sql:
    """An Expr as three-valued SQL over a study's row; twin of `predicate.evaluate`."""
    match expr:
        case Const(value):
            return Sql({True: "TRUE", False: "FALSE", None: "NULL"}[value])
        case AnyOf(kind, values):
            stated = any_of([_word(tx, f"{row}.facts", fact_mark(kind, value)) for value in sorted(values)])
            none = _word(tx, f"{row}.facts", fact_mark(kind, None))
            return "CASE WHEN " + stated + " THEN TRUE WHEN " + none + " THEN NULL ELSE FALSE END"
        case Started(low, high):
            bounds = []
            if high is not None:
                bounds.append(sql(f"{row}.low < ?", high))
            if low is not None:
                bounds.append(sql(f"{row}.high > ?", low))
            return f"CASE WHEN {row}.low IS NULL THEN NULL ELSE " + all_of(bounds) + " END"
        case Origin(orgs):
            return any_of([_word(tx, f"{row}.facts", fact_mark("origin", org)) for org in sorted(orgs)])
        case Is(studies):
            named = [study.split("/", 1) for study in sorted(studies)]
            return any_of(
                [
                    sql(f"({row}.type = ? AND {row}.id = ?)", TYPES[kind].code, name)
                    for kind, name in named
                    if kind in TYPES
                ]
            )
        case Status(codes):
            return _in(tx, f"{row}.status", sorted(codes))
        case And(parts):
            return all_of([_part(part, row, tx) for part in parts])
        case Or(parts):
            return any_of([_part(part, row, tx) for part in parts])
        case Not(part):
            return "NOT " + _part(part, row, tx)
        case Possibly(part):
            return _part(part, row, tx) + " IS NOT FALSE"
        case Definitely(part):
            return _part(part, row, tx) + " IS TRUE"


def _part(expr: Expr, row: str, tx: Tx) -> Sql:
    """In one pair of parentheses and no more: SQLite's parser takes a hundred of them in each other."""
    found = condition(expr, row, tx)
    return found if isinstance(expr, Or) and len(expr.parts) > 1 else "(" + found + ")"


def _word(tx: Tx, column: str, word: str) -> Sql:
    """The column, words between spaces, has this word."""
    function = "strpos" if tx.postgresql else "instr"
    return sql(f"{function}({column}, ?) > 0", f" {word} ")


def _in(tx: Tx, column: str, values: tuple[object, ...] | list[object] | list[str]) -> Sql:
    if not values:
        return FALSE
    text, param = tx.in_list(column, list(values))
    return sql(text, param)
