"""FHIRPath Patch over HTTP: https://hl7.org/fhir/R4/http.html#patch and https://hl7.org/fhir/R4/fhirpatch.html"""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir.xml import to_xml
from tests.support.region import FHIR_JSON, NHS, Caller

FHIR_XML = "application/fhir+xml"


def parameters(kind: str, path: str, *parts: dict[str, Any]) -> dict[str, Any]:
    said = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}, *parts]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": said}]}


GENDER = parameters("replace", "Patient.gender", {"name": "value", "valueCode": "other"})


@pytest.mark.parametrize("content_type", [FHIR_JSON, FHIR_XML])
@pytest.mark.parametrize("address", ["/Patient/p1", f"/Patient?identifier={NHS}|9990000018"])
def test_a_patch_by_id_or_condition_in_either_format_makes_a_version(
    steward: Caller, address: str, content_type: str
) -> None:
    body = to_xml(GENDER) if content_type == FHIR_XML else GENDER
    answer = steward.send("PATCH", address, body, Content_Type=content_type)
    assert (answer.status_code, answer.headers["ETag"], answer.json["gender"]) == (200, 'W/"2"', "other")
    again = steward.send("PATCH", address, body, Content_Type=content_type)
    assert (again.status_code, again.headers["ETag"]) == (200, 'W/"2"'), "nothing changed, no new version"
    entries = steward.get("/Patient/p1/_history").json["entry"]
    assert [entry["request"]["method"] for entry in entries] == ["PATCH", "PUT"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_patch_inside_a_bundle(steward: Caller, kind: str) -> None:
    entry = {"request": {"method": "PATCH", "url": "Patient/p1"}, "resource": GENDER}
    answer = steward.post("/", {"resourceType": "Bundle", "type": kind, "entry": [entry]})
    assert answer.json["entry"][0]["response"]["status"].startswith("200"), answer.text
    assert steward.get("/Patient/p1").json["gender"] == "other"


def test_what_cannot_be_applied_names_the_operation_and_changes_nothing(steward: Caller) -> None:
    change = parameters("replace", "Patient.deceased", {"name": "value", "valueBoolean": True})
    answer = steward.send("PATCH", "/Patient/p1", change)
    assert answer.status_code == 422
    assert answer.json["issue"] == [
        {
            "severity": "error",
            "code": "invalid",
            "details": {"text": "the path leads nowhere in the resource; expected one element"},
            "expression": ["Parameters.parameter[0]"],
        }
    ]
    assert steward.get("/Patient/p1").headers["ETag"] == 'W/"1"'


def test_the_result_must_be_a_valid_resource_of_the_same_identity(steward: Caller) -> None:
    wrong = parameters("replace", "Patient.gender", {"name": "value", "valueCode": "unheard-of"})
    answer = steward.send("PATCH", "/Patient/p1", wrong)
    assert (answer.status_code, answer.json["issue"][0]["expression"]) == (422, ["Patient.gender"])
    other = parameters("replace", "Patient.id", {"name": "value", "valueString": "p2"})
    assert steward.send("PATCH", "/Patient/p1", other).status_code == 422


def test_a_stale_patch_is_refused(steward: Caller) -> None:
    assert steward.send("PATCH", "/Patient/p1", GENDER, If_Match='W/"9"').status_code == 412
    assert steward.send("PATCH", "/Patient/p1", GENDER, If_Match='W/"1"').status_code == 200


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/json"])
def test_a_merge_patch_replaces_what_it_names_and_removes_what_is_null(steward: Caller, content_type: str) -> None:
    change = {"gender": "other", "birthDate": None, "maritalStatus": {"text": "x"}}
    answer = steward.send("PATCH", "/Patient/p1", change, Content_Type=content_type)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"'), answer.text
    assert answer.headers["Content-Location"].endswith("/fhir/Patient/p1/_history/2")
    kept = {name: value for name, value in answer.json.items() if name not in ("meta", "maritalStatus", "gender")}
    before = steward.get("/Patient/p1/_history/1").json
    assert kept == {name: value for name, value in before.items() if name not in ("meta", "birthDate", "gender")}
    assert (answer.json["gender"], answer.json["maritalStatus"]) == ("other", {"text": "x"})
    assert steward.send("PATCH", "/Patient/p1", [], Content_Type=content_type).status_code == 400
    assert steward.send("PATCH", "/Patient/p1", {"id": "p2"}, Content_Type=content_type).status_code == 422
    assert steward.send("PATCH", "/Patient/p1", GENDER, Content_Type="application/json").status_code == 200
