"""A search read into a Query, and every way in which it can be at fault. https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir.outcome import Fault
from app.fhir.query import (
    AnyOf,
    Chain,
    Clause,
    Condition,
    Has,
    Include,
    Query,
    Range,
    Reference,
    Sort,
    Text,
    Token,
    Typed,
)
from app.fhir.registry import TYPES
from app.fhir.search import parse
from app.fhir.temporal import DAY, interval

NOW = interval("2026-03-10T10:00:00.000000Z")[0]
BASE = "https://registry.example/fhir"
NHS = "https://fhir.nhs.uk/Id/nhs-number"
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"
CID = "http://registry.example/ValueSet/cross-sectional"
BEGINS_NOWHERE = (
    'in "_include": "PractitionerRole:practitioner" does not begin at Organization: '
    'known are "Organization:partof", "Organization:endpoint"; '
    'from a type that another include brings it takes ":iterate"'
)
DCM = "http://dicom.nema.org/resources/ontology/DCM"


def asked(kind: str, *params: tuple[str, str], **options: Any) -> Query:
    return parse(kind, params, base_url=BASE, at=NOW, valuesets={CID: [(DCM, "CT"), (DCM, "MR")]}, **options)


def one(kind: str, name: str, value: str) -> Condition:
    (condition,) = asked(kind, (name, value)).where
    return condition


def values(kind: str, name: str, value: str) -> tuple[Any, ...]:
    condition = one(kind, name, value)
    assert isinstance(condition, Clause)
    return condition.values


def faults(kind: str, *params: tuple[str, str], **options: Any) -> list[str]:
    with pytest.raises(Fault) as caught:
        asked(kind, *params, **options)
    assert caught.value.kind == "invalid"
    assert caught.value.status == 400
    assert {issue.code for issue in caught.value.issues} == {"invalid"}
    return [issue.text for issue in caught.value.issues]


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("CT", (Token(None, "CT"),)),
        (f"{DCM}|CT", (Token(DCM, "CT"),)),
        ("|CT", (Token("", "CT"),)),
        (f"{DCM}|", (Token(DCM, None),)),
        ("CT,MR", (Token(None, "CT"), Token(None, "MR"))),
        (r"a\,b", (Token(None, "a,b"),)),
        (r"a\|b", (Token(None, "a|b"),)),
        (r"a\$b\\c\d", (Token(None, r"a$b\c\d"),)),
        ("CT,CT", (Token(None, "CT"),)),
    ],
)
def test_every_form_of_a_token(value: str, tokens: tuple[Token, ...]) -> None:
    assert values("ImagingStudy", "modality", value) == tokens


def test_the_system_of_a_bound_code_says_nothing_more_than_the_code() -> None:
    assert values("ImagingStudy", "status", "http://hl7.org/fhir/imagingstudy-status|available") == (
        Token(None, "available"),
    )
    assert values("ImagingStudy", "status", "|available") == (Token(None, "available"),)
    assert values("ImagingStudy", "status", "http://other|available") == (Token("http://other", "available"),)


@pytest.mark.parametrize(("name", "missing"), [("status", False), ("status:not", True)])
def test_any_code_of_a_bound_system_is_a_status_that_is_not_missing(name: str, missing: bool) -> None:
    condition = one("ImagingStudy", name, "http://hl7.org/fhir/imagingstudy-status|")
    assert condition == Clause(TYPES["ImagingStudy"].params["status"], "missing", (missing,))


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("urn:dicom:uid|urn:oid:1.2.3", (Token("urn:dicom:uid", "urn:oid:1.2.3"),)),
        ("urn:dicom:uid|1.2.3", (Token("urn:dicom:uid", "urn:oid:1.2.3"),)),
        ("urn:oid:1.2.3", (Token(None, "urn:oid:1.2.3"),)),
        ("1.2.3", (Token(None, "1.2.3"), Token("urn:dicom:uid", "urn:oid:1.2.3"))),
        ("2", (Token(None, "2"),)),
        ("|1.2.3", (Token("", "1.2.3"),)),
    ],
)
def test_a_study_uid_is_found_in_each_of_its_spellings(value: str, tokens: tuple[Token, ...]) -> None:
    assert values("ImagingStudy", "identifier", value) == tokens


@pytest.mark.parametrize("value", ["1.2.3", "urn:oid:1.2.3", "urn:dicom:uid|urn:oid:1.2.3", "urn:dicom:uid|1.2.3"])
@pytest.mark.parametrize("name", ["series", "instance"])
def test_a_series_or_instance_uid_is_found_in_each_of_its_spellings(name: str, value: str) -> None:
    assert values("ImagingStudy", name, value) == (Token(None, "1.2.3"),)


def test_both_spellings_of_the_organisation_code_system_are_one() -> None:
    assert values("Organization", "identifier", "https://fhir.nhs.uk/Id/ods-organisation-code|rxb") == (
        Token(ODS, "RXB"),
    )


def test_an_nhs_number_may_be_written_as_it_is_shown() -> None:
    assert values("Patient", "identifier", f"{NHS}|999 123 4567") == (Token(NHS, "9991234567"),)


def test_of_type_takes_a_type_and_a_value() -> None:
    assert values("Patient", "identifier:of-type", r"http://t|MR|12\|3") == (Typed("http://t", "MR", "12|3"),)
    assert faults("Patient", ("identifier:of-type", "http://t|MR")) == [
        'in "identifier:of-type": a value that is not of the form of ":of-type": expected "system|code|value"'
    ]


def test_in_stands_for_the_codes_of_one_of_our_own_value_sets() -> None:
    assert one("ImagingStudy", "modality:in", CID) == Clause(
        TYPES["ImagingStudy"].params["modality"], None, (Token(DCM, "CT"), Token(DCM, "MR"))
    )
    assert faults("ImagingStudy", ("modality:in", CID + "s")) == [
        f'in "modality:in": a value set that is not held here after ":in": the nearest known is "{CID}"'
    ]


@pytest.mark.parametrize(
    ("name", "value", "reference"),
    [
        ("subject", "Patient/1", Reference("Patient", "1")),
        ("subject", "1", Reference(None, "1")),
        ("patient", "1", Reference("Patient", "1")),
        ("subject:Patient", "1", Reference("Patient", "1")),
        ("subject:Patient", "Patient/1", Reference("Patient", "1")),
        ("subject", f"{BASE}/Patient/1", Reference("Patient", "1")),
        ("subject", "Patient/1/_history/4", Reference("Patient", "1")),
        ("subject", "https://other/Patient/1", Reference(None, None, "https://other/Patient/1")),
        ("subject", "urn:uuid:1", Reference(None, None, "urn:uuid:1")),
    ],
)
def test_every_form_of_a_reference(name: str, value: str, reference: Reference) -> None:
    assert values("ImagingStudy", name, value) == (reference,)


def test_a_reference_by_identifier_is_a_token() -> None:
    assert one("ImagingStudy", "patient:identifier", f"{NHS}|9991234567") == Clause(
        TYPES["ImagingStudy"].params["patient"], "identifier", (Token(NHS, "9991234567"),)
    )


def test_a_canonical_is_asked_by_its_url_with_or_without_a_version() -> None:
    assert values("QuestionnaireResponse", "questionnaire", "http://q/Questionnaire/a|2") == (
        Reference(None, None, "http://q/Questionnaire/a|2"),
    )


@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])
def test_every_prefix_of_a_date(prefix: str) -> None:
    assert values("ImagingStudy", "started", f"{prefix}2026-03") == (Range(prefix, *interval("2026-03")),)


def test_a_date_without_a_prefix_is_equal() -> None:
    assert values("ImagingStudy", "started", "2026-03-01T10:20") == (Range("eq", *interval("2026-03-01T10:20")),)


def test_approximately_reaches_a_tenth_of_the_distance_to_now() -> None:
    low, high = interval("2026-02-28", "UTC")
    assert asked("ImagingStudy", ("started", "ap2026-02-28"), zone="UTC").where[0] == Clause(
        TYPES["ImagingStudy"].params["started"],
        None,
        (Range("ap", low - (NOW - high) // 10, high + (NOW - high) // 10),),
    )
    assert values("ImagingStudy", "started", "ap2026") == (Range("ap", *interval("2026")),)
    (future,) = values("ImagingStudy", "started", "ap2026-03-20T10:00:00Z")
    assert future.low == NOW + 9 * DAY


def test_a_plus_sign_that_came_as_a_space_is_a_plus_sign() -> None:
    plus = values("ImagingStudy", "started", "ge2026-03-01T10:20:30+01:00")
    assert values("ImagingStudy", "started", "ge2026-03-01T10:20:30 01:00") == plus


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("100", Range("eq", 99.5, 100.5)),
        ("100.0", Range("eq", 99.95, 100.05)),
        ("1e2", Range("eq", 95.0, 105.0)),
        ("ne3", Range("ne", 2.5, 3.5)),
        ("gt3", Range("gt", 3.0, 3.0)),
        ("le3.50", Range("le", 3.5, 3.5)),
        ("sa3", Range("gt", 3.0, 3.0)),
        ("eb3", Range("lt", 3.0, 3.0)),
        ("ap100", Range("ap", 90.0, 110.0)),
        ("ap0", Range("ap", -0.5, 0.5)),
        ("lt-2", Range("lt", -2.0, -2.0)),
    ],
)
def test_a_number_has_the_precision_it_is_written_with(value: str, expected: Range) -> None:
    assert values("ImagingStudy", "number-of-instances", value) == (expected,)


@pytest.mark.parametrize(
    ("name", "modifier"), [("family", None), ("family:exact", "exact"), ("family:contains", "contains")]
)
def test_a_string_is_kept_as_given(name: str, modifier: str | None) -> None:
    assert one("Patient", name, "Ó Néill") == Clause(TYPES["Patient"].params["family"], modifier, (Text("Ó Néill"),))


def test_missing_is_a_truth() -> None:
    assert one("Patient", "birthdate:missing", "true") == Clause(
        TYPES["Patient"].params["birthdate"], "missing", (True,)
    )


def test_repeated_parameters_are_all_to_hold_and_commas_are_alternatives() -> None:
    query = asked(
        "ImagingStudy", ("started", "ge2026-01-01"), ("started", "lt2026-02-01"), ("status", "available,registered")
    )
    assert [len(clause.values) for clause in query.where if isinstance(clause, Clause)] == [1, 1, 2]


def test_a_list_of_ids_is_one_condition() -> None:
    assert values("ImagingStudy", "_id", "a,b,c") == (Token(None, "a"), Token(None, "b"), Token(None, "c"))


def test_a_chain_to_the_only_type() -> None:
    patient = TYPES["Patient"].params
    assert one("ImagingStudy", "patient.identifier", f"{NHS}|9991234567") == Chain(
        TYPES["ImagingStudy"].params["patient"],
        "Patient",
        Clause(patient["identifier"], None, (Token(NHS, "9991234567"),)),
    )


def test_a_chain_to_a_named_type() -> None:
    found = one("ImagingStudy", "subject:Patient.name:exact", "Test")
    assert isinstance(found, Chain)
    assert found.target == "Patient"
    assert found.rest == Clause(TYPES["Patient"].params["name"], "exact", (Text("Test"),))


def test_a_chain_without_a_type_tries_each_that_knows_the_parameter() -> None:
    found = one("ImagingStudy", "performer.identifier", "1")
    assert isinstance(found, AnyOf)
    assert {part.target for part in found.parts if isinstance(part, Chain)} == {
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "CareTeam",
        "Patient",
    }
    named = one("ImagingStudy", "performer.family", "Test")
    assert isinstance(named, AnyOf)
    assert [part.target for part in named.parts if isinstance(part, Chain)] == ["Patient", "Practitioner"]


def test_a_chain_of_three_is_followed_and_one_of_four_is_not() -> None:
    three = one("DiagnosticReport", "study.endpoint.organization.name", "x")
    depth = 0
    while isinstance(three, Chain):
        three, depth = three.rest, depth + 1
    assert depth == 3
    assert faults("DiagnosticReport", ("study.endpoint.organization.partof.name", "x")) == [
        'in "study.endpoint.organization.partof.name": a chain that is too deep: at most 3 references are followed'
    ]


def test_has_is_read_from_the_other_side_and_nests() -> None:
    found = one("Patient", "_has:ImagingStudy:patient:_has:DiagnosticReport:study:status", "final")
    assert isinstance(found, Has)
    assert (found.type, found.param.name) == ("ImagingStudy", "patient")
    assert isinstance(found.rest, Has)
    assert found.rest.type == "DiagnosticReport"
    chained = one("Endpoint", "_has:ImagingStudy:endpoint:patient.birthdate", "2000")
    assert isinstance(chained, Has)
    assert isinstance(chained.rest, Chain)
    within = one("ImagingStudy", "patient._has:EpisodeOfCare:patient:status", "active")
    assert isinstance(within, Chain)
    assert isinstance(within.rest, Has)


def test_includes_in_all_directions() -> None:
    studies, organizations = TYPES["ImagingStudy"].params, TYPES["Organization"].params
    query = asked(
        "ImagingStudy",
        ("_include", "ImagingStudy:endpoint"),
        ("_include", "ImagingStudy:subject:Patient"),
        ("_include:iterate", "Endpoint:organization"),
        ("_include:iterate", "Organization:partof"),
        ("_revinclude", "DiagnosticReport:study"),
    )
    assert query.includes == (
        Include("ImagingStudy", studies["endpoint"], None),
        Include("ImagingStudy", studies["subject"], "Patient"),
        Include("Endpoint", TYPES["Endpoint"].params["organization"], None, iterate=True),
        Include("Organization", organizations["partof"], None, iterate=True),
        Include("DiagnosticReport", TYPES["DiagnosticReport"].params["study"], None, reverse=True),
    )


def test_how_results_come() -> None:
    query = asked(
        "ImagingStudy",
        ("_sort", "-started,_id"),
        ("_count", "7"),
        ("_total", "accurate"),
        ("_summary", "data"),
        ("_elements", "status,subject"),
        ("_cursor", "abc-_=."),
    )
    params = TYPES["ImagingStudy"].params
    assert query.sort == (Sort(params["started"], True), Sort(params["_id"], False))
    assert (query.count, query.total, query.summary) == (7, "accurate", "data")
    assert query.elements == ("status", "subject")
    assert query.cursor == "abc-_=."
    assert all(name != "_cursor" for name, _ in query.applied)


def test_a_page_holds_20_and_never_more_than_500() -> None:
    assert asked("Patient").count == 20
    assert asked("Patient", ("_count", "0")).count == 0
    assert asked("Patient", ("_count", "0")).summary == "count"
    large = asked("Patient", ("_count", "100000"))
    assert large.count == 500
    assert large.applied == (("_count", "500"),)


@pytest.mark.parametrize("value", ["-1", "ten", "", "1.5", "١", "9999999999", " 1"])
def test_a_count_that_is_not_a_number_is_refused(value: str) -> None:
    assert faults("Patient", ("_count", value)) == ['"_count" is not a whole number: expected 0 or more']


def test_format_is_passed_over() -> None:
    assert asked("Patient", ("_format", "xml"), ("_pretty", "true")) == asked("Patient")


def test_a_compartment_is_a_condition_like_others() -> None:
    (condition,) = asked("ImagingStudy", compartment=("Patient", "p1")).where
    assert condition == Clause(TYPES["ImagingStudy"].params["patient"], None, (Reference("Patient", "p1"),))
    (either,) = asked("CareTeam", compartment=("Patient", "p1")).where
    assert isinstance(either, AnyOf)
    (self_or_linked,) = asked("Patient", compartment=("Patient", "p1")).where
    assert isinstance(self_or_linked, AnyOf)
    assert "is not in the compartment of a Patient" in faults("Organization", compartment=("Patient", "p1"))[0]
    assert "the compartment of" in faults("ImagingStudy", compartment=("Practitioner", "p1"))[0]
    assert "the compartment of" in faults("ImagingStudy", compartment=("Patient", "not an id"))[0]


@pytest.mark.parametrize(
    ("kind", "name", "value", "text"),
    [
        (
            "ImagingStudy",
            "patiens",
            "1",
            'the search parameter "patiens" is not known for ImagingStudy: the nearest known is "patient"',
        ),
        (
            "ImagingStudy",
            "bodySite",
            "1",
            'the search parameter "bodySite" is not known for ImagingStudy: the nearest known is "bodysite"',
        ),
        (
            "ImagingStudy",
            "_lastUpdate",
            "1",
            'the search parameter "_lastUpdate" is not supported: the nearest known is "_lastUpdated"',
        ),
        (
            "ImagingStudy",
            "_contained",
            "true",
            'the search parameter "_contained" is not supported: the nearest known is "_count"',
        ),
        (
            "Patient",
            "family:exakt",
            "x",
            'the modifier "exakt" is not supported on "family": the nearest known is "exact"',
        ),
        (
            "ImagingStudy",
            "modality:above",
            "x",
            'the modifier "above" is not supported on "modality": known are "in", "missing", "not", "text"',
        ),
        (
            "Questionnaire",
            "url:below",
            "http://q",
            'the modifier "below" is not supported on "url": known are "missing"',
        ),
        (
            "ImagingStudy",
            "started",
            "xx2026",
            'in "started": the prefix "xx" is not known: expected one of eq, ne, gt, lt, ge, le, sa, eb, ap or none',
        ),
        (
            "ImagingStudy",
            "_include",
            "ImagingStudy:endpoints",
            'in "_include": the search parameter "endpoints" is not known for ImagingStudy: the nearest known is "endpoint"',
        ),
        ("ImagingStudy", "_include", "*", '"_include" of everything is not supported: expected "Type:parameter"'),
        (
            "ImagingStudy",
            "_include",
            "ImagingStudy:*",
            '"_include" of everything is not supported: expected "Type:parameter"',
        ),
        (
            "ImagingStudy",
            "_include",
            "ImagingStudy",
            '"_include" is not complete: expected "Type:parameter" or "Type:parameter:Target"',
        ),
        (
            "ImagingStudy",
            "_include",
            "ImagingStudie:endpoint",
            'in "_include": the type "ImagingStudie" is not held here: the nearest known is "ImagingStudy"',
        ),
        (
            "ImagingStudy",
            "_include:recurse",
            "ImagingStudy:endpoint",
            'the modifier "recurse" is not supported on "_include": the nearest known is "iterate"',
        ),
        (
            "ImagingStudy",
            "_include",
            "ImagingStudy:subject:Patients",
            'in "_include": "ImagingStudy:subject" does not lead to "Patients": the nearest known is "Patient"',
        ),
        (
            "DiagnosticReport",
            "_sort",
            "dates",
            'in "_sort": the search parameter "dates" is not known for DiagnosticReport: the nearest known is "date"',
        ),
        (
            "Patient",
            "_total",
            "some",
            '"_total" has a value that is not known: expected none, estimate, accurate',
        ),
        (
            "Patient",
            "_summary",
            "yes",
            '"_summary" has a value that is not known: expected true, text, data, count, false',
        ),
        (
            "Patient",
            "_elements",
            "name.given",
            '"_elements" is not a list of element names: expected names at the root, with commas between',
        ),
        (
            "Patient",
            "_cursor",
            "a b",
            '"_cursor" is not one that this server made: expected a link of a Bundle, as it was given',
        ),
        (
            "Patient",
            "_has:ImagingStudy:patient",
            "1",
            'a "_has" that is not complete: expected "_has:Type:reference:parameter"',
        ),
        (
            "Endpoint",
            "_has:ImagingStudy:patient:status",
            "1",
            'in "_has:ImagingStudy:patient:status": "patient" of ImagingStudy does not refer to Endpoint: expected "endpoint"',
        ),
        (
            "ImagingStudy",
            "encounter.status",
            "1",
            'in "encounter.status": a chain through "encounter": it leads to no type held here',
        ),
        (
            "ImagingStudy",
            "started.year",
            "1",
            'in "started.year": a chain through "started": not a reference',
        ),
        (
            "QuestionnaireResponse",
            "questionnaire.name",
            "1",
            'in "questionnaire.name": a chain through "questionnaire": a canonical is not followed',
        ),
        (
            "ImagingStudy",
            "subject:Organization",
            "1",
            '"subject" does not refer to "Organization": the nearest known is "Patient"',
        ),
        (
            "ImagingStudy",
            "patient",
            "Group/1",
            'in "patient": a reference to "Group": expected one to Patient',
        ),
        (
            "ImagingStudy",
            "patient",
            "not an id",
            'in "patient": a value that is not a reference: expected an id, "Type/id" or an absolute URL',
        ),
        (
            "ImagingStudy",
            "status",
            "",
            'in "status": an empty value: expected one for each parameter and at each place between commas',
        ),
        (
            "ImagingStudy",
            "status",
            "a,,b",
            'in "status": an empty value: expected one for each parameter and at each place between commas',
        ),
        (
            "ImagingStudy",
            "modality",
            "|",
            'in "modality": a token without system and code: expected "code", "system|code", "|code" or "system|"',
        ),
        (
            "ImagingStudy",
            "series",
            "CT",
            'in "series": a value that is not a DICOM UID: expected digits and dots, with or without "urn:oid:"',
        ),
        ("Patient", "active", "yes", 'in "active": a value that is not a boolean: expected "true" or "false"'),
        (
            "Patient",
            "active:missing",
            "1",
            'in "active:missing": a value that is not a boolean after ":missing": expected "true" or "false"',
        ),
        (
            "Patient",
            "_id",
            "a b",
            'in "_id": a value that is not an id: expected up to 64 letters, digits, dashes and dots',
        ),
        ("Patient", "name", "!", 'in "name": text of punctuation alone: expected a letter or a digit'),
        (
            "ImagingStudy",
            "number-of-series",
            "many",
            'in "number-of-series": the prefix "ma" is not known: expected one of eq, ne, gt, lt, ge, le, sa, eb, ap or none',
        ),
        (
            "Provenance",
            "target.identifier",
            "1",
            'in "target.identifier": a chain from "target" that may lead to 21 types: expected one after a colon',
        ),
        (
            "Organization",
            "_include",
            "PractitionerRole:practitioner",
            BEGINS_NOWHERE,
        ),
    ],
)
def test_a_fault_names_what_is_wrong_and_the_nearest_that_is_known(kind: str, name: str, value: str, text: str) -> None:
    assert faults(kind, (name, value)) == [text]


@pytest.mark.parametrize("value", ["yesterday", "2026-02-30", "2026-1-1", "ge", "2026-03-10T10", "2026-01-01Z"])
def test_what_is_not_a_date_is_refused(value: str) -> None:
    (text,) = faults("ImagingStudy", ("started", value))
    assert text.startswith('in "started": ')
    assert "eq, ne, gt, lt, ge, le, sa, eb, ap" in text


def test_all_faults_of_a_query_are_told_at_once() -> None:
    found = faults(
        "ImagingStudy", ("foo", "1"), ("status", "available"), ("started", "x"), ("_count", "-1"), ("_include", "*")
    )
    assert len(found) == 4


def test_a_value_is_never_shown_again() -> None:
    for name in ("identifier:of-type", "started", "patient", "_id", "active", "_sort", "_include", "_cursor", "_total"):
        for text in faults(
            "Patient" if name in TYPES["Patient"].params else "ImagingStudy", (name, "999 123 4567 secret")
        ):
            assert "9991234567" not in text.replace(" ", "")
            assert "secret" not in text


def test_a_name_that_may_be_a_number_of_a_person_is_not_shown() -> None:
    assert "9991234567" not in faults("Patient", ("9991234567", "x"))[0]


@pytest.mark.parametrize("name", ["_count", "_sort", "_total", "_summary", "_elements", "_cursor"])
def test_what_is_given_once_is_not_given_twice(name: str) -> None:
    value = {"_count": "1", "_sort": "_id", "_total": "none", "_summary": "true", "_elements": "id", "_cursor": "c"}[
        name
    ]
    assert faults("Patient", (name, value), (name, value)) == [f'"{name}" is given more than once: expected it once']


def test_a_summary_of_text_has_no_includes() -> None:
    assert faults("ImagingStudy", ("_summary", "text"), ("_include", "ImagingStudy:endpoint")) == [
        '"_include" with "_summary=text": expected one of the two'
    ]


def test_a_query_is_no_larger_than_is_taken() -> None:
    assert faults("Patient", *[("family", "x")] * 65) == ["a query of 65 parameters: at most 64 are taken"]
    assert faults("Patient", *[("family", "x")] * 65, lenient=True)
    assert "at most 1000 are taken" in faults("Patient", ("_id", ",".join(["a"] * 1001)))[0]
    assert "at most 1024 are taken" in faults("Patient", ("family", "x" * 1025))[0]
    assert faults("Patient", ("x" * 257, "1")) == [
        "the name of a parameter is too long: at most 256 characters are taken"
    ]
    assert faults("Patient", ("_sort", ",".join(["_id"] * 9))) == ['"_sort" has 9 keys: at most 8 are taken']


def test_a_chain_to_many_types_does_not_multiply_its_values_without_end() -> None:
    ids = ",".join(["a"] * 900)
    assert faults("ImagingStudy", ("performer.identifier", ids), lenient=True) == [
        'in "performer.identifier": a query of too many values: at most 4000 are taken, over all types of a chain'
    ]


def test_chains_through_many_types_do_not_multiply_without_end() -> None:
    found = faults("ImagingStudy", *[("performer.identifier", "1")] * 30)
    assert found == [
        'in "performer.identifier": a query of too many conditions: at most 128 are taken, over all types of a chain'
    ]


def test_a_worklist_of_five_hundred_patients_is_one_parameter() -> None:
    assert len(values("ImagingStudy", "patient", ",".join(f"Patient/p{n}" for n in range(500)))) == 500


def test_lenient_handling_drops_what_is_at_fault_and_says_so() -> None:
    query = asked("ImagingStudy", ("foo", "1"), ("status", "available"), ("_include", "*"), lenient=True)
    assert len(query.where) == 1
    assert query.applied == (("status", "available"),)
    assert len(query.ignored) == 2
    assert '"foo"' in query.ignored[0]


def test_lenient_handling_drops_an_include_that_begins_nowhere() -> None:
    query = asked("Organization", ("_include", "PractitionerRole:practitioner"), ("active", "true"), lenient=True)
    assert query.includes == ()
    assert query.applied == (("active", "true"),)


def test_a_type_that_is_not_held_is_refused() -> None:
    assert faults("Encounter") == ['the type "Encounter" is not held here: the nearest known is "Endpoint"']
