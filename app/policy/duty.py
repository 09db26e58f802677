"""What a decision obliges the registry to do beside recording it: somebody's task, or a notice to somebody, made once
and never once a request.

A Decision names its obligations; this room says which of them are tasks or notices, for whom, and when two are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b

from app.policy.directive import Directive
from app.policy.model import Decision, EmergencyGrant, Request
from app.policy.person import Person

DAY = 24 * 3_600_000_000
ASKS = {
    "CONFLICT_TASK": "more than one consent of the patient is in force; expected one, so ask which of them is meant",
    "ALERT_DQ": "a consent, or a link between records, cannot be understood, so everything is refused; put it right",
    "ALERT_PRIVACY": "somebody asked for emergency access without a valid grant; find out why",
    "REVIEW_WORKLIST": "the glass was broken; review whether there was reason to",
    "BREAK_GLASS_BURST": "emergency access was used so often at once that it is closed; find out why, and open it again",
    "MINOR_REVIEW": "the patient comes of age to choose for themselves; ask whether the choice made for them stands",
}
TELLS = {
    "NOTIFY_PRIVACY_OFFICER": "a member of your organisation broke the glass; the task of reviewing it is yours",
    "NOTIFY_SOURCE_ORG": "a member of another organisation broke the glass and may be shown imaging that yours made;"
    " their privacy officer reviews it",
}
OF_AGE = 16
EPOCH = date(1970, 1, 1).toordinal()
OF_RECORDS = ("CONFLICT_TASK", "ALERT_DQ")


@dataclass(frozen=True, slots=True)
class Duty:
    """`code` is a key of ASKS (a task) or of TELLS (a notice). `owner`: the organisation whose it is, None for the one
    that keeps `basis`, which are the resources that it is about (of NOTIFY_SOURCE_ORG: each that made one of the
    patient's studies). `grant`: the emergency access it is about. Duties with one `id` are one."""

    code: str
    records: tuple[str, ...]
    basis: tuple[str, ...]
    owner: str | None
    id: str
    grant: str | None = None

    @property
    def patient(self) -> str | None:
        return self.records[0] if self.records else None

    @property
    def says(self) -> str:
        return ASKS.get(self.code) or TELLS[self.code]


def duty(
    code: str,
    patients: Iterable[str],
    basis: Iterable[str],
    owner: str | None,
    *same: object,
    grant: str | None = None,
) -> Duty:
    """A duty about a person (their records) which is the same as any other with equal code, records and `same`."""
    records = sorted(patients)
    text = "\x1f".join([code, *records, *map(str, same)])
    id = f"{code.lower().replace('_', '-')}-{blake2b(text.encode(), digest_size=12).hexdigest()}"
    return Duty(code, tuple(records), tuple(basis), owner, id, grant)


def broken_glass(used: EmergencyGrant, patients: Iterable[str]) -> tuple[Duty, ...]:
    """What one emergency access obliges to, when it is given as when it is used: its review, and word to the privacy
    officers of the organisation that asked and of those that made the images. The notices name nobody."""
    records = sorted(patients)
    review = duty("REVIEW_WORKLIST", records, (), used.organisation, used.ref, grant=used.ref)
    told = ("NOTIFY_PRIVACY_OFFICER", (f"Task/{review.id}",), used.organisation), ("NOTIFY_SOURCE_ORG", (), None)
    notices = (duty(code, records, basis, owner, used.ref, grant=used.ref) for code, basis, owner in told)
    return (review, *notices)


def duties(request: Request, person: Person, decisions: Iterable[Decision], at: int) -> Iterator[Duty]:
    """The tasks that decisions about one person oblige to. One about records is new when a consent has changed; one
    about a requester on another day; one about an emergency grant with another grant."""
    found = list(decisions)
    codes = dict.fromkeys(code for one in found for code in one.obligations if code in ASKS)
    if any(one.doubts and one.status == "active" for one in person.directives):
        codes["ALERT_DQ"] = None  # what is decided is certain without it
    for code in codes:
        asker = request.requester
        if code in OF_RECORDS:
            versions = sorted(one.basis for one in person.directives)
            yield duty(code, person.patients, sorted(one.source for one in person.directives), None, *versions)
        elif code == "ALERT_PRIVACY":
            who = asker.practitioner or asker.client
            yield duty(code, person.patients, (), asker.organisation, asker.organisation, who, at // DAY)
    relied = {basis for one in found if "REVIEW_WORKLIST" in one.obligations for basis in one.basis}
    for used in person.grants:
        if f"{used.ref}/_history/{used.version}" in relied:
            yield from broken_glass(used, person.patients)


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
