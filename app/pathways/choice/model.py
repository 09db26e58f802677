"""What the public and the privacy desk are told of a request. Instants are microseconds UTC."""

from __future__ import annotations

from dataclasses import dataclass

from app.pathways.choice.form import Form

# Task.status, in the order of a request's life (nhs.md, section 5); `rejected` ends it too.
STATES = ("requested", "received", "accepted", "in-progress", "completed")
OPEN = ("requested", "received", "accepted", "in-progress")
LETTERS = ("acknowledgement", "confirmation", "rejection")
REASONS = {
    "not-identified": "we could not tell for certain who this is about",
    "no-authority": "we could not confirm the authority to choose for somebody else",
    "incomplete": "something that we need was missing, and we could not get it",
    "withdrawn": "the request was withdrawn",
    "duplicate": "the same request was made before",
    "other": "another reason, told in words",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a person is shown at once. `again`: the same form had come before, and nothing was made twice."""

    reference: str  # IMG-XXXX-XXXX
    received: int
    acknowledge_by: int
    decide_by: int
    in_force: bool = False  # identity was proven by a log-in, so that the choice acts already
    again: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What reference number and date of birth tell, and nothing else about the person. `state` is one of STATES or
    "rejected"; `decided` is when it was rejected or came into force."""

    reference: str
    state: str
    received: int
    acknowledged: int | None
    decide_by: int
    decided: int | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A Communication. `kind` is one of LETTERS; `sent` None while it is still to be sent."""

    id: str
    kind: str
    sent: int | None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the desk sees it. `id` is the Task's; `overdue` names the clocks that have run out: "acknowledge",
    "decide". `patient` is "Patient/id" once it is known who it is about, `name` and `number` what the record says of
    them, to be compared with the form."""

    id: str
    version: int
    reference: str
    state: str
    form: Form
    received: int
    acknowledge_by: int
    decide_by: int
    acknowledged: int | None
    decided: int | None
    overdue: tuple[str, ...]
    patient: str | None
    matches: tuple[str, ...]  # patients whom the form may be about, where it is not one for certain
    consent: str | None
    letters: tuple[Letter, ...]
    reason: str | None = None  # why it was rejected: a key of REASONS
    note: str = ""
    proven: bool = False  # by a log-in at an identity provider
    on_paper: bool = False
