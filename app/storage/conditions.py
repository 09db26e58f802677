"""Search conditions as SQL over a row alias of `resource`; twin of `app.fhir.matches`.

A condition that crosses to another resource (chain, _has) holds only through rows that the grant covers: what the
requester may not see behaves as no match.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.fhir.index import normalise
from app.fhir.outcome import Fault
from app.fhir.query import AnyOf, Chain, Clause, Condition, Has, Param, Range, Reference, Text, Token, Typed, Value
from app.fhir.registry import TYPES
from app.policy.grant import Grant
from app.policy.redaction import hides
from app.storage.engine import Tx
from app.storage.indexing import EXTERNAL, PATIENT_PARAMS, STATUS, TEXT_SUFFIX, UID_PARAMS, WHEN, uid_hash
from app.storage.keys import SHORT, code_hash, pair_hash, param_number, short, type_number
from app.storage.predicate import locatable, permits, visible
from app.storage.sql import FALSE, Sql, all_of, any_of, sql

PATIENT = TYPES["Patient"].code


@dataclass
class Builder:
    """Makes the WHERE of one search. `drive` names the condition that is cheapest to start from, if one is."""

    tx: Tx
    grant: Grant
    counter: int = 0
    drive: Condition | None = None
    at: int = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.grant.at

    def alias(self) -> str:
        self.counter += 1
        return f"x{self.counter}"

    def condition(self, type_name: str, condition: Condition, row: str) -> Sql:
        match condition:
            case Clause():
                return self._shown(type_name, condition.param, row, self._clause(type_name, condition, row))
            case Chain():
                return self._shown(type_name, condition.param, row, self._chain(type_name, condition, row))
            case Has():
                return self._has(type_name, condition, row)
            case AnyOf(parts):
                return any_of([self.condition(type_name, part, row) for part in parts])

    def _shown(self, type_name: str, param: Param, row: str, holds: Sql) -> Sql:
        """What a role is not shown it cannot search by either: such a condition holds of rows shown whole alone."""
        if not (self.grant.redact and hides(type_name, param.name)):
            return holds
        return "((" + locatable(self.tx, self.grant, type_name, row) + ") AND (" + holds + "))"

    # Rows of an index table --------------------------------------------------------------------------------------

    def _exists(
        self, table: str, row: str, key: str | None, test: Callable[[str], Sql], *, driving: bool = False
    ) -> Sql:
        """Some row of the index table for this parameter, if the table is not of a few alone, passes `test`."""
        x = self.alias()
        of_param = f"{x}.param = {param_number(key)} AND " if key else ""
        if driving:
            return (
                f"({row}.patient, {row}.rid) IN (SELECT {x}.patient, {x}.rid FROM {table} {x} WHERE {of_param}"
                + test(x)
                + ")"
            )
        head = f"EXISTS (SELECT 1 FROM {table} {x} WHERE {x}.patient = {row}.patient AND {x}.rid = {row}.rid AND "
        return head + of_param + test(x) + ")"

    def _clause(self, type_name: str, clause: Clause, row: str) -> Sql:
        param = clause.param
        if clause.modifier == "missing":
            present = any_of([self._present(type_name, param, row)])
            return any_of([("NOT " + present) if value else present for value in clause.values])
        if clause.modifier == "not":
            wanted = Clause(param, None, clause.values)
            return "NOT COALESCE(" + self._clause(type_name, wanted, row) + ", FALSE)"
        driving = clause is self.drive
        if (many := _many(param, clause)) is not None:
            return self._exists("token", row, param.key, lambda x: _one_of(self.tx, x, many), driving=driving)
        if len(clause.values) > 1 and param.name in PATIENT_PARAMS.get(type_name, ()):
            # A list of patients is one look-up, not one for each.
            alike: dict[str | None, list[str]] = {}
            for value in clause.values:
                if isinstance(value, Reference) and value.id is not None and value.url is None:
                    alike.setdefault(value.type, []).append(value.id)
            if sum(map(len, alike.values())) == len(clause.values):
                return any_of([self._named(type_name, param, kind, ids, row, driving) for kind, ids in alike.items()])
        return any_of([self._value(type_name, param, clause.modifier, value, row, driving) for value in clause.values])

    def _present(self, type_name: str, param: Param, row: str) -> Sql:
        if param.name in ("_id", "_lastUpdated"):
            return sql("TRUE")
        if WHEN.get(type_name) == param.name:
            return sql(f"({row}.low IS NOT NULL OR {row}.high IS NOT NULL)")
        tables = {
            "token": ["token", "identifier"],
            "reference": ["reference"],
            "date": ["date"],
            "string": ["string"],
            "number": ["number"],
            "uri": ["token"],
        }[param.kind]
        if param.name in UID_PARAMS.get(type_name, ()):
            which = UID_PARAMS[type_name].index(param.name)
            return self._exists("uid", row, None, lambda x: sql(f"{x}.value & 1 = {which}"))
        if param.name == STATUS:
            return sql(f"{row}.status IS NOT NULL")
        parts = [self._exists(table, row, param.key, lambda x: sql("TRUE")) for table in tables]
        if param.kind == "token":
            parts.append(self._exists("string", row, param.key + TEXT_SUFFIX, lambda x: sql("TRUE")))
        if param.kind == "reference":
            parts.append(self._exists("identifier", row, f"{param.key}:identifier", lambda x: sql("TRUE")))
            if param.name in PATIENT_PARAMS.get(type_name, ()):
                parts.append(sql(f"{row}.patient <> 0"))
        return any_of(parts)

    # Values ------------------------------------------------------------------------------------------------------

    def _value(self, type_name: str, param: Param, modifier: str | None, value: Value, row: str, driving: bool) -> Sql:
        match value:
            case Token() if param.name == "_id":
                return sql(f"{row}.id = ?", value.code)
            case Token() if param.kind == "reference" or modifier == "identifier":
                key = f"{param.key}:identifier"
                return self._exists("identifier", row, key, lambda x: _identifier(x, value), driving=driving)
            case Token() if param.name in UID_PARAMS.get(type_name, ()):
                found = uid_hash(UID_PARAMS[type_name].index(param.name), value.code or "")
                return self._exists("uid", row, None, lambda x: sql(f"{x}.value = ?", found), driving=driving)
            case Token() if is_identifier(param):
                return self._exists("identifier", row, param.key, lambda x: _identifier(x, value), driving=driving)
            case Token() if param.name == STATUS:
                return _status(param, value, row)
            case Token():
                return self._exists("token", row, param.key, lambda x: _token(x, value), driving=driving)
            case Typed():
                return self._exists("identifier", row, param.key, lambda x: _typed(x, value), driving=driving)
            case Reference():
                return self._reference(type_name, param, value, row, driving)
            case Range() if param.name == "_lastUpdated":
                return self._range(value, f"{row}.updated", f"{row}.updated + 1")
            case Range() if param.kind == "date" and WHEN.get(type_name) == param.name:
                stated = f"({row}.low IS NOT NULL OR {row}.high IS NOT NULL)"
                return "(" + stated + " AND " + self._range(value, f"{row}.low", f"{row}.high") + ")"
            case Range() if param.kind == "date":
                return self._exists("date", row, param.key, lambda x: self._range(value, f"{x}.low", f"{x}.high"))
            case Range():
                return self._exists("number", row, param.key, lambda x: self._range(value, f"{x}.low", f"{x}.low"))
            case Text(text) if modifier == "text":
                key = param.key + TEXT_SUFFIX
                return self._exists("string", row, key, lambda x: _string(self.tx, x, text, None))
            case Text(text) if param.kind == "uri":
                return self._exists("token", row, param.key, lambda x: _token(x, Token("", text)), driving=driving)
            case Text(text):
                return self._exists("string", row, param.key, lambda x: _string(self.tx, x, text, modifier))
            case _:
                raise Fault("not-supported", "this form of value is not supported for the parameter")

    def _reference(self, type_name: str, param: Param, value: Reference, row: str, driving: bool) -> Sql:
        if value.url is not None:
            return self._exists(
                "reference",
                row,
                param.key,
                lambda x: sql(f"{x}.target = ? AND {x}.target_type = {EXTERNAL}", short(value.url or "")),
            )
        return self._named(type_name, param, value.type, [value.id or ""], row, driving)

    def _named(self, type_name: str, param: Param, kind: str | None, ids: list[str], row: str, driving: bool) -> Sql:
        """The parameter refers to one of `ids`, of type `kind` or of any that it may refer to."""
        types = [kind] if kind else list(param.targets)
        codes = [type_number(name) for name in types]
        if param.name in PATIENT_PARAMS.get(type_name, ()) and (PATIENT in codes or not codes):
            one, which = self.tx.in_list("i.id", ids) if len(ids) > 1 else ("i.id = ?", ids[0])
            group = sql(
                "SELECT b.patient FROM identity i JOIN person a ON a.patient = i.rid JOIN person b ON b.grp = a.grp"
                f" WHERE i.type = ? AND {one}",
                PATIENT,
                which,
            )
            pending = self._exists("reference", row, param.key, lambda x: _target(self.tx, x, codes, ids))
            return "(" + self.patient_in(group, row) + f" OR ({row}.patient = 0 AND " + pending + "))"
        return self._exists("reference", row, param.key, lambda x: _target(self.tx, x, codes, ids), driving=driving)

    def patient_in(self, query: Sql, row: str) -> Sql:
        """The row is about one of the patients that `query` finds, looked up once and before the rows."""
        if self.tx.postgresql:
            return f"{row}.patient = ANY(ARRAY(" + query + "))"
        return f"{row}.patient IN (" + query + ")"

    def _range(self, value: Range, low: str, high: str) -> Sql:
        """[low, high) of the row against the value, by prefix; NULL is unbounded. A number is one point."""
        point = value.low == value.high
        within = sql(f"({low} >= ? AND {high} <= ?)", value.low, value.high)
        if point or low == high:
            within = sql(f"({low} >= ? AND {low} {'<=' if point else '<'} ?)", value.low, value.high)
        above = sql(f"({high} IS NULL OR {high} > ?)", value.high)
        below = sql(f"({low} IS NULL OR {low} < ?)", value.low)
        match value.prefix:
            case "eq":
                return "COALESCE(" + within + ", FALSE)"
            case "ne":
                return "NOT COALESCE(" + within + ", FALSE)"
            case "gt":
                return above
            case "lt":
                return below
            case "ge":
                return "(" + above + " OR COALESCE(" + within + ", FALSE))"
            case "le":
                return "(" + below + " OR COALESCE(" + within + ", FALSE))"
            case "sa":
                return sql(f"COALESCE({low} >= ?, FALSE)", value.high)
            case "eb":
                return sql(f"COALESCE({high} <= ?, FALSE)", value.low)
            case _:  # ap: the parser has widened the range
                if low == high:
                    return within
                begins = sql(f"({low} IS NULL OR {low} < ?)", value.high)
                return "(" + begins + " AND " + sql(f"({high} IS NULL OR {high} > ?))", value.low)

    # Across resources --------------------------------------------------------------------------------------------

    def _chain(self, type_name: str, chain: Chain, row: str) -> Sql:
        t = self.alias()
        code = TYPES[chain.target].code
        # To name the patient asks for nothing that a scope for Patient would have to cover.
        shown = permits if names_patient(chain) else visible
        reached = all_of(
            [
                sql(f"{t}.type = {code} AND NOT {t}.deleted"),
                shown(self.tx, self.grant, chain.target, t),
                self.condition(chain.target, chain.rest, t),
            ]
        )
        if chain.param.name in PATIENT_PARAMS.get(type_name, ()) and chain.target == "Patient":
            a, b = self.alias(), self.alias()
            group = (
                f"SELECT {b}.patient FROM resource {t} JOIN person {a} ON {a}.patient = {t}.patient"
                f" JOIN person {b} ON {b}.grp = {a}.grp WHERE " + reached
            )
            return self.patient_in(group, row)
        x = self.alias()
        head = (
            f"EXISTS (SELECT 1 FROM reference {x} JOIN identity {x}i ON {x}i.type = {x}.target_type AND {x}i.id = {x}.target"
            f" JOIN resource {t} ON {t}.patient = {x}i.patient AND {t}.rid = {x}i.rid"
            f" WHERE {x}.patient = {row}.patient AND {x}.rid = {row}.rid AND {x}.param = {param_number(chain.param.key)}"
            f" AND {x}.target_type = {code} AND "
        )
        return head + reached + ")"

    def _has(self, type_name: str, has: Has, row: str) -> Sql:
        s = self.alias()
        reached = all_of(
            [
                sql(f"{s}.type = {TYPES[has.type].code} AND NOT {s}.deleted"),
                self._shown(has.type, has.param, s, visible(self.tx, self.grant, has.type, s)),
                self.condition(has.type, has.rest, s),
            ]
        )
        if has.param.name in PATIENT_PARAMS.get(has.type, ()) and type_name == "Patient":
            a, b = self.alias(), self.alias()
            group = (
                f"SELECT {b}.patient FROM person {a} JOIN person {b} ON {b}.grp = {a}.grp WHERE {a}.patient = {row}.rid"
            )
            return f"EXISTS (SELECT 1 FROM resource {s} WHERE {s}.patient IN ({group}) AND " + reached + ")"
        x = self.alias()
        head = (
            f"EXISTS (SELECT 1 FROM reference {x} JOIN resource {s} ON {s}.patient = {x}.patient AND {s}.rid = {x}.rid"
            f" WHERE {x}.target = {row}.id AND {x}.target_type = {TYPES[type_name].code}"
            f" AND {x}.param = {param_number(has.param.key)} AND "
        )
        return head + reached + ")"


def names_patient(chain: Chain) -> bool:
    """Whether the chain says by id or identifier which patient is meant, and nothing else."""
    rest = chain.rest
    named = isinstance(rest, Clause) and rest.modifier is None and rest.param.name in ("_id", "identifier")
    return chain.target == "Patient" and named


def is_identifier(param: Param) -> bool:
    """Whether the parameter reads Identifier elements, which stand in a table of their own."""
    return param.shape == "identifier"


def _identifier(x: str, value: Token) -> Sql:
    parts = []
    if value.code is not None:
        parts.append(sql(f"{x}.value = ?", short(value.code)))
    if value.system is not None:
        parts.append(sql(f"{x}.system = ?", code_hash(value.system)))
    return all_of(parts)


def _status(param: Param, value: Token, row: str) -> Sql:
    if value.system not in (None, param.system):
        return FALSE
    return sql(f"{row}.status = ?", value.code) if value.code is not None else sql(f"{row}.status IS NOT NULL")


def _typed(x: str, value: Typed) -> Sql:
    return sql(f"{x}.kind = ? AND {x}.value = ?", pair_hash(value.system, value.code), short(value.value))


def _token(x: str, value: Token) -> Sql:
    if value.code is None:
        return sql(f"{x}.system = ?", code_hash(value.system or ""))
    if value.system is None:
        return sql(f"{x}.code = ?", code_hash(value.code))
    return sql(f"{x}.code = ? AND {x}.system = ?", code_hash(value.code), code_hash(value.system))


def _many(param: Param, clause: Clause) -> list[Token] | None:
    """The values of a clause of many codes, each with its system, as those of a value set are: one look-up for all."""
    several = param.kind == "token" and clause.modifier is None and len(clause.values) > 8
    if (
        not several
        or is_identifier(param)
        or param.name in ("_id", STATUS)
        or param.name in UID_PARAMS.get(param.type, ())
    ):
        return None
    tokens = [value for value in clause.values if isinstance(value, Token) and value.system and value.code]
    return tokens if len(tokens) == len(clause.values) else None


def _one_of(tx: Tx, x: str, tokens: list[Token]) -> Sql:
    by_system: dict[str, set[int]] = {}
    for token in tokens:
        by_system.setdefault(token.system or "", set()).add(code_hash(token.code or ""))
    parts = []
    for system, codes in by_system.items():
        text, param = tx.in_list(f"{x}.code", sorted(codes))
        parts.append(sql(f"({text} AND {x}.system = ?)", param, code_hash(system)))
    return any_of(parts)


def _target(tx: Tx, x: str, codes: list[int], ids: list[str]) -> Sql:
    """A reference to one of these ids and one of the types; of any type where there are none."""
    one, which = tx.in_list(f"{x}.target", ids) if len(ids) > 1 else (f"{x}.target = ?", ids[0])
    if not codes:
        return sql(f"{one} AND {x}.target_type <> {EXTERNAL}", which)
    text, param = tx.in_list(f"{x}.target_type", codes)
    return sql(f"{one} AND {text}", which, param)


def _contains(tx: Tx, x: str, text: str) -> Sql:
    function = "strpos" if tx.postgresql else "instr"
    return sql(f"{function}(COALESCE({x}.whole, {x}.norm), ?) > 0", text)


def _string(tx: Tx, x: str, text: str, modifier: str | None) -> Sql:
    start = normalise(text)
    if modifier == "exact":
        return sql(f"{x}.norm = ? AND {x}.exact = ?", start[:SHORT], text)
    if modifier == "contains":
        return _contains(tx, x, start)
    if not start:
        return FALSE
    begins = sql(f"{x}.norm >= ? AND {x}.norm < ?", start[:SHORT], start[:SHORT] + "\U0010ffff")
    if len(start) > SHORT:
        begins = begins + sql(f" AND {x}.whole >= ? AND {x}.whole < ?", start, start + "\U0010ffff")
    return begins
