"""A small region over HTTP: three trusts, one patient in the care of B, whose CT is at A; and callers with tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.smart.tokens import Tokens
from app.storage import oauth
from app.storage.oauth import Client

FHIR_JSON = "application/fhir+json"
NHS = "https://fhir.nhs.uk/Id/nhs-number"
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"
STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
EVERYTHING = "system/*.cruds"


@dataclass
class Caller:
    """Someone with a token. Bodies are dictionaries, answers as the test client gives them."""

    http: FlaskClient
    token: str

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Authorization": f"Bearer {self.token}"} | named
        data = orjson.dumps(body) if isinstance(body, (dict, list)) else body
        if data is not None:
            given.setdefault("Content-Type", FHIR_JSON)
        return self.http.open(f"/fhir{path}", method=method, data=data, headers=given)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> TestResponse:
        return self.send("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> TestResponse:
        return self.send("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> TestResponse:
        return self.send("DELETE", path, **headers)

    def ids(self, path: str) -> list[str]:
        """The ids of a search's matches; the search must succeed."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return [e["resource"]["id"] for e in answer.json.get("entry", ()) if e["search"]["mode"] == "match"]


def caller(
    app: Flask,
    kind: str = "backend",
    ods: str = "RXB",
    scope: str = EVERYTHING,
    *,
    role: str = "system",
    purpose: str | None = "TREAT",
    practitioner: str | None = None,
    patient: str | None = None,
    seconds: int = 3600,
) -> Caller:
    """A caller through a client of its own, registered for one organisation."""
    services, tokens = app.extensions["services"], app.extensions["tokens"]
    assert isinstance(tokens, Tokens)
    name = f"{kind}-{ods}-{role}-{purpose}".lower()
    client = Client(name, name, kind, f"ods:{ods}", scope, role, purpose, jwks='{"keys": []}')
    services.store.retry(lambda tx: oauth.add(tx, client))
    return Caller(app.test_client(), tokens.mint(client, scope, seconds, practitioner=practitioner, patient=patient))


def organization(ods: str, parent: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Organization",
        "id": ods.lower(),
        "identifier": [{"system": ODS, "value": ods}],
        "active": True,
        "name": f"Trust {ods}",
    }
    return found | ({"partOf": {"reference": f"Organization/{parent.lower()}"}} if parent else {})


def patient(id: str = "p1", number: str = "9990000018") -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": NHS, "value": number}],
        "name": [{"family": "Demo", "given": ["Willow"]}],
        "gender": "female",
        "birthDate": "1970-02-03",
    }


def endpoint(ods: str = "RXA") -> dict[str, Any]:
    return {
        "resourceType": "Endpoint",
        "id": f"archive-{ods.lower()}",
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "dicom-wado-rs",
        },
        "managingOrganization": {"reference": f"Organization/{ods.lower()}"},
        "payloadType": [{"text": "DICOM"}],
        "address": f"https://{ods.lower()}.example/dicom-web",
    }


def study(id: str = "s1", uid: str = STUDY_UID, ods: str = "RXA", subject: str = "p1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": id,
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "status": "available",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}],
        "subject": {"reference": f"Patient/{subject}"},
        "started": "2026-02-01T09:30:00Z",
        "endpoint": [{"reference": f"Endpoint/archive-{ods.lower()}"}],
        "numberOfSeries": 1,
        "numberOfInstances": 1,
        "series": [
            {
                "uid": f"{uid}.1",
                "number": 1,
                "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"},
                "numberOfInstances": 1,
                "instance": [
                    {
                        "uid": f"{uid}.1.1",
                        "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"},
                        "number": 1,
                    }
                ],
            }
        ],
    } | more


def episode(
    id: str = "e1", ods: str = "RXB", subject: str = "p1", status: str = "active", **more: Any
) -> dict[str, Any]:
    return {
        "resourceType": "EpisodeOfCare",
        "id": id,
        "status": status,
        "patient": {"reference": f"Patient/{subject}"},
        "managingOrganization": {"reference": f"Organization/{ods.lower()}"},
        "period": {"start": "2026-01-01"},
    } | more


def consent(id: str = "c1", type: str = "deny", subject: str = "p1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{subject}"},
        "dateTime": "2026-01-15",
        "performer": [{"reference": f"Patient/{subject}"}],
        "organization": [{"reference": "Organization/rxa"}],
        "sourceAttachment": {"title": "form"},
        "policy": [{"uri": "https://imaging-registry.example/fhir/policy/sharing"}],
        "provision": {"type": type},
    } | more


def settle(app: Flask) -> Caller:
    """The region, put there by its steward, who is returned."""
    steward = caller(app, "steward", "ZZZ", purpose=None)
    trusts = [organization("RXA"), organization("RXB"), organization("RXC"), organization("RXB01", "RXB")]
    for resource in (*trusts, patient(), endpoint(), study(), episode()):
        answer = steward.put(f"/{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code == 201, answer.text
    return steward
