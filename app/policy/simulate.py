"""What another set of choices would open and close: each study, for each requester, under the old and under the new.

Where the two sets leave the same condition for a person, no study has to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.policy.decide import Residual, residual
from app.policy.model import Request, Requester, Study
from app.policy.person import Person
from app.policy.predicate import evaluate
from app.policy.switches import Switches

# What a requester may do with a study, from nothing.
LEVELS = ("nothing", "existence", "metadata", "images")
Views = tuple[Residual, Residual]  # for reading, for locating


@dataclass(frozen=True, slots=True)
class Change:
    """One study that one requester would see differently. `before` and `after` are of LEVELS; `because` the deciding
    reasons of the old and the new decision."""

    study: str
    before: str
    after: str
    because: tuple[str, str]

    @property
    def opens(self) -> bool:
        return LEVELS.index(self.after) > LEVELS.index(self.before)


def views(requester: Requester, person: Person, switches: Switches, at: int, purpose: str = "TREAT") -> Views:
    """The decisions about all studies of a person, left open in the study."""
    reads, locates = (Request(requester, purpose, action) for action in ("read", "locate"))
    return residual(reads, person, switches, at), residual(locates, person, switches, at)


def same(old: Views, new: Views) -> bool:
    """Whether no study can be decided differently."""
    return all(
        (before.permit, before.redact) == (after.permit, after.redact) for before, after in zip(old, new, strict=True)
    )


def changes(old: Views, new: Views, studies: Iterable[Study]) -> Iterator[Change]:
    """The studies that would be seen differently."""
    for study in studies:
        before, after = level(old, study), level(new, study)
        if before != after:
            because = (old[0].decision(study).reasons[0], new[0].decision(study).reasons[0])
            yield Change(study.ref, before, after, because)


def level(seen: Views, study: Study) -> str:
    reads, locates = seen
    if evaluate(reads.permit, study) is not True:
        return "nothing"
    if reads.decision(study).effect == "REDACT":
        return "existence"
    return "images" if evaluate(locates.permit, study) is True else "metadata"
