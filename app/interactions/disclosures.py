"""Patient/[id]/$disclosures: who was shown what of this patient's, when, for what purpose, and on what ground; in plain words.

For the patient's own token, and for the privacy role: of an organisation that knows the patient everything, of another
what it did itself. Newest first, in pages; asking is recorded too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from app.access import audit
from app.access.disclosing import permit
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.resource import dump
from app.fhir.temporal import format_instant
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.options import counted, once_each
from app.interactions.paging import CURSOR, seal, unseal, url
from app.policy.reason import meaning
from app.storage import audit as store
from app.storage.engine import Tx

Pairs = Sequence[tuple[str, str]]
MOST = 500

KINDS = {
    "ImagingStudy": "imaging study",
    "DiagnosticReport": "report",
    "Patient": "personal details",
    "EpisodeOfCare": "episode of care",
    "CareTeam": "care team",
    "Appointment": "appointment",
    "ServiceRequest": "referral",
    "Consent": "sharing choice",
    "Endpoint": "where images are kept",
}
ROLES = {
    "clinician": "a clinician",
    "clerical": "administrative staff",
    "privacy": "a privacy officer",
    "patient": "the patient",
    "system": "a computer system of the organisation",
}
PURPOSES = {
    "TREAT": "care and treatment",
    "ETREAT": "emergency treatment",
    "BTG": "emergency access without a recorded relationship",
}


def disclosures(services: Services, asked: Asked, id: str, pairs: Pairs) -> Answer:
    """A page as Parameters. Raises Fault forbidden, not-found, invalid."""
    count, cursor = _options(pairs)
    return carry(
        services,
        asked,
        "operation",
        "AuditEvent",
        lambda tx: _page(services, tx, asked, id, count, cursor),
        query=url(_address(services, id), pairs),
    )


def _options(pairs: Pairs) -> tuple[int, str | None]:
    options = once_each(pairs, ("_count",), apart=CURSOR)
    return counted(options, 50, MOST), options.get(CURSOR)


def _address(services: Services, id: str) -> str:
    return f"{services.settings.base_url}/Patient/{id}/$disclosures"


def _page(services: Services, tx: Tx, asked: Asked, id: str, count: int, cursor: str | None) -> Answer:
    grant, whole = permit(tx, services.enforcement, asked.subject, id)
    scope = repr(("$disclosures", id))
    after = int(unseal(services, asked, scope, cursor)) if cursor is not None else None
    references = tuple(grant.patients.values())
    rows = store.disclosures(tx, grant, references, after, count + 1)
    names = store.organisation_names(tx, [row.org for row in rows if row.org])
    said: list[dict[str, Any]] = [_disclosure(row, names) for row in rows[:count]]
    said.append({"name": "complete", "valueBoolean": whole})
    if len(rows) > count:
        sealed = seal(services, asked, scope, str(rows[count - 1].seq))
        said.append(
            {"name": "next", "valueUrl": url(_address(services, id), [("_count", str(count)), (CURSOR, sealed)])}
        )
    audit.record(
        tx,
        asked.subject,
        grant,
        "operation",
        "AuditEvent",
        status=200,
        detail="$disclosures",
        request_id=asked.request_id,
        named=references[:1],
        counts={"disclosures": len(rows[:count])},
    )
    return Answer(200, dump({"resourceType": "Parameters", "parameter": said}))


def _disclosure(row: store.Shown, names: dict[str, str]) -> dict[str, Any]:
    body = orjson.loads(row.body)
    code = (row.org or "").removeprefix("ods:")
    organisation: dict[str, Any] = {"identifier": {"system": ODS_ORGANISATION, "value": code}} if code else {}
    organisation["display"] = names.get(row.org or "", code or "not an organisation")
    parts = [
        {"name": "when", "valueInstant": format_instant(row.at)},
        {"name": "organization", "valueReference": organisation},
        {"name": "role", "valueString": ROLES.get(body.get("role") or "", "not known")},
        {"name": "what", "valueString": _what(body)},
        {
            "name": "purpose",
            "valueString": PURPOSES.get(body.get("purpose") or "", body.get("purpose") or "not stated"),
        },
        {"name": "basis", "valueString": _basis(body)},
        {"name": "event", "valueReference": {"reference": f"AuditEvent/{row.id}"}},
    ]
    return {"name": "disclosure", "part": parts}


def _what(body: dict[str, Any]) -> str:
    """Each kind with its number, and whether where the images are was among it."""
    counts: dict[str, int] = {}
    for reference in dict.fromkeys(one.split("/_history/")[0] for one in body["entities"]):
        kind = KINDS.get(reference.split("/")[0], "record about you")
        counts[kind] = counts.get(kind, 0) + 1
    told = [kind if number == 1 else f"{kind} ({number})" for kind, number in counts.items()]
    if body["located"] and "where images are kept" not in counts:
        told.append("where the images are kept")
    return ", ".join(told)


def _basis(body: dict[str, Any]) -> str:
    """The reasons in words, the deciding first; what the registry's own staff may do has no other."""
    kind = body.get("kind")
    if kind == "steward":
        return "the region's steward keeps the registry"
    told = [meaning(code) for code in body.get("reasons", ()) if _opens(code)]
    if body.get("effect") == "PARTIAL" and any(one.startswith("Consent/") for one in body.get("basis", ())):
        told.append("as far as the recorded choices allow")
    return "; ".join(dict.fromkeys(told)) or "kept by the organisation itself"


def _opens(code: str) -> bool:
    return code.startswith(("EPISODE_ACTIVE", "EPISODE_PLANNED", "APPOINTMENT_BOOKED", "EPISODE_WAITLIST", "CARETEAM_MDT",
                            "REFERRAL_EMERGENCY", "EPISODE_ONHOLD_TEAM", "EPISODE_FINISHED_GRACE", "IMPLIED_CONSENT",
                            "CONSENT_BASE_PERMIT", "CONSENT_EXCEPTION_PERMIT", "ORIGIN", "BTG_", "PATIENT_SELF"))  # fmt: skip
