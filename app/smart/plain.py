"""What an app asks for, in words for the person who has to allow it."""

from __future__ import annotations

from app.access import scopes
from app.access.scopes import Scope

WHOSE = {"patient": "about this patient", "user": "that you may see yourself"}
WHAT = {
    "*": "everything that is kept here",
    "Patient": "name, date of birth and identifiers",
    "ImagingStudy": "which imaging studies there are",
    "DiagnosticReport": "imaging reports",
    "Endpoint": "where images can be fetched from",
    "EpisodeOfCare": "episodes of care",
    "Appointment": "appointments",
    "CareTeam": "care teams",
    "ServiceRequest": "referrals and requests",
    "Consent": "choices about sharing",
    "Organization": "organisations",
    "Practitioner": "staff",
    "AuditEvent": "who has looked at what",
}
DOES = (("rs", "see"), ("c", "add"), ("u", "change"), ("d", "remove"))


def permissions(scope: str) -> list[str]:
    """A sentence for each thing the app would be able to do."""
    said = []
    parsed = [one for one in map(scopes.parse, scope.split()) if one]
    for one in parsed:
        said.append(_sentence(one))
    names = scope.split()
    if "fhirUser" in names or "profile" in names or "openid" in names:
        said.append("know who you are")
    if "offline_access" in names:
        said.append("go on doing this while you are not signed in, for up to 90 days")
    elif "online_access" in names:
        said.append("go on doing this while you are signed in")
    return list(dict.fromkeys(said))


def _sentence(scope: Scope) -> str:
    verbs = [verb for letters, verb in DOES if set(letters) & set(scope.letters)]
    doing = verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"
    only = ", only " + " and ".join(f"{name} {value}" for name, value in scope.pairs) if scope.pairs else ""
    return f"{doing} {WHAT.get(scope.type, scope.type)} {WHOSE.get(scope.context, '')}{only}".strip()
