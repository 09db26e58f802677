"""Bundles spliced from bytes, https://hl7.org/fhir/R4/bundle.html"""

from __future__ import annotations

from typing import Any

import orjson
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.bundle import Hit, Response, Version, collection, document, history, responses, searchset
from app.fhir.outcome import Issue, operation_outcome

PATIENT = b'{"resourceType":"Patient","id":"1","multipleBirthInteger":1,"extension":[{"url":"u","valueDecimal":1.10}]}'
OUTCOME = orjson.dumps(operation_outcome([Issue("invalid", "was wrong; expected right")]))
AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z


def read(body: bytes) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(body)
    Bundle.model_validate(value)
    return value


def test_a_page_of_results_holds_the_stored_bytes_as_they_are() -> None:
    body = searchset(
        [Hit("https://r/fhir/Patient/1", PATIENT), ("https://r/fhir/Patient/2", PATIENT, "include")],
        links=[("self", 'https://r/fhir/Patient?name="a"'), ("next", "https://r/fhir?c=1")],
        total=2,
        outcome=OUTCOME,
        id="b1",
        at=AT,
    )
    assert body.count(PATIENT) == 2
    bundle = read(body)
    assert list(bundle) == ["resourceType", "id", "meta", "type", "total", "link", "entry"]
    assert bundle["type"] == "searchset" and bundle["total"] == 2
    assert bundle["meta"] == {"lastUpdated": "2026-03-10T10:00:00.000000Z"}
    assert bundle["link"][0] == {"relation": "self", "url": 'https://r/fhir/Patient?name="a"'}
    assert [entry["search"]["mode"] for entry in bundle["entry"]] == ["match", "include", "outcome"]
    assert bundle["entry"][0]["fullUrl"] == "https://r/fhir/Patient/1"
    assert "fullUrl" not in bundle["entry"][2]


def test_no_results_are_no_entry_and_not_an_empty_list() -> None:
    assert read(searchset([], total=0)) == {"resourceType": "Bundle", "type": "searchset", "total": 0}


def test_a_history_says_how_each_version_came_about() -> None:
    url = "https://r/fhir/Patient/1"
    bundle = read(
        history(
            [
                Version(url, None, "DELETE", "Patient/1", 3, AT),
                Version(url, PATIENT, "PUT", "Patient/1", 2, AT),
                Version(url, PATIENT, "POST", "Patient", 1, AT),
            ],
            links=[("self", "https://r/fhir/Patient/1/_history")],
            total=3,
        )
    )
    assert "resource" not in bundle["entry"][0]
    assert [entry["request"] for entry in bundle["entry"]] == [
        {"method": "DELETE", "url": "Patient/1"},
        {"method": "PUT", "url": "Patient/1"},
        {"method": "POST", "url": "Patient"},
    ]
    assert [entry["response"]["status"] for entry in bundle["entry"]] == ["204 No Content", "200 OK", "201 Created"]
    assert bundle["entry"][0]["response"]["etag"] == 'W/"3"'
    assert bundle["entry"][0]["response"]["lastModified"] == "2026-03-10T10:00:00.000000Z"


def test_an_answer_to_a_transaction_has_an_entry_for_each_entry() -> None:
    bundle = read(
        responses(
            "transaction",
            [
                Response(
                    201,
                    PATIENT,
                    full_url="https://r/fhir/Patient/1",
                    location="Patient/1/_history/1",
                    etag='W/"1"',
                    last_modified=AT,
                ),
                Response(204),
                Response(422, outcome=OUTCOME),
            ],
        )
    )
    assert bundle["type"] == "transaction-response"
    assert bundle["entry"][0]["response"] == {
        "status": "201 Created",
        "location": "Patient/1/_history/1",
        "etag": 'W/"1"',
        "lastModified": "2026-03-10T10:00:00.000000Z",
    }
    assert bundle["entry"][1] == {"response": {"status": "204 No Content"}}
    assert bundle["entry"][2]["response"]["outcome"]["resourceType"] == "OperationOutcome"


def test_a_document_has_its_identifier_and_time() -> None:
    composition = b'{"resourceType":"Basic","code":{"text":"x"}}'
    body = document([("urn:uuid:1", composition)], identifier=("urn:ietf:rfc:3986", "urn:uuid:2"), timestamp=AT)
    bundle = read(body)
    assert bundle["type"] == "document"
    assert bundle["identifier"]["value"] == "urn:uuid:2"
    assert bundle["timestamp"] == "2026-03-10T10:00:00.000000Z"
    assert read(collection([(None, PATIENT)])) == {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": orjson.loads(PATIENT)}],
    }


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=3), st.text(st.characters(codec="utf-8")))
def test_whatever_stands_in_an_address_the_bundle_is_json(urls: list[str], link: str) -> None:
    bundle = orjson.loads(searchset([Hit(url, PATIENT) for url in urls], links=[("self", link)]))
    assert [entry["fullUrl"] for entry in bundle.get("entry", [])] == urls
    assert bundle["link"] == [{"relation": "self", "url": link}]
