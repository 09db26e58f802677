"""Who may use which interaction on which type, before any patient is looked at. One table, enforced and tested.

An archive writes its own organisation's studies, reports and endpoints; an EPR its own organisation's episodes,
appointments, teams, referrals and the patients it cares for; a recorder (privacy role, or a client whose registered
scope names Consent) the patients' choices; the region's steward everything but the audit. Nobody's user token writes
the relationship that would let that user in.
"""

from __future__ import annotations

from app.access.subject import Subject
from app.fhir.registry import TYPES

READS = frozenset({"read", "vread", "search-type", "history-instance", "history-type", "history-system", "search"})

WRITERS: dict[str, frozenset[str]] = {
    "archive": frozenset({"ImagingStudy", "DiagnosticReport", "Endpoint"}),
    "backend": frozenset({"Patient", "EpisodeOfCare", "Appointment", "CareTeam", "ServiceRequest", "Subscription"}),
    "recorder": frozenset({"Consent", "QuestionnaireResponse", "Task", "Communication", "Provenance"}),
    "steward": frozenset(TYPES) - {"AuditEvent"},
    "app": frozenset(),
    "user": frozenset(),
}

# Read by the privacy role alone: what patients decided, and who looked.
PRIVACY_TYPES = frozenset(name for name, definition in TYPES.items() if definition.visibility == "privacy")


def parts_played(subject: Subject) -> frozenset[str]:
    """The rows of WRITERS that apply to a subject."""
    parts = {subject.kind}
    if subject.kind != "steward" and _records_choices(subject):
        parts.add("recorder")
    if subject.practitioner is not None and subject.kind == "backend":
        parts.discard("backend")
    return frozenset(parts)


def _records_choices(subject: Subject) -> bool:
    if subject.role == "privacy":
        return True
    return subject.kind == "backend" and any("/Consent." in scope for scope in subject.scopes)


def may_write(subject: Subject, type_name: str) -> bool:
    """Whether any part the subject plays writes this type at all."""
    return any(type_name in WRITERS[part] for part in parts_played(subject))


def reads_privacy(subject: Subject) -> bool:
    """Whether the subject may read consents, requests and the audit."""
    return subject.role == "privacy"
