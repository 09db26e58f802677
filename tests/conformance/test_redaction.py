"""What a clerical role is given of another organisation's study, and that nothing it is not given can be found out (P24)."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from flask import Flask

from tests.support.region import STUDY_UID, Caller, caller, endpoint, study

DESCRIPTION = {"description": "CT of the chest", "note": [{"text": "by ambulance"}], "reasonCode": [{"text": "cough"}]}
ACCESSION = {"system": "urn:accession", "value": "ACC1"}
INTERPRETER = {"interpreter": [{"reference": "Practitioner/dr-i"}]}


@pytest.fixture
def clerk(app: Flask, steward: Caller) -> Caller:
    """A clerk of B, for whom the study of A is reduced and B's own is not."""
    steward.put("/Practitioner/dr-i", {"resourceType": "Practitioner", "id": "dr-i", "active": True})
    theirs = study() | DESCRIPTION | INTERPRETER
    theirs["identifier"] = [*theirs["identifier"], ACCESSION]
    assert steward.put("/ImagingStudy/s1", theirs).status_code == 200
    steward.put("/Endpoint/archive-rxb", endpoint("RXB"))
    assert steward.put("/ImagingStudy/own", study("own", f"{STUDY_UID}.9", "RXB") | DESCRIPTION).status_code == 201
    return caller(app, "app", "RXB", "user/*.rs", role="clerical", practitioner="Practitioner/clerk")


def test_existence_date_kind_and_source_are_shown_and_nothing_else(clerk: Caller) -> None:
    shown = clerk.get("/ImagingStudy/s1").json
    assert set(shown) == {"resourceType", "id", "meta", "status", "subject", "started", "modality", "extension"}
    assert shown["meta"]["security"][-1]["code"] == "REDACTED"
    assert shown["extension"][0]["valueReference"]["identifier"]["value"] == "RXA"
    assert "description" in clerk.get("/ImagingStudy/own").json


SHAPES = ("", "_elements=identifier,description,note,endpoint,series", "_summary=true")
DOORS = (
    "/ImagingStudy/s1",
    "/ImagingStudy?_id=s1",
    "/Patient/p1/ImagingStudy",
    "/Patient?_id=p1&_revinclude=ImagingStudy:patient",
)
VERSIONS = ("/ImagingStudy/s1/_history/1", "/ImagingStudy/s1/_history", "/ImagingStudy/_history")


@pytest.mark.parametrize(("path", "shaping"), [*product(DOORS, SHAPES), *product(VERSIONS, SHAPES[:1])])
def test_no_door_and_no_shape_shows_more(clerk: Caller, path: str, shaping: str) -> None:
    answer = clerk.get(path + ("&" if "?" in path else "?") + shaping if shaping else path)
    assert answer.status_code == 200, answer.text
    found = [e["resource"] for e in answer.json.get("entry", ()) if "resource" in e] or [answer.json]
    theirs = [one for one in found if one.get("id") == "s1"]
    assert theirs
    for one in theirs:
        assert {"identifier", "series", "endpoint", "description", "note", "reasonCode", "interpreter"}.isdisjoint(one)


@pytest.mark.parametrize(
    "query",
    ["identifier=urn:accession|ACC1", "identifier=urn:dicom:uid|urn:oid:{uid}", "description=CT", "description:contains=chest",
     "series={uid}.1", "instance={uid}.1.1", "endpoint=Endpoint/archive-rxa", "interpreter=Practitioner/dr-i",
     "endpoint.status=active", "interpreter.active=true", "reason:text=cough", "identifier:missing=false",
     "identifier:not=nothing", "description:missing=false", "number-of-series=1", "dicom-class=urn:oid:1.2.840.10008.5.1.4.1.1.2"],
)  # fmt: skip
def test_what_is_not_shown_cannot_be_searched_by(clerk: Caller, query: str) -> None:
    query = query.format(uid=STUDY_UID)
    for path in (f"/ImagingStudy?{query}", f"/ImagingStudy?patient=p1&{query}", f"/Patient/p1/ImagingStudy?{query}"):
        answer = clerk.get(path)
        if answer.status_code == 400:
            continue
        assert "s1" not in [e["resource"]["id"] for e in answer.json.get("entry", ())], path


def test_what_is_not_shown_says_nothing_of_the_patient_either(clerk: Caller) -> None:
    assert clerk.ids("/Patient?_has:ImagingStudy:patient:identifier=urn:accession|ACC1") == []
    assert clerk.ids(f"/Patient?_has:ImagingStudy:patient:series={STUDY_UID}.1") == []
    assert clerk.ids("/Patient?_has:ImagingStudy:patient:_id=s1") == ["p1"]


def test_it_is_found_by_what_is_shown(clerk: Caller) -> None:
    assert sorted(clerk.ids("/ImagingStudy?patient=p1&modality=CT&started=2026-02-01&status=available")) == [
        "own",
        "s1",
    ]
    assert clerk.ids("/ImagingStudy?description=CT") == ["own"]


def test_what_is_not_shown_makes_no_order(clerk: Caller) -> None:
    for sort in ("identifier", "-description", "number-of-series"):
        answer = clerk.get(f"/ImagingStudy?_sort={sort}")
        assert (answer.status_code, answer.json["issue"][0]["expression"]) == (403, ["_sort"])
    assert len(clerk.ids("/ImagingStudy?_sort=-started")) == 2


def test_what_is_not_shown_is_not_followed(clerk: Caller) -> None:
    def beside(path: str) -> list[Any]:
        entries = clerk.get(path).json.get("entry", ())
        return [
            (e["resource"]["resourceType"], e["resource"]["id"]) for e in entries if e["search"]["mode"] == "include"
        ]

    assert beside("/ImagingStudy?_id=s1&_include=ImagingStudy:patient") == [("Patient", "p1")]
    assert beside("/ImagingStudy?_id=s1&_include=ImagingStudy:interpreter") == []
    assert beside("/ImagingStudy?_id=own&_include=ImagingStudy:endpoint") == [("Endpoint", "archive-rxb")]
    assert beside("/Practitioner?_id=dr-i&_revinclude=ImagingStudy:interpreter") == []
    assert clerk.ids("/Practitioner?_has:ImagingStudy:interpreter:status=available") == []
    assert clerk.get("/Endpoint/archive-rxa").status_code == 404
    assert clerk.ids("/Endpoint?_has:ImagingStudy:endpoint:status=available") == ["archive-rxb"]
