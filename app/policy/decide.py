"""The policy decision point: `decide(request, person, study, switches, at)`. Pure: no clock, no I/O, no chance.

The rules of `rules.py` give cases in order; the first whose condition is true of the study decides. `residual` is the
same list for all studies of a person, so that a database can ask the question that `decide` answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.policy.facts import Facts
from app.policy.model import Decision, Request, Study
from app.policy.person import Person
from app.policy.predicate import FALSE, Expr, always, conj, disj, evaluate, negate
from app.policy.rules import RULES, Case
from app.policy.switches import Switches

__all__ = ["Person", "Residual", "decide", "residual"]

SECOND = 1_000_000
AUDIT = "AUDIT"


@dataclass(frozen=True, slots=True)
class Residual:
    """What is left to ask of each study. `cases`: the first whose guard is true decides, and the last is always true.
    `permit`: true exactly where the effect is PERMIT or REDACT, and never unknown. `related`: there is a relationship
    or a valid emergency grant, and the person may be known of. `redact`: what the role is given is reduced."""

    cases: tuple[tuple[Expr, Decision], ...]
    permit: Expr
    related: bool
    redact: bool

    def decision(self, study: Study) -> Decision:
        return next(decision for guard, decision in self.cases if evaluate(guard, study) is True)


def decide(request: Request, person: Person, study: Study, switches: Switches, at: int) -> Decision:
    """The decision for one study."""
    facts = Facts(request, person, switches, at, study)
    for case in _cases(facts):
        if always(case.guard) or evaluate(case.guard, study) is True:
            return _decision(facts, case)
    raise AssertionError("the last rule decides everything")


def residual(request: Request, person: Person, switches: Switches, at: int) -> Residual:
    """The decisions for all studies of the person, as conditions on the study."""
    facts = Facts(request, person, switches, at)
    cases = tuple((case.guard, _decision(facts, case)) for case in _cases(facts))
    permit: Expr = FALSE
    for guard, decision in reversed(cases):
        permit = disj(guard, permit) if decision.permitted else conj(negate(guard), permit)
    related = not person.restricted and (facts.standing is not None or facts.grant is not None)
    return Residual(cases, permit, related, request.requester.role == "clerical")


def _cases(facts: Facts) -> Iterator[Case]:
    """The cases of every rule in order, up to the first that is always true."""
    for rule in RULES:
        for case in rule.cases(facts):
            yield case
            if always(case.guard):
                return


def _decision(facts: Facts, case: Case) -> Decision:
    expires = None
    if case.effect != "DENY":
        ends = (
            facts.at + facts.switches.lifetime_seconds * SECOND,
            case.until,
            facts.request.requester.credential_until,
            facts.request.requester.groups_until,
        )
        expires = min(end for end in ends if end is not None)
    policy = facts.switches.hash
    return Decision(
        case.effect, case.reasons, (AUDIT, *case.obligations), (*case.basis, f"policy:{policy}"), expires, policy
    )
