"""What a search can find in a resource. https://hl7.org/fhir/R4/search.html#ptypes"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.fhir.index import Index, extract, normalise
from app.fhir.temporal import interval

BASE = "https://registry.example/fhir"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"


def indexed(kind: str, **elements: Any) -> Index:
    return extract({"resourceType": kind, **elements}, base_url=BASE)


def tokens(index: Index, param: str) -> list[tuple[str | None, str | None, str | None]]:
    return [row[1:] for row in index.tokens if row[0] == param]


def references(index: Index, param: str) -> list[tuple[str | None, ...]]:
    return [row[1:] for row in index.references if row[0] == param]


def strings(index: Index, param: str) -> list[str]:
    return [text for name, text in index.strings if name == param]


def test_modality_is_found_at_the_study_and_at_its_series_and_kept_once() -> None:
    index = indexed(
        "ImagingStudy",
        modality=[{"system": DCM, "code": "CT"}],
        series=[{"modality": {"system": DCM, "code": "CT"}}, {"modality": {"system": DCM, "code": "SR"}}],
    )
    assert tokens(index, "modality") == [(DCM, "CT", None), (DCM, "SR", None)]


def test_uids_of_series_and_instances_are_kept_without_their_urn() -> None:
    index = indexed("ImagingStudy", series=[{"uid": "1.2.3", "instance": [{"uid": "urn:oid:1.2.3.4"}]}])
    assert tokens(index, "series") == [(None, "1.2.3", None)]
    assert tokens(index, "instance") == [(None, "1.2.3.4", None)]


def test_a_concept_gives_each_coding_and_its_text() -> None:
    concept = {"coding": [{"system": "http://a", "code": "1", "display": "One"}, {"code": "2"}], "text": "One or two"}
    index = indexed("DiagnosticReport", code=concept)
    assert tokens(index, "code") == [("http://a", "1", "One"), (None, "2", None), (None, None, "One or two")]


def test_a_code_has_no_system_of_its_own() -> None:
    assert tokens(indexed("ImagingStudy", status="available"), "status") == [(None, "available", None)]


def test_a_boolean_is_the_word_for_it() -> None:
    assert tokens(indexed("Patient", active=False), "active") == [(None, "false", None)]


@pytest.mark.parametrize(
    ("elements", "word"),
    [
        ({}, "false"),
        ({"deceasedBoolean": False}, "false"),
        ({"deceasedBoolean": True}, "true"),
        ({"deceasedDateTime": "2020"}, "true"),
    ],
)
def test_deceased_is_always_known(elements: dict[str, Any], word: str) -> None:
    assert tokens(indexed("Patient", **elements), "deceased") == [(None, word, None)]


def test_contacts_are_found_by_value_and_parted_by_system() -> None:
    index = indexed("Patient", telecom=[{"system": "phone", "value": "0113"}, {"system": "email", "value": "a@b"}])
    assert tokens(index, "telecom") == [("phone", "0113", None), ("email", "a@b", None)]
    assert tokens(index, "email") == [("email", "a@b", None)]
    assert tokens(index, "phone") == [("phone", "0113", None)]


def test_an_identifier_has_rows_of_its_own_one_for_each_type() -> None:
    kinds = {
        "coding": [{"system": "http://t", "code": "MR"}, {"system": "http://t", "code": "PI"}],
        "text": "Hospital number",
    }
    index = indexed("Patient", identifier=[{"system": "http://s", "value": "1", "type": kinds}, {"value": "2"}])
    assert index.identifiers == [
        ("identifier", "http://s", "1", "http://t", "MR"),
        ("identifier", "http://s", "1", "http://t", "PI"),
        ("identifier", None, "2", None, None),
    ]
    assert tokens(index, "identifier") == [(None, None, "Hospital number")]


@pytest.mark.parametrize(
    ("system", "value", "kept"),
    [
        ("urn:dicom:uid", "urn:oid:1.2.3", ("urn:dicom:uid", "urn:oid:1.2.3")),
        ("urn:dicom:uid", "1.2.3", ("urn:dicom:uid", "urn:oid:1.2.3")),
        ("https://fhir.nhs.uk/Id/ods-organisation-code", "rxb", (ODS, "RXB")),
        ("https://fhir.nhs.uk/Id/nhs-number", "999 123 4567", ("https://fhir.nhs.uk/Id/nhs-number", "9991234567")),
        ("http://hospital.example/mrn", "a B", ("http://hospital.example/mrn", "a B")),
    ],
)
def test_identifiers_that_have_several_spellings_are_kept_in_one(
    system: str, value: str, kept: tuple[str, str]
) -> None:
    index = indexed("ImagingStudy", identifier=[{"system": system, "value": value}])
    assert index.identifiers == [("identifier", *kept, None, None)]


@pytest.mark.parametrize(
    ("reference", "row"),
    [
        ({"reference": "Patient/1"}, ("Patient", "1", None, None, None)),
        ({"reference": "Patient/1/_history/3"}, ("Patient", "1", None, None, None)),
        ({"reference": f"{BASE}/Patient/1"}, ("Patient", "1", None, None, None)),
        ({"reference": f"{BASE}/Patient/1/_history/2"}, ("Patient", "1", None, None, None)),
        (
            {"reference": "https://other.example/fhir/Patient/1/_history/2"},
            ("Patient", None, "https://other.example/fhir/Patient/1", None, None),
        ),
        ({"reference": f"{BASE}other/Patient/1"}, ("Patient", None, f"{BASE}other/Patient/1", None, None)),
        ({"reference": "urn:uuid:0a-1"}, (None, None, "urn:uuid:0a-1", None, None)),
        (
            {"reference": "urn:uuid:0a-1", "type": "Patient"},
            ("Patient", None, "urn:uuid:0a-1", None, None),
        ),
        (
            {"identifier": {"system": "http://s", "value": "v"}, "type": "Patient"},
            ("Patient", None, None, "http://s", "v"),
        ),
        (
            {"reference": "Patient/1", "identifier": {"value": "v"}},
            ("Patient", "1", None, None, "v"),
        ),
    ],
)
def test_every_form_of_reference_is_told(reference: dict[str, Any], row: tuple[str | None, ...]) -> None:
    assert references(indexed("ImagingStudy", subject=reference), "patient") == [row]


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": "#p1"},
        {"display": "someone"},
        {"reference": "Group/1"},
        {"reference": "nonsense"},
        {"reference": ""},
    ],
)
def test_what_cannot_be_told_or_is_of_another_type_gives_no_patient(reference: dict[str, Any]) -> None:
    assert references(indexed("ImagingStudy", subject=reference), "patient") == []


def test_a_parameter_that_any_type_may_stand_in_keeps_types_that_are_not_held() -> None:
    index = indexed("Provenance", target=[{"reference": "Observation/1"}, {"reference": "Patient/2"}])
    assert references(index, "target") == [("Observation", "1", None, None, None), ("Patient", "2", None, None, None)]
    assert references(index, "patient") == [("Patient", "2", None, None, None)]


def test_a_canonical_is_found_with_and_without_its_version() -> None:
    index = indexed("QuestionnaireResponse", questionnaire="http://q.example/Questionnaire/choice|2")
    assert [row[2] for row in references(index, "questionnaire")] == [
        "http://q.example/Questionnaire/choice",
        "http://q.example/Questionnaire/choice|2",
    ]


@pytest.mark.parametrize(
    ("period", "row"),
    [
        ({"start": "2026-01", "end": "2026-02"}, (interval("2026-01")[0], interval("2026-02")[1])),
        ({"start": "2026-01"}, (interval("2026-01")[0], None)),
        ({"end": "2026-01"}, (None, interval("2026-01")[1])),
    ],
)
def test_a_period_without_an_end_has_none(period: dict[str, str], row: tuple[int | None, int | None]) -> None:
    assert indexed("EpisodeOfCare", period=period).dates == [("date", *row)]


@pytest.mark.parametrize(
    "period", [{}, {"start": "2027", "end": "2026"}, {"start": "soon", "end": "2026"}, {"start": None}]
)
def test_a_period_that_cannot_be_read_is_no_date(period: dict[str, Any]) -> None:
    assert indexed("EpisodeOfCare", period=period).dates == []


def test_a_timing_counts_by_its_outer_limits() -> None:
    timing = {
        "event": ["2026-02-01", "2026-01-01"],
        "repeat": {"boundsPeriod": {"start": "2026-01-15", "end": "2026-03-01"}},
    }
    index = indexed("ServiceRequest", occurrenceTiming=timing)
    assert index.dates == [("occurrence", interval("2026-01-01")[0], interval("2026-03-01")[1])]


def test_a_name_and_an_address_are_found_by_each_of_their_parts() -> None:
    index = indexed(
        "Patient",
        name=[{"family": "Ó Néill", "given": ["Test", "Two"], "prefix": ["Dr"], "use": "official"}],
        address=[{"line": ["1 Road"], "city": "Leeds", "postalCode": "LS1 1AA", "use": "home"}],
    )
    assert strings(index, "name") == ["Ó Néill", "Test", "Two", "Dr"]
    assert strings(index, "given") == ["Test", "Two"]
    assert strings(index, "address") == ["1 Road", "Leeds", "LS1 1AA"]
    assert strings(index, "address-postalcode") == ["LS1 1AA"]
    assert tokens(index, "address-use") == [(None, "home", None)]


def test_numbers_are_points_whatever_class_they_are_read_as() -> None:
    assert indexed("ImagingStudy", numberOfSeries=3, numberOfInstances=Decimal(40)).numbers == [
        ("number-of-series", 3.0, 3.0),
        ("number-of-instances", 40.0, 40.0),
    ]


def test_what_every_resource_has_is_indexed_from_its_meta_but_for_id_and_time() -> None:
    index = indexed(
        "Endpoint",
        id="e1",
        meta={
            "lastUpdated": "2026-01-01T00:00:00Z",
            "profile": ["http://p|1"],
            "source": "http://src",
            "tag": [{"code": "t"}],
            "security": [{"system": "http://s", "code": "R"}],
        },
    )
    assert index.uris == [("_profile", "http://p|1"), ("_profile", "http://p"), ("_source", "http://src")]
    assert tokens(index, "_tag") == [(None, "t", None)]
    assert tokens(index, "_security") == [("http://s", "R", None)]
    assert index.dates == []
    assert tokens(index, "_id") == []


@pytest.mark.parametrize(
    "resource",
    [
        None,
        [],
        "text",
        {},
        {"resourceType": "Unknown"},
        {"resourceType": ["Patient"]},
        {
            "resourceType": "ImagingStudy",
            "series": {"instance": 7, "uid": [1]},
            "identifier": "x",
            "started": {"start": 3},
        },
        {"resourceType": "ImagingStudy", "series": [[{"uid": "1.2"}]], "subject": [None], "numberOfSeries": 1e999},
        {"resourceType": "Patient", "name": {"given": "x", "family": ["y"]}, "deceasedBoolean": "?", "telecom": [7]},
    ],
)
def test_no_shape_of_json_is_too_odd(resource: Any) -> None:
    assert isinstance(extract(resource), Index)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  Smith  ", "smith"),
        ("Smith-Jones", "smith jones"),
        ("Smith\u2010Jones", "smith jones"),
        ("O'Brien", "obrien"),
        ("O\u2019Brien", "obrien"),
        ("Müller", "muller"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Ó\u00a0Néill\t x", "o neill x"),
        ("!?", ""),
        ("Ελλάς", "ελλασ"),
    ],
)
def test_text_is_compared_without_case_accents_punctuation_and_spare_spaces(text: str, kept: str) -> None:
    assert normalise(text) == kept
