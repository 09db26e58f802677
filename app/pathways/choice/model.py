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
    id: str  # of the Task, for the desk
    in_force: bool = False  # identity was proven by a log-in, so that the choice acts already
    again: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What reference number and date of birth tell, and nothing else about the person. `state` is one of STATES or
    "rejected"; `decided` is when it was rejected or came into force."""

    reference: str
    choice: str
    state: str
    received: int
    acknowledged: int | None
    decide_by: int
    decided: int | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A Communication. `kind` is one of LETTERS; `sent` None while it is still to be sent. `to` are the lines of the
    address (of whoever filled in the form), `paragraphs` what it says; `written` when it was written."""

    id: str
    kind: str
    to: tuple[str, ...]
    paragraphs: tuple[str, ...]
    written: int
    sent: int | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that the form may be about, to be compared with it. `grade`: certain, probable or possible."""

    patient: str
    name: str
    born: str
    number: str
    grade: str


@dataclass(frozen=True, slots=True)
class Event:
    """A step of the request's history: when, who did it ("Practitioner/id", or "" for the form itself), and what."""

    at: int
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the desk sees it. `id` is the Task's, `version` the Task's too; `channel`: "web" or "paper".

    `overdue` names the clocks that have run out: acknowledge, decide, confirm. `patient` is "Patient/id" once it is known
    who it is about; `candidates` whom it may be about while that is not so. `checks` are what is to be looked at before
    it is accepted: identity, authority, young-person. `letters` without a text where only a list was asked for."""

    id: str
    version: int
    reference: str
    state: str
    form: Form
    channel: str
    received: int
    acknowledge_by: int
    decide_by: int
    acknowledged: int | None
    decided: int | None
    overdue: tuple[str, ...]
    patient: str | None
    consent: str | None
    proven: bool  # by a log-in at an identity provider
    checks: tuple[str, ...]
    reason: str | None  # why it was rejected: a key of REASONS
    note: str
    letters: tuple[Letter, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    history: tuple[Event, ...] = ()
