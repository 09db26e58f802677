"""A decision told rule by rule, for `flask explain` and `$explain-access`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.policy import consents
from app.policy.facts import Facts
from app.policy.model import Request, Study
from app.policy.person import Person
from app.policy.predicate import always, evaluate
from app.policy.reason import meaning
from app.policy.rules import RULES, Case, Rule
from app.policy.switches import Switches

VERDICTS = {"PERMIT": "permits", "DENY": "refuses", "REDACT": "redacts"}


@dataclass(frozen=True, slots=True)
class Step:
    """One rule. `verdict`: passes | permits | refuses | redacts | depends on the study | not reached. `reasons` are
    codes, the deciding one first; `because` is their meaning; `basis` what was relied on, with version."""

    number: int
    rule: str
    clause: str
    says: str
    verdict: str
    reasons: tuple[str, ...] = ()
    because: str = ""
    basis: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def explain(request: Request, person: Person, study: Study | None, switches: Switches, at: int) -> tuple[Step, ...]:
    """Every rule in order, up to and beyond the one that decides. Without a study: as far as all studies agree."""
    facts = Facts(request, person, switches, at, study)
    steps: list[Step] = []
    decided = False
    for rule in RULES:
        if decided:
            steps.append(_step(rule, "not reached"))
            continue
        found = list(rule.cases(facts))
        hit = next((case for case in found if _hits(case, study)), None)
        open_ = [case for case in found if study is None and not always(case.guard)]
        notes = tuple(_notes(facts)) if rule.name == "consents_can_be_read" else ()
        if open_:
            case = open_[0]
            steps.append(_step(rule, "depends on the study", case, notes))
        elif hit is not None:
            steps.append(_step(rule, VERDICTS[hit.effect], hit, notes))
        else:
            steps.append(_step(rule, "passes", None, notes))
        decided = hit is not None
    return tuple(steps)


def _hits(case: Case, study: Study | None) -> bool:
    return always(case.guard) or (study is not None and evaluate(case.guard, study) is True)


def _step(rule: Rule, verdict: str, case: Case | None = None, notes: tuple[str, ...] = ()) -> Step:
    if case is None:
        return Step(rule.number, rule.name, rule.clause, rule.says, verdict, notes=notes)
    because = "; ".join(meaning(reason) for reason in case.reasons)
    return Step(rule.number, rule.name, rule.clause, rule.says, verdict, case.reasons, because, case.basis, notes)


def _notes(facts: Facts) -> Iterator[str]:
    """Each consent on file, and whether it acts."""
    ours = consents.of_person(facts.person.directives, facts.person.patients)
    now = consents.effective(ours, facts.switches, facts.at)
    for one in ours:
        yield f"{one.basis}: {consents.state(one, now, facts.switches, facts.at)}"
