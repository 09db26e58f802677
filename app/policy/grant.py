"""The permission that storage asks for: which rows of each type a request may touch, as data.

Only `app.access.enforcement` makes a Grant (a test reads every file for it). Storage turns the rules into the WHERE
clause of every statement, so that nothing is filtered after it was counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.fhir.query import Condition
from app.policy.duty import Duty
from app.policy.predicate import FALSE, Expr
from app.policy.relationship import RelationshipRule


@dataclass(frozen=True, slots=True)
class Everything:
    """Each row of the type."""


@dataclass(frozen=True, slots=True)
class OwnedBy:
    """Rows that one of these organisations answers for."""

    orgs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class About:
    """Rows about one of these patients (rids)."""

    patients: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows with these ids."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Population:
    """All patients to whom the requester has a relationship at `at`, found by the database."""

    orgs: tuple[str, ...]
    practitioner: str | None
    rules: tuple[RelationshipRule, ...]
    at: int


@dataclass(frozen=True, slots=True)
class AboutPopulation:
    """Rows about anyone in the population, but for `apart` (rids)."""

    population: Population
    apart: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyCase:
    """For studies of these patients (rids; None: of anyone in the population not in `apart`), the condition to show."""

    patients: tuple[int, ...] | None
    shown: Expr


@dataclass(frozen=True, slots=True)
class Studies:
    """Studies and reports by decision: `cases` for patients whose facts were read, `ordinary` for others of the
    population, `otherwise` for anyone else (a requester's own studies)."""

    cases: tuple[StudyCase, ...] = ()
    population: Population | None = None
    ordinary: Expr = FALSE
    otherwise: Expr = FALSE

    @property
    def apart(self) -> tuple[int, ...]:
        return tuple(rid for case in self.cases for rid in case.patients or ())


@dataclass(frozen=True, slots=True)
class EndpointsOf:
    """Endpoints to which a study that may be located points."""

    studies: Studies


Rule = Everything | OwnedBy | About | Rows | AboutPopulation | Studies | EndpointsOf


@dataclass(frozen=True, slots=True)
class Slice:
    """What one scope of the token lets through of a type: what is about `patient` ("Patient/id"; None: about anyone)
    and its merge group, and meets every condition of `where`."""

    patient: str | None = None
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Reasoned:
    """The decision about one person, for the record. `effect`: PERMIT | REDACT | DENY, or PARTIAL where it depends on
    the study; `basis`: each Consent, relationship and emergency grant looked at, with version."""

    effect: str
    reasons: tuple[str, ...]
    basis: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ("AUDIT",)
    until: int | None = None


@dataclass(frozen=True)
class Grant:
    """What one request may touch. A type that `rows` does not name has no rows for it.

    `within` narrows that to what the token's scopes let through: of a type that it names, only what lies in one of the
    slices.

    `locate`: the studies whose endpoint may be shown (None: the same as those that may be seen). `redact`: of those
    that may not be located, only existence, date, modality and source are shown (P24). `reasoned`: the decision
    about each patient whose facts were read; `reason` finds it for others that the answer turns out to name (rids →
    (name, decision)).
    """

    decision: str
    at: int
    rows: Mapping[str, tuple[Rule, ...]]
    locate: Studies | None = None
    redact: bool = False
    reasons: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ("AUDIT",)
    until: int | None = None
    policy: str = ""
    purpose: str | None = None
    patients: Mapping[int, str] = field(default_factory=dict)
    groups: Mapping[int, int] = field(default_factory=dict)
    writer: str | None = None  # organisation that answers for what is written
    within: Mapping[str, tuple[Slice, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    due: tuple[Duty, ...] = ()  # the tasks that the decisions oblige to
    reasoned: Mapping[str, Reasoned] = field(default_factory=dict)
    reason: Callable[[tuple[int, ...]], Mapping[int, tuple[str, Reasoned]]] | None = field(default=None, compare=False)
