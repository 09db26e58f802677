"""The compact notation of tests/cases/*.json as FHIR R4 resources; case.schema.json says what may be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

AUTHORITY = "EmergencyGrant"
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"
SITE = "https://fhir.nhs.uk/Id/ods-site-code"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
LABEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
TYPES = "http://hl7.org/fhir/resource-types"
ROLE_CODE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
PEOPLE = ("dr-a", "dr-b", "dr-c", "dr-x")
PATIENTS = {"P0": "9990000018", "P1": "9990000026", "P2": "9990000034"}
UID = "1.2.826.0.1.3680043.10.1457"

Resource = dict[str, Any]


def build(said: dict[str, Any], organisations: dict[str, str]) -> tuple[list[Resource], set[str]]:
    """The resources of a world, and the references of those that are invalid on purpose."""
    resources = [organisation(name, code) for name, code in organisations.items()]
    resources += [practitioner(name) for name in PEOPLE]
    described = {one["id"]: one for one in said.get("patients", ())}
    resources += [patient(name, described.get(name, {})) for name in PATIENTS]
    resources.append(endpoint())
    if "encounter" in said.get("study", {}):
        resources.append(encounter(said["study"]["encounter"]))
    for element, one in BUILDERS.items():
        resources += [
            resource for number, entry in enumerate(said.get(element, ()), 1) for resource in one(number, entry)
        ]
    resources.append(study(said.get("study", {})))
    resources += [consent(number, one) for number, one in enumerate(said.get("consents", ()), 1)]
    refused = {f"Consent/C{number}" for number, one in enumerate(said.get("consents", ()), 1) if one.get("invalid")}
    refused |= {f"Patient/{one['id']}" for one in said.get("patients", ()) if one.get("invalid")}
    return resources, refused


def organisation(name: str, code: str) -> Resource:
    site = len(name) > 1
    return {
        "resourceType": "Organization",
        "id": name,
        "identifier": [{"system": SITE if site else ODS, "value": code}],
        "active": True,
        "name": f"{'Site' if site else 'Trust'} {name}",
    } | ({"partOf": {"reference": f"Organization/{name[0]}"}} if site else {})


def practitioner(name: str) -> Resource:
    return {
        "resourceType": "Practitioner",
        "id": name,
        "identifier": [{"system": "https://fhir.nhs.uk/Id/sds-user-id", "value": f"55500{PEOPLE.index(name)}"}],
        "active": True,
    }


def patient(name: str, said: dict[str, Any]) -> Resource:
    links = [
        {"other": {"reference": f"Patient/{said[element]}"}, "type": kind}
        for element, kind in (("replaced_by", "replaced-by"), ("replaces", "replaces"), ("seealso", "seealso"))
        if element in said
    ]
    return (
        {
            "resourceType": "Patient",
            "id": name,
            "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": PATIENTS[name]}],
            "active": "replaced_by" not in said,
            "birthDate": "1970-01-01",
        }
        | ({"deceasedDateTime": "2026-03-01"} if said.get("deceased") else {})
        | ({"link": links} if links else {})
    )


def endpoint() -> Resource:
    return {
        "resourceType": "Endpoint",
        "id": "archive-a",
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "dicom-wado-rs",
        },
        "managingOrganization": {"reference": "Organization/A"},
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": ["application/dicom"],
        "address": "https://archive-a.example.org/dicom-web",
    }


def encounter(name: str) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": name,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": "Patient/P1"},
    }


def _span(said: dict[str, Any], start: str | None = None) -> Resource:
    period = {"start": said.get("start", start), "end": said.get("end")}
    return {"period": kept} if (kept := {name: text for name, text in period.items() if text is not None}) else {}


def _subject(said: dict[str, Any]) -> Resource:
    return {"reference": f"Patient/{said.get('patient', 'P1')}"}


def episode(number: int, said: dict[str, Any]) -> list[Resource]:
    org = said.get("org", "B")
    made = {
        "resourceType": "EpisodeOfCare",
        "id": f"EC{number}",
        "status": said.get("status", "active"),
        "patient": _subject(said),
    } | _span(said, "2026-03-01")
    if org is not None:
        made["managingOrganization"] = {"reference": f"Organization/{org}"}
    if "manager" in said:
        made["careManager"] = {"reference": f"Practitioner/{said['manager']}"}
    if "team" not in said:
        return [made]
    named = team(0, {"members": said["team"], "patient": said.get("patient", "P1")})[0] | {"id": f"ECT{number}"}
    return [named, made | {"team": [{"reference": f"CareTeam/ECT{number}"}]}]


def team(number: int, said: dict[str, Any]) -> list[Resource]:
    participants = [
        {"member": {"reference": f"Practitioner/{name}"}}
        | ({"onBehalfOf": {"reference": f"Organization/{said['on_behalf_of']}"}} if "on_behalf_of" in said else {})
        for name in said["members"]
    ]
    return [
        {
            "resourceType": "CareTeam",
            "id": f"CT{number}",
            "status": said.get("status", "active"),
            "subject": _subject(said),
            "participant": participants,
            "managingOrganization": [{"reference": "Organization/A"}],
        }
        | _span(said, "2026-03-01")
    ]


def referral(number: int, said: dict[str, Any]) -> list[Resource]:
    return [
        {
            "resourceType": "ServiceRequest",
            "id": f"SR{number}",
            "status": said.get("status", "active"),
            "intent": said.get("intent", "order"),
            "priority": said.get("priority", "stat"),
            "code": {"text": "transfer of care"},
            "subject": _subject(said),
            "authoredOn": said.get("authored", "2026-03-10T08:00:00Z"),
            "requester": {"reference": "Organization/A"},
            "performer": [{"reference": f"Organization/{said.get('to', 'C')}"}],
        }
    ]


def appointment(number: int, said: dict[str, Any]) -> list[Resource]:
    place = {
        "resourceType": "Location",
        "id": f"L{number}",
        "status": "active",
        "name": "Outpatients",
        "managingOrganization": {"reference": f"Organization/{said.get('org', 'B')}"},
    }
    made = {
        "resourceType": "Appointment",
        "id": f"AP{number}",
        "status": said.get("status", "booked"),
        "start": said.get("start", "2026-03-17T09:00:00Z"),
        "end": said.get("end", "2026-03-17T09:30:00Z"),
        "participant": [
            {"actor": _subject(said), "status": "accepted"},
            {"actor": {"reference": f"Location/L{number}"}, "status": "accepted"},
        ],
    }
    return [place, made]


BUILDERS: dict[str, Callable[[int, dict[str, Any]], list[Resource]]] = {
    "episodes": episode,
    "teams": team,
    "referrals": referral,
    "appointments": appointment,
}


def study(said: dict[str, Any]) -> Resource:
    modality = said.get("modality", "CT")
    started = said.get("started", "2026-02-01")
    made: Resource = {
        "resourceType": "ImagingStudy",
        "id": "S1",
        "meta": {"security": [{"system": LABEL, "code": said.get("label", "N")}]},
        "identifier": [
            {"system": "urn:dicom:uid", "value": f"urn:oid:{UID}.1"},
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
                "system": "https://trust-a.example.org/accession",
                "value": "ACC0001",
                "assigner": {"identifier": {"system": ODS, "value": "RXA"}},
            },
        ],
        "status": said.get("status", "available"),
        "subject": _subject(said),
        "endpoint": [{"reference": "Endpoint/archive-a"}],
        "description": "CT chest",
    }
    if said.get("label", "N") is None:
        del made["meta"]
    if started is not None:
        made["started"] = started
    if "encounter" in said:
        made["encounter"] = {"reference": f"Encounter/{said['encounter']}"}
    if "procedure" in said:
        made["procedureCode"] = [{"coding": [{"system": "http://snomed.info/sct", "code": said["procedure"]}]}]
    if modality is not None:
        made["modality"] = [{"system": DCM, "code": modality}]
        made["numberOfSeries"] = 1
        made["series"] = [{"uid": f"{UID}.1.1", "number": 1, "modality": {"system": DCM, "code": modality}}]
    return made


def consent(number: int, said: dict[str, Any]) -> Resource:
    subject = _subject(said)
    proxy = {"reference": "RelatedPerson/mother"} if said.get("by") == "proxy" else subject
    scope = said.get("scope", "patient-privacy")
    made: Resource = {
        "resourceType": "Consent",
        "id": f"C{number}",
        "status": said.get("status", "active"),
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": scope}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": subject,
        "dateTime": said.get("made", "2026-01-10"),
        "performer": [proxy],
        "organization": [{"reference": "Organization/A"}],
        "sourceAttachment": {"contentType": "text/plain", "title": "form of the patient's choice"},
        "policy": [{"uri": "https://imaging.example.org/policy/sharing"}],
    }
    if said.get("made", "") is None:
        del made["dateTime"]
    if "verified" in said:
        made["verification"] = [{"verified": said["verified"]}]
    if "rule" in said:
        system = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
        made["policyRule"] = {"coding": [{"system": system, "code": said["rule"]}]}
    if "root" in said:
        made["provision"] = provision(said["root"])
    return made | said.get("with", {})


def provision(said: dict[str, Any]) -> Resource:
    made: Resource = {"type": said["type"]} if "type" in said else {}
    made |= _span(said)
    if "actor" in said:
        role = {"coding": [{"system": ROLE_CODE, "code": "IRCP"}]}
        made["actor"] = [{"role": role, "reference": _named(name)} for name in said["actor"]]
    if "action" in said:
        made["action"] = [{"coding": [{"system": ACTION, "code": code}]} for code in said["action"]]
    if "label" in said:
        made["securityLabel"] = [{"system": LABEL, "code": code} for code in said["label"]]
    if "purpose" in said:
        made["purpose"] = [{"system": REASON, "code": code} for code in said["purpose"]]
    if "class" in said:
        made["class"] = [{"system": TYPES, "code": code} for code in said["class"]]
    if "code" in said:
        made["code"] = [{"coding": [_code(code)]} for code in said["code"]]
    if "dataPeriod" in said:
        made["dataPeriod"] = {"start": said["dataPeriod"], "end": said["dataPeriod"]}
    if "data" in said:
        made["data"] = [{"meaning": d["meaning"], "reference": _named(d["reference"])} for d in said["data"]]
    if "nested" in said:
        made["provision"] = [provision(one) for one in said["nested"]]
    return made


def _code(code: str) -> Resource:
    return {"system": "http://snomed.info/sct" if code.isdigit() else DCM, "code": code}


def _named(name: str) -> Resource:
    if "/" in name:
        return {"reference": name}
    return {"reference": f"Practitioner/{name}" if name in PEOPLE else f"Organization/{name}"}
