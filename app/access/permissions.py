"""Who may write what: one table, enforced for every type, interaction and kind of client, and told in the README.

Each client is bound to one organisation. What it keeps is its own organisation's; a person's token (an app's, or one
that names a practitioner) writes nothing of this, so that nobody makes the relationship that would let them in. What a
row says of `whose` is checked by ownership.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.access.scopes import parse
from app.access.subject import Subject
from app.fhir.registry import TYPES

WRITES = ("create", "update", "patch", "delete")

OWN = "its own organisation's"
CARED_FOR = "new ones, its own organisation's, and those of patients in its care"
TEAMS = "its own organisation's, for patients in its care"
REFERRALS = "its own organisation's; to itself only for patients in its care"
CHOICES = "its own organisation's; once in force a choice is superseded, not edited"
ANY = "any"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a part does with a type: by which interactions (their conditional forms too), and whose."""

    interactions: frozenset[str]
    whose: str


ALL = frozenset(WRITES)
KEEP = ALL - {"delete"}
ONCE = frozenset({"create"})


def _rows(interactions: frozenset[str], whose: str, *types: str) -> dict[str, Kept]:
    return dict.fromkeys(types, Kept(interactions, whose))


WRITERS: Mapping[str, Mapping[str, Kept]] = {
    "archive": _rows(ALL, OWN, "ImagingStudy", "DiagnosticReport", "Endpoint"),
    "backend": {
        **_rows(ALL, OWN, "EpisodeOfCare", "Appointment", "Subscription"),
        **_rows(ALL, TEAMS, "CareTeam"),
        **_rows(ALL, REFERRALS, "ServiceRequest"),
        **_rows(KEEP, CARED_FOR, "Patient"),
    },
    "recorder": {
        **_rows(KEEP, CHOICES, "Consent"),
        **_rows(KEEP, OWN, "QuestionnaireResponse", "Task", "Communication"),
        **_rows(ONCE, OWN, "Provenance"),
    },
    "steward": _rows(ALL, ANY, *(name for name in TYPES if "create" in TYPES[name].interactions)),
    "app": {},
    "gate": {},
}

PARTS = {
    "archive": "archive client",
    "backend": "record system (backend client)",
    "recorder": "recorder: the privacy role, or a backend client registered to write Consent",
    "steward": "the region's steward",
    "app": "app, and whoever acts as a person through any client",
    "gate": "enforcement point (gate)",
}

# Read by the privacy role alone: what patients decided, and who looked.
PRIVACY_TYPES = frozenset(name for name, definition in TYPES.items() if definition.visibility == "privacy")


def parts_played(subject: Subject) -> frozenset[str]:
    """The rows of WRITERS that apply to a subject."""
    if subject.kind == "steward":
        return frozenset({"steward"})
    if subject.role == "privacy":
        return frozenset({"recorder"})
    if subject.practitioner is not None or subject.patient is not None or subject.kind not in WRITERS:
        return frozenset({"app"})
    records = subject.kind == "backend" and any(_writes_consent(scope) for scope in subject.scopes)
    return frozenset({subject.kind, "recorder"} if records else {subject.kind})


def _writes_consent(text: str) -> bool:
    scope = parse(text)
    return scope is not None and scope.type == "Consent" and bool(set(scope.letters) & {"c", "u"})


def kept(subject: Subject, type_name: str) -> Kept | None:
    """What the subject may write of a type at all."""
    found = [WRITERS[part][type_name] for part in sorted(parts_played(subject)) if type_name in WRITERS[part]]
    return found[0] if found else None


def may_write(subject: Subject, type_name: str, interaction: str | None = None) -> bool:
    """Whether any part the subject plays writes this type, by this interaction where one is named."""
    found = kept(subject, type_name)
    return found is not None and (interaction is None or interaction in found.interactions)


def reads_privacy(subject: Subject) -> bool:
    """Whether the subject may read consents, requests and the audit."""
    return subject.role == "privacy"
