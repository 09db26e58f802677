"""What a decision obliges the registry to do beside recording it: somebody's task, made once and never once a request.

A Decision names its obligations; this room says which of them are tasks, for whom, and when two are the same task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b

from app.policy.directive import Directive
from app.policy.model import Decision, Request
from app.policy.person import Person

DAY = 24 * 3_600_000_000
ASKS = {
    "CONFLICT_TASK": "more than one consent of the patient is in force; expected one, so ask which of them is meant",
    "ALERT_DQ": "a consent, or a link between records, cannot be understood, so everything is refused; put it right",
    "ALERT_PRIVACY": "somebody asked for emergency access without a valid grant; find out why",
    "REVIEW_WORKLIST": "the glass was broken; review whether there was reason to",
    "MINOR_REVIEW": "the patient comes of age to choose for themselves; ask whether the choice made for them stands",
}
OF_AGE = 16
EPOCH = date(1970, 1, 1).toordinal()
OF_RECORDS = ("CONFLICT_TASK", "ALERT_DQ")


@dataclass(frozen=True, slots=True)
class Duty:
    """`code` is a key of ASKS. `owner`: the organisation whose task it is, None for the one that keeps `basis`, which
    are the resources that it is about. Duties with one `id` are one task."""

    code: str
    patient: str | None
    basis: tuple[str, ...]
    owner: str | None
    id: str

    @property
    def asks(self) -> str:
        return ASKS[self.code]


def duty(code: str, patients: Iterable[str], basis: Iterable[str], owner: str | None, *same: object) -> Duty:
    """A duty about a person (their records) which is the same as any other with equal code, records and `same`."""
    records = sorted(patients)
    text = "\x1f".join([code, *records, *map(str, same)])
    id = f"{code.lower().replace('_', '-')}-{blake2b(text.encode(), digest_size=12).hexdigest()}"
    return Duty(code, records[0] if records else None, tuple(basis), owner, id)


def duties(request: Request, person: Person, decisions: Iterable[Decision], at: int) -> Iterator[Duty]:
    """The tasks that decisions about one person oblige to. One about records is new when a consent has changed; one
    about a requester on another day; one about an emergency grant with another grant."""
    for code in dict.fromkeys(code for one in decisions for code in one.obligations if code in ASKS):
        asker = request.requester
        if code in OF_RECORDS:
            versions = sorted(one.basis for one in person.directives)
            yield duty(code, person.patients, sorted(one.source for one in person.directives), None, *versions)
        elif code == "ALERT_PRIVACY":
            who = asker.practitioner or asker.client
            yield duty(code, person.patients, (), asker.organisation, asker.organisation, who, at // DAY)
        else:
            used = sorted(one.ref for one in person.grants)
            yield duty(code, person.patients, (), asker.organisation, *used)


def comes_of_age(one: Directive, born: int | None, months: int, at: int) -> Duty | None:
    """P20: the review of a choice that somebody else made for a child, due `months` before the sixteenth birthday.
    `born` in microseconds UTC. The choice keeps its effect meanwhile."""
    if born is None or one.own or one.status != "active" or one.patient is None:
        return None
    if (one.issued is not None and one.issued[0] >= _later(born, OF_AGE * 12)) or at < _later(
        born, OF_AGE * 12 - months
    ):
        return None
    return duty("MINOR_REVIEW", [one.patient], [one.source], None, one.source)


def _later(born: int, months: int) -> int:
    """So many months after a birth, to the day; a day that the month lacks is its twenty-eighth."""
    day = date.fromordinal(EPOCH + (born + DAY // 2) // DAY)
    years, month = divmod(day.month - 1 + months, 12)
    return (date(day.year + years, month + 1, min(day.day, 28)).toordinal() - EPOCH) * DAY
