"""What is wrong is refused wherever it is written, and told: https://hl7.org/fhir/R4/validation.html,
https://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from flask import Flask

from app.fhir.tolerance import EVERYONE, TOLERANCES
from app.smart.tokens import Tokens
from app.storage import oauth
from app.storage.oauth import Client
from tests.support.region import NHS, ODS, Caller, caller, consent, endpoint, episode, organization, patient, study

DCM = "http://dicom.nema.org/resources/ontology/DCM"
PROFILE = "https://imaging-registry.example/fhir/StructureDefinition/"
HOST = PROFILE + "registry-endpoint-host"
WRONG = patient() | {"gender": "f"}
SAID = {
    "severity": "error",
    "code": "code-invalid",
    "details": {"text": "the code is not one of those required; expected female, male, other, unknown"},
    "expression": ["Patient.gender"],
}


def issues(answer: Any) -> list[tuple[str, str, str]]:
    return [(one["severity"], one["code"], one.get("expression", [""])[0]) for one in answer.json["issue"]]


def tolerant(app: Flask, *names: str) -> Caller:
    """The steward through a client that is registered with deviations."""
    made = caller(app, "steward", "ZZZ", purpose=None)
    tokens = app.extensions["tokens"]
    assert isinstance(tokens, Tokens)
    client = Client("tolerant", "tolerant", "steward", "ods:ZZZ", "system/*.cruds", "system", tolerates=" ".join(names))
    app.extensions["services"].store.retry(lambda tx: oauth.add(tx, client))
    return replace(made, token=tokens.mint(client, client.scope, 600))


def test_a_wrong_resource_is_refused_by_every_way_of_writing(steward: Caller) -> None:
    whole = {"resourceType": "OperationOutcome", "issue": [SAID]}
    assert steward.post("/Patient", WRONG).json == whole
    assert steward.put("/Patient/p1", WRONG).json == whole
    change = [{"op": "replace", "path": "/gender", "value": "f"}]
    assert steward.send("PATCH", "/Patient/p1", change, Content_Type="application/json-patch+json").json == whole
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": WRONG, "request": {"method": "PUT", "url": "Patient/p1"}}],
    }
    answer = steward.post("/", bundle)
    assert answer.status_code == 422
    assert answer.json["issue"][0] == SAID | {"expression": ["Bundle.entry[0].resource.gender"]}
    assert steward.get("/Patient/p1").json["gender"] == "female"


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (b'{"resourceType":"Patient","extension":[' + b'{"url":"a","extension":[' * 75 + b"]}" * 75 + b"]}", 413, ""),
        (b'{"resourceType":"Patient","name":[{"family":"a\\u0000b"}]}', 400, "Patient.name[0].family"),
        (b'{"resourceType":"Patient","multipleBirthInteger":NaN}', 400, ""),
        (b'{"resourceType":"Patient","gender":"female","gender":"male"}', 400, "Patient"),
        (b'{"resourceType":"Patient","name":[{"family":"' + b"a" * 1_048_577 + b'"}]}', 422, "Patient.name[0].family"),
        (b'{"resourceType":"Patient","contained":[{"resourceType":"Unicorn","id":"u"}]}', 422, "Patient.contained[0]"),
        (b'{"resourceType":"Patient","text":{"status":"generated","div":"<div><script>x</script></div>"}}', 422, "Patient.text.div"),
        (b'{"resourceType":"Patient","managingOrganization":{"reference":"Device/1"}}', 422, "Patient.managingOrganization"),
        (b'{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2026"}', 422, "Patient.deceased"),
        (b'{"resourceType":"Patient","name":"x"}', 422, "Patient.name"),
        (b'{"resourceType":"Patient","contained":"x","meta":7,"identifier":[[]]}', 422, "Patient.contained"),
        (b'{"resourceType":"Patient","meta":{"profile":"x"}}', 422, "Patient.meta.profile"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_with_its_place(steward: Caller, body: bytes, status: int, place: str) -> None:
    answer = steward.post("/Patient", body)
    assert answer.status_code == status, answer.text
    assert answer.json["issue"][0].get("expression", [""])[0] == place
    assert "; expected " in answer.json["issue"][0]["details"]["text"]


def test_a_uid_of_65_characters_is_refused_at_its_place(steward: Caller) -> None:
    answer = steward.post("/ImagingStudy", {k: v for k, v in study(uid="1." + "2" * 63).items() if k != "id"})
    assert answer.status_code == 422
    assert ("error", "value", "ImagingStudy.identifier[0].value") in issues(answer)


def test_validate_answers_with_all_issues_and_stores_nothing(steward: Caller) -> None:
    answer = steward.post("/Patient/$validate", WRONG | {"telecom": [{"value": "020"}]})
    assert answer.status_code == 200
    assert issues(answer) == [("error", "code-invalid", "Patient.gender"), ("error", "invariant", "Patient.telecom[0]")]
    assert issues(steward.post("/Patient/$validate", patient())) == [("information", "informational", "")]
    assert steward.get("/Patient/p1").json["meta"]["versionId"] == "1"


def parameters(**said: Any) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for name, value in said.items():
        rows.append({"name": name} | ({"resource": value} if name == "resource" else {"valueUri": value}))
    return {"resourceType": "Parameters", "parameter": rows}


def test_validate_by_mode(steward: Caller) -> None:
    assert issues(steward.post("/Patient/p1/$validate?mode=update", patient())) == [
        ("information", "informational", "")
    ]
    assert issues(steward.post("/Patient/p2/$validate?mode=update", patient())) == [("error", "invalid", "Patient.id")]
    well = [("information", "informational", "")]
    assert issues(steward.post("/Patient/p1/$validate", parameters(mode="delete"))) == well
    assert steward.post("/Patient/none/$validate", parameters(mode="delete")).status_code == 404
    assert steward.post("/Patient/$validate", parameters(mode="delete")).status_code == 400
    assert steward.post("/Patient/$validate", parameters(resource=patient(), mode="guess")).status_code == 400
    assert steward.post("/Patient/$validate", parameters(resource=patient(), mode="profile")).status_code == 400
    assert issues(steward.post("/StructureDefinition/$validate?mode=create", {"resourceType": "StructureDefinition"}))[-1] == (
        "error", "not-supported", "StructureDefinition")  # fmt: skip


def test_validate_by_profile(steward: Caller) -> None:
    team = {"resourceType": "CareTeam", "status": "active", "subject": {"reference": "Patient/p1"}}
    assert issues(steward.post("/CareTeam/$validate", team)) == [("information", "informational", "")]
    said = issues(steward.post("/CareTeam/$validate", parameters(resource=team, profile=PROFILE + "registry-mdt")))
    assert [place for _, _, place in said] == [
        "CareTeam.period",
        "CareTeam.participant",
        "CareTeam.managingOrganization",
    ]
    base = "http://hl7.org/fhir/StructureDefinition/EpisodeOfCare"
    bare = {name: value for name, value in episode().items() if name != "period"}
    assert issues(steward.post("/EpisodeOfCare/$validate", bare)) == [("error", "required", "EpisodeOfCare.period")]
    assert issues(steward.post(f"/EpisodeOfCare/$validate?profile={base}", bare)) == [
        ("information", "informational", "")
    ]
    stored = steward.post("/EpisodeOfCare/e1/$validate", parameters(mode="profile", profile=base))
    assert issues(stored) == [("information", "informational", "")]
    unknown = steward.post("/Patient/$validate?profile=https://example.org/none", patient())
    assert (unknown.status_code, issues(unknown)) == (400, [("error", "invalid", "profile")])


R5 = study("r5", "1.2.826.0.1.3680043.8.498.5") | {
    "modality": [{"coding": [{"system": DCM, "code": "CT"}]}],
    "reason": [{"concept": {"text": "fall"}}],
}
DEVIATIONS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "r5-imaging-study": (R5, "modality", [{"system": DCM, "code": "CT"}]),
    "ods-organisation-code": (
        organization("RXD") | {"identifier": [{"system": "https://fhir.nhs.uk/Id/ods-organisation-code", "value": "RXD"}]},
        "identifier",
        [{"system": ODS, "value": "RXD"}],
    ),
    "https-consentscope": (
        consent() | {"scope": {"coding": [{"system": "https://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]}},
        "scope",
        consent()["scope"],
    ),
    "consent-actor-role": (
        consent(provision={"type": "deny", "actor": [{"reference": {"reference": "Organization/rxc"}}]}),
        "provision",
        {"type": "deny", "actor": [{"reference": {"reference": "Organization/rxc"}, "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TOLERANCES))
def test_a_deviation_is_put_right_with_a_warning_for_a_client_registered_so_alone(
    app: Flask, steward: Caller, name: str
) -> None:
    sent, element, kept = DEVIATIONS[name]
    path = f"/{sent['resourceType']}/{sent['id']}"
    assert tolerant(app).put(path, sent).status_code == 422
    asked = tolerant(app, name).post(f"/{sent['resourceType']}/$validate", sent)
    assert {one["severity"] for one in asked.json["issue"]} == {"warning"}
    answer = tolerant(app, name).put(path, sent, Prefer="return=OperationOutcome")
    assert answer.status_code == 201, answer.text
    assert all(one["severity"] == "warning" and f"({name})" in one["details"]["text"] for one in answer.json["issue"])
    assert steward.get(path).json[element] == kept


def test_what_every_client_is_registered_for_is_one_deviation() -> None:
    assert EVERYONE == ("ods-organisation-code",)
    assert Client("a", "a", "backend", "ods:A", "s", "system").tolerates.split() == list(EVERYONE)


@pytest.mark.attack(65)
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("https://images.rxa.example/dicom-web", 200),
        ("https://images.rxa.example:443/dicom-web", 200),
        ("https://IMAGES.rxa.example/dicom-web", 200),
        ("https://images.rxa.example:8443/dicom-web", 422),
        ("https://images.rxa.example.evil.example/dicom-web", 422),
        ("https://evil.example/images.rxa.example", 422),
        ("https://ximages.rxa.example/dicom-web", 422),
        ("https://169.254.169.254/latest", 422),
        ("http://127.0.0.1:8042/dicom-web", 200),
    ],
)
def test_an_endpoint_is_on_a_host_that_its_organisation_or_the_one_above_lists(
    steward: Caller, address: str, status: int
) -> None:
    listed = organization("RXA") | {"extension": [{"url": HOST, "valueString": "images.rxa.example"}]}
    assert steward.put("/Organization/rxa", listed).status_code == 200
    answer = steward.put("/Endpoint/archive-rxa", endpoint() | {"address": address})
    assert answer.status_code == status, answer.text
    site = organization("RXA01", "RXA")
    assert steward.put("/Organization/rxa01", site).status_code == 201
    managed = {"managingOrganization": {"reference": "Organization/rxa01"}, "id": "site", "address": address}
    assert steward.put("/Endpoint/site", endpoint() | managed).status_code == (201 if status == 200 else 422)


def test_conformance_resources_are_read_and_found(steward: Caller) -> None:
    found = steward.get("/StructureDefinition?type=ImagingStudy&_elements=url").json
    assert [one["resource"]["id"] for one in found["entry"]] == ["registry-imaging-study"]
    assert steward.get("/ValueSet/registry-modality").json["compose"]["include"]
    assert steward.get("/SearchParameter?base=ImagingStudy").json["total"] == 5
    assert steward.get("/OperationDefinition?code=record-choice").json["total"] == 1
    assert steward.get("/CapabilityStatement/registry-epr").json["kind"] == "requirements"
    assert orjson.loads(steward.get("/CodeSystem/registry-emergency-reason").data)["concept"]


def test_an_nhs_number_that_is_none_has_the_code_of_the_spine(steward: Caller) -> None:
    answer = steward.put("/Patient/p1", patient() | {"identifier": [{"system": NHS, "value": "9990001007"}]})
    assert answer.json["issue"][0]["details"]["coding"][0]["code"] == "INVALID_NHS_NUMBER"
