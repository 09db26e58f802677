"""A record as AuditEvents, by IHE Basic Audit Log Patterns 1.1: https://profiles.ihe.net/ITI/BALP/

One record stands for up to three: the interaction (PatientRead, PatientQuery, …), the decision that allowed or refused
it (AuthZconsent, or AuthZ-Role where care implied consent and there is none to name), and the disclosure of where
a study is (PrivacyDisclosure.Source). Agents carry the OAUTHaccessTokenUse patterns too: each has both codings.
"""

from __future__ import annotations

import base64
from typing import Any

from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.temporal import format_instant
from app.storage.audit import AET, AUTHENTICATION, AUTHZ, DCM, DECISION, DISCLOSURE, LIFECYCLE, RESTFUL, SUFFIXES

Record = dict[str, Any]
Element = dict[str, Any]

BALP = "https://profiles.ihe.net/ITI/BALP/"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ENTITY_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
NAMES = {"create": "Create", "update": "Update", "patch": "Update", "delete": "Delete"}
QUERIES = ("search-type", "search-system", "operation", "batch", "transaction")
ACTIONS = {"create": "C", "update": "U", "patch": "U", "delete": "D"}
US = {"display": "imaging registry"}
HERE = {"address": "imaging-registry", "type": "1"}


def outcome_code(status: int) -> str:
    """AuditEvent.outcome: 0 success, 4 the requester's fault or a refusal, 8 ours."""
    return "0" if status < 400 else ("4" if status < 500 else "8")


def event(said: Record, face: int) -> Element:
    """The AuditEvent of that face."""
    build = {DECISION: _decision, DISCLOSURE: _disclosure, AUTHENTICATION: _authentication}.get(face, _basic)
    profile, parts = build(said)
    made: Element = {
        "resourceType": "AuditEvent",
        "id": said["id"] + SUFFIXES[face],
        "meta": {"versionId": "1", "lastUpdated": format_instant(said["at"]), "profile": profile},
    }
    if not profile:
        del made["meta"]["profile"]
    made |= {"recorded": format_instant(said["at"]), "outcome": outcome_code(said["status"])} | parts
    if said["detail"] and "outcomeDesc" not in made:
        made["outcomeDesc"] = said["detail"]
    if said.get("purpose"):
        made["purposeOfEvent"] = [_purpose(said["purpose"])]
    site = "4" if face != DECISION else "6"
    made["source"] = {
        "observer": US,
        "type": [{"system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": site}],
    }
    return {name: value for name, value in made.items() if value != []}


# The four -----------------------------------------------------------------------------------------------------------


def _basic(said: Record) -> tuple[list[str], Element]:
    interaction = said["interaction"]
    name = "Query" if interaction in QUERIES else NAMES.get(interaction, "Read")
    profile = [f"{BALP}StructureDefinition/IHE.BasicAudit.{'Patient' if said['patient'] else ''}{name}"]
    if said.get("token"):
        profile.append(f"{BALP}StructureDefinition/IHE.BasicAudit.OAUTHaccessTokenUse.Minimal")
    client, server = ("110153", "110152") if interaction in (*QUERIES, *NAMES) else ("110152", "110153")
    return profile, {
        "type": {"system": AET, "code": "rest"},
        "subtype": [{"system": RESTFUL, "code": interaction}],
        "action": "E" if interaction in QUERIES else ACTIONS.get(interaction, "R"),
        "agent": [_client(said, client), *_user(said), *_organisation(said), _server(server)],
        "entity": [*_patient(said), *_objects(said), *_query(said), *_reasoning(said), *_request(said)],
    }


def _decision(said: Record) -> tuple[list[str], Element]:
    refused = said["effect"] == "DENY" or (said["effect"] == "PARTIAL" and said["status"] >= 400)
    consents = [one for one in said["basis"] if one.startswith("Consent/")]
    token = []
    if said.get("token"):
        kind = {"system": f"{BALP}CodeSystem/UserAgentTypes", "code": "UserOauthAgent"}
        token = [{"what": {"identifier": {"value": f"urn:ietf:params:oauth:jti:{said['token']}"}}, "type": kind}]
    entities = _patient(said)
    kind = {"system": "http://hl7.org/fhir/resource-types", "code": "Consent"}
    entities += [{"what": {"reference": one}, "type": kind} for one in consents]
    if consents:
        entities[1]["detail"] = _details(said)
    else:
        entities += _reasoning(said)
    because = ", ".join(said["reasons"])
    return (
        [f"{BALP}StructureDefinition/IHE.BasicAudit.AuthZconsent"] if consents else [],
        {
            "type": {"system": DCM, "code": "110113"},
            "subtype": [{"system": AUTHZ, "code": "AuthZ-Consent" if consents else "AuthZ-Role"}],
            "action": "E",
            "outcome": "4" if refused else "0",
            "outcomeDesc": because,
            "agent": [
                _client(said, None) | {"requestor": False},
                *(_user(said, "IRCP") or [_system_user(said)]),
                *_organisation(said),
                {"type": _concept(f"{HL7_ROLES}extra-security-role-type", "authserver"), "who": US, "requestor": False},
            ],
            "entity": entities + token,
        },
    )


HL7_ROLES = "http://terminology.hl7.org/CodeSystem/"


def _disclosure(said: Record) -> tuple[list[str], Element]:
    receiver = _client(said, "110152") | {"requestor": not said.get("practitioner")}
    return (
        [f"{BALP}StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source"],
        {
            "type": {"system": DCM, "code": "110106"},
            "subtype": [
                {"system": LIFECYCLE, "code": "disclose"},
                {"system": RESTFUL, "code": said["interaction"]},
            ],
            "action": "R",
            "agent": [_server("110153"), receiver, *_user(said), *_organisation(said)],
            "entity": [*_patient(said), *_objects(said, said["located"]), *_reasoning(said), *_request(said)],
        },
    )


def _authentication(said: Record) -> tuple[list[str], Element]:
    return [], {
        "type": {"system": DCM, "code": "110114"},
        "subtype": [{"system": DCM, "code": "110122"}],
        "action": "E",
        "agent": [_client(said, None), *_user(said), *_organisation(said)],
        "entity": _request(said),
    }


# Agents -------------------------------------------------------------------------------------------------------------


def _client(said: Record, role: str | None) -> Element:
    codings = ([{"system": DCM, "code": role}] if role else []) + [{"system": DCM, "code": "110150"}]
    network = {"address": said["address"], "type": "2"} if said["address"] else {"address": "unknown", "type": "1"}
    return {
        "type": {"coding": codings},
        "who": {"identifier": {"value": said.get("client") or "anonymous"}},
        "requestor": not (said.get("practitioner") or said.get("self")),
        "network": network,
    }


def _user(said: Record, part: str | None = None) -> list[Element]:
    """The person who acted, with the role held then and the id of the token that proved it."""
    who = said.get("practitioner") or said.get("self")
    if not who:
        return []
    codings = [{"system": PARTICIPATION, "code": part or ("AUT" if said["interaction"] in NAMES else "IRCP")}]
    if said.get("token"):
        codings.append({"system": f"{BALP}CodeSystem/UserAgentTypes", "code": "UserOauthAgent"})
    agent = {
        "type": {"coding": codings},
        "role": [{"text": said["role"]}],
        "who": {"reference": who},
        "requestor": True,
    }
    if said.get("token"):
        agent["policy"] = [said["token"]]
    if said.get("purpose"):
        agent["purposeOfUse"] = [_purpose(said["purpose"])]
    return [agent]


def _system_user(said: Record) -> Element:
    """Where no person is named, the client is its own user."""
    agent = {
        "type": _concept(PARTICIPATION, "IRCP"),
        "role": [{"text": said.get("role") or "unknown"}],
        "who": {"identifier": {"value": said.get("client") or "anonymous"}},
        "requestor": True,
    }
    return agent | ({"purposeOfUse": [_purpose(said["purpose"])]} if said.get("purpose") else {})


def _organisation(said: Record) -> list[Element]:
    if not said.get("organisation"):
        return []
    code = str(said["organisation"]).removeprefix("ods:")
    kind = _concept(f"{HL7_ROLES}v3-RoleClass", "PROV")
    return [{"type": kind, "who": {"identifier": {"system": ODS_ORGANISATION, "value": code}}, "requestor": False}]


def _server(role: str) -> Element:
    return {"type": _concept(DCM, role), "who": US, "requestor": False, "network": HERE}


# Entities -----------------------------------------------------------------------------------------------------------


def _patient(said: Record) -> list[Element]:
    return [_entity("1", "1", what={"reference": said["patient"]})] if said["patient"] else []


def _objects(said: Record, references: list[str] | None = None) -> list[Element]:
    """What was shown. Where several may be, each has its own type: BALP's slices want one system object at most."""
    shown = said["entities"] if references is None else references
    if references is None and said["interaction"] in ("read", "vread", *NAMES) and len(shown) == 1:
        return [_entity("2", "4", what={"reference": shown[0]})]
    role = {"system": ENTITY_ROLE, "code": "4"}
    types = "http://hl7.org/fhir/resource-types"
    return [
        {"what": {"reference": one}, "type": {"system": types, "code": one.split("/")[0]}, "role": role}
        for one in shown
    ]


def _query(said: Record) -> list[Element]:
    if not said["query"]:
        return []
    return [_entity("2", "24", query=base64.b64encode(said["query"].encode()).decode())]


def _reasoning(said: Record) -> list[Element]:
    """What the decision was and what it rested on."""
    if not said.get("decision"):
        return []
    return [_entity("4", "13", what={"identifier": {"value": said["decision"]}}, detail=_details(said))]


def _details(said: Record) -> list[Element]:
    stated: dict[str, Any] = {
        name: said.get(name) for name in ("decision", "effect", "reasons", "basis", "obligations")
    }
    stated["policy"] = f"urn:sha256:{said['policy']}" if said.get("policy") else None
    stated["expires"] = format_instant(said["until"]) if said.get("until") else None
    stated |= {name: str(number) for name, number in said["counts"].items()}
    return [
        {"type": name, "valueString": value if isinstance(value, str) else ", ".join(value)}
        for name, value in stated.items()
        if value
    ]


def _request(said: Record) -> list[Element]:
    if not said["request"]:
        return []
    kind = {"system": f"{BALP}CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
    return [{"what": {"identifier": {"value": said["request"]}}, "type": kind}]


def _entity(kind: str, role: str, **more: Any) -> Element:
    types = {"type": {"system": ENTITY_TYPE, "code": kind}, "role": {"system": ENTITY_ROLE, "code": role}}
    return ({"what": more.pop("what")} if "what" in more else {}) | types | more


def _concept(system: str, code: str) -> Element:
    return {"coding": [{"system": system, "code": code}]}


def _purpose(code: str) -> Element:
    return _concept(f"{HL7_ROLES}v3-ActReason", code)
