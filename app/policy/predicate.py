"""A condition over one study, three-valued, as data: the same tree is read by Python here and by SQL in storage.

`evaluate` answers True, False or None (unknown), with Kleene's connectives, as SQL's WHERE does. Only a definite
True releases anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.policy.model import Study


@dataclass(frozen=True, slots=True)
class Const:
    value: bool | None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The study states at least one of `values` for `kind` (a key of Study.facts); unknown when it states none at all."""

    kind: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Started:
    """The study's own interval of start overlaps [low, high) in microseconds UTC; unknown when it has no start."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Origin:
    """An origin organisation of the study is one of `orgs` (organisation keys)."""

    orgs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Is:
    """The study is one of `studies` ("ImagingStudy/id")."""

    studies: frozenset[str]


@dataclass(frozen=True, slots=True)
class Status:
    codes: frozenset[str]


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Expr


@dataclass(frozen=True, slots=True)
class Possibly:
    """True unless `part` is definitely False: how a deny matches (P13)."""

    part: Expr


@dataclass(frozen=True, slots=True)
class Definitely:
    """True only if `part` is definitely True: how a permit matches (P13)."""

    part: Expr


Expr = Const | AnyOf | Started | Origin | Is | Status | And | Or | Not | Possibly | Definitely

TRUE = Const(True)
FALSE = Const(False)
UNKNOWN = Const(None)


def evaluate(expr: Expr, study: Study) -> bool | None:
    """The condition's value for one study."""
    match expr:
        case Const(value):
            return value
        case AnyOf(kind, values):
            stated = study.facts.get(kind)
            return None if not stated else not values.isdisjoint(stated)
        case Started(low, high):
            if study.started is None:
                return None
            first, last = study.started
            return (high is None or first < high) and (low is None or last > low)
        case Origin(orgs):
            return not orgs.isdisjoint(study.origins)
        case Is(studies):
            return study.ref in studies
        case Status(codes):
            return study.status in codes
        case And(parts):
            return _kleene(parts, study, False)
        case Or(parts):
            return _kleene(parts, study, True)
        case Not(part):
            value = evaluate(part, study)
            return None if value is None else not value
        case Possibly(part):
            return evaluate(part, study) is not False
        case Definitely(part):
            return evaluate(part, study) is True


def _kleene(parts: tuple[Expr, ...], study: Study, decides: bool) -> bool | None:
    """One part of the value that decides is enough; else unknown, if any part is."""
    found: bool | None = not decides
    for part in parts:
        value = evaluate(part, study)
        if value is decides:
            return decides
        if value is None:
            found = None
    return found


# Making conditions: what the connectives say of constants is said here, so that a tree is never larger than it must be.


def conj(*parts: Expr) -> Expr:
    """All of `parts`: simplified, and the same value as And(parts) for every study."""
    kept: dict[Expr, None] = {}
    for part in parts:
        for inner in part.parts if isinstance(part, And) else (part,):
            if inner == FALSE:
                return FALSE
            if inner != TRUE:
                kept[inner] = None
    return next(iter(kept)) if len(kept) == 1 else And(tuple(kept)) if kept else TRUE


def disj(*parts: Expr) -> Expr:
    """Any of `parts`: simplified, with conditions of one kind joined; the same value as Or(parts) for every study."""
    kept: dict[Expr, None] = {}
    values: dict[str, set[str]] = {}
    inside: dict[type[Possibly | Definitely], list[Expr]] = {}
    for part in parts:
        for inner in part.parts if isinstance(part, Or) else (part,):
            match inner:
                case Const(True):
                    return TRUE
                case Const(False):
                    pass
                case AnyOf(kind, wanted):
                    values.setdefault(kind, set()).update(wanted)
                case Possibly(hidden) | Definitely(hidden):
                    inside.setdefault(type(inner), []).append(hidden)
                case _:
                    kept[inner] = None
    for kind, wanted_all in values.items():
        kept[AnyOf(kind, frozenset(wanted_all))] = None
    for wrapper, hidden_parts in inside.items():
        kept[wrapper(disj(*hidden_parts))] = None
    return next(iter(kept)) if len(kept) == 1 else Or(tuple(kept)) if kept else FALSE


def negate(part: Expr) -> Expr:
    match part:
        case Const(value):
            return UNKNOWN if value is None else FALSE if value else TRUE
        case Not(inner):
            return inner
        case _:
            return Not(part)


def possibly(part: Expr) -> Expr:
    match part:
        case Const(value):
            return FALSE if value is False else TRUE
        case _:
            return part if crisp(part) else Possibly(part)


def definitely(part: Expr) -> Expr:
    match part:
        case Const(value):
            return TRUE if value is True else FALSE
        case _:
            return part if crisp(part) else Definitely(part)


def always(expr: Expr) -> bool:
    """Whether the condition is the constant True."""
    return isinstance(expr, Const) and expr.value is True


def crisp(expr: Expr) -> bool:
    """Whether the condition can never be unknown."""
    match expr:
        case Const(value):
            return value is not None
        case AnyOf() | Started():
            return False
        case And(parts) | Or(parts):
            return all(crisp(part) for part in parts)
        case Not(part):
            return crisp(part)
        case _:
            return True


# Conditions as JSON, for what is kept in the database.


def to_json(expr: Expr) -> list[Any]:
    """A list that begins with the node's name; sets are sorted, so that equal conditions are equal text."""
    match expr:
        case Const(value):
            return ["const", value]
        case AnyOf(kind, values):
            return ["any-of", kind, sorted(values)]
        case Started(low, high):
            return ["started", low, high]
        case Origin(values) | Is(values) | Status(values):
            return [type(expr).__name__.lower(), sorted(values)]
        case And(parts) | Or(parts):
            return [type(expr).__name__.lower(), [to_json(part) for part in parts]]
        case Not(part) | Possibly(part) | Definitely(part):
            return [type(expr).__name__.lower(), to_json(part)]


def from_json(data: list[Any]) -> Expr:
    """The condition that `to_json` wrote. Raises ValueError for a node it does not know."""
    name, *rest = data
    match name:
        case "const":
            return Const(rest[0])
        case "any-of":
            return AnyOf(rest[0], frozenset(rest[1]))
        case "started":
            return Started(rest[0], rest[1])
        case "origin":
            return Origin(frozenset(rest[0]))
        case "is":
            return Is(frozenset(rest[0]))
        case "status":
            return Status(frozenset(rest[0]))
        case "and":
            return And(_parts(rest[0]))
        case "or":
            return Or(_parts(rest[0]))
        case "not":
            return Not(from_json(rest[0]))
        case "possibly":
            return Possibly(from_json(rest[0]))
        case "definitely":
            return Definitely(from_json(rest[0]))
        case _:
            raise ValueError("unknown condition in a compiled consent; expected one that this version writes")


def _parts(data: Iterable[list[Any]]) -> tuple[Expr, ...]:
    return tuple(from_json(part) for part in data)
