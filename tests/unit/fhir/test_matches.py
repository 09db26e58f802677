"""What each search condition means, resource by resource. https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from app.fhir.matches import matches
from app.fhir.ordering import in_order, sort_key
from app.fhir.search import parse
from app.fhir.temporal import interval

NOW = interval("2026-03-10T10:00:00.000000Z")[0]
BASE = "https://registry.example/fhir"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
NHS = "https://fhir.nhs.uk/Id/nhs-number"

STUDY: dict[str, Any] = {
    "resourceType": "ImagingStudy",
    "id": "s1",
    "meta": {"lastUpdated": "2026-03-01T09:00:00.000000Z", "profile": ["http://p.example/study|1"]},
    "identifier": [
        {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
        {
            "type": {"coding": [{"system": "http://t", "code": "ACSN"}], "text": "Accession number"},
            "system": "http://acc",
            "value": "A1",
        },
    ],
    "status": "available",
    "modality": [{"system": DCM, "code": "CT", "display": "Computed Tomography"}],
    "subject": {"reference": "Patient/p1"},
    "started": "2026-02-03T10:20:30+00:00",
    "endpoint": [{"reference": f"{BASE}/Endpoint/e1"}],
    "numberOfInstances": 100,
    "series": [{"uid": "1.2.3.4", "modality": {"system": DCM, "code": "SR"}, "instance": [{"uid": "1.2.3.4.5"}]}],
}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": NHS, "value": "9991234567"}],
    "name": [{"family": "O'Néill-Test", "given": ["Ada"]}],
    "birthDate": "1970-05",
    "generalPractitioner": [{"type": "Organization", "identifier": {"system": "http://ods", "value": "A1"}}],
}
ENDPOINT = {
    "resourceType": "Endpoint",
    "id": "e1",
    "status": "active",
    "managingOrganization": {"reference": "Organization/o1"},
}
ORGANIZATION = {"resourceType": "Organization", "id": "o1", "name": "First Trust"}
REPORT = {
    "resourceType": "DiagnosticReport",
    "id": "r1",
    "status": "final",
    "code": {"text": "CT of the head"},
    "imagingStudy": [{"reference": "ImagingStudy/s1"}],
}


class Region:
    """A few resources, as a caller may see them."""

    def __init__(self, *resources: dict[str, Any]) -> None:
        self.resources = {(one["resourceType"], one["id"]): one for one in resources}

    def resource(self, type: str, id: str) -> dict[str, Any] | None:
        return self.resources.get((type, id))

    def all(self, type: str) -> Iterable[dict[str, Any]]:
        return [one for (kind, _), one in self.resources.items() if kind == type]


REGION = Region(STUDY, PATIENT, ENDPOINT, ORGANIZATION, REPORT)


def finds(resource: dict[str, Any], *params: tuple[str, str], region: Region = REGION) -> bool:
    query = parse(resource["resourceType"], params, base_url=BASE, at=NOW)
    return matches(resource, query.where, region, base_url=BASE)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("_id", "s1", True),
        ("_id", "s2,s1", True),
        ("_id", "s2", False),
        ("_lastUpdated", "ge2026-03-01", True),
        ("_lastUpdated", "gt2026-03-01", False),
        ("_profile", "http://p.example/study", True),
        ("_profile", "http://p.example/study|1", True),
        ("_profile", "http://p.example/study|2", False),
        ("modality", "CT", True),
        ("modality", "SR", True),
        ("modality", "ct", False),
        ("modality", f"{DCM}|CT", True),
        ("modality", "http://other|CT", False),
        ("modality", "|CT", False),
        ("modality", f"{DCM}|", True),
        ("modality", "MR,CT", True),
        ("modality:not", "CT", False),
        ("modality:not", "MR", True),
        ("modality:not", "MR,CT", False),
        ("modality:text", "computed", True),
        ("modality:text", "tomography", False),
        ("modality:missing", "false", True),
        ("modality:missing", "true", False),
        ("bodysite:not", "x", True),
        ("bodysite:missing", "true", True),
        ("bodysite:missing", "false", False),
        ("status", "available", True),
        ("status", "http://hl7.org/fhir/imagingstudy-status|available", True),
        ("status", "http://hl7.org/fhir/imagingstudy-status|", True),
        ("status:not", "http://hl7.org/fhir/imagingstudy-status|", False),
        ("status", "http://other|available", False),
        ("identifier", "urn:dicom:uid|urn:oid:1.2.3", True),
        ("identifier", "urn:dicom:uid|1.2.3", True),
        ("identifier", "urn:oid:1.2.3", True),
        ("identifier", "1.2.3", True),
        ("identifier", "1.2", False),
        ("identifier", "http://acc|A1", True),
        ("identifier", "http://acc|a1", False),
        ("identifier", "http://acc|", True),
        ("identifier:not", "A1", False),
        ("identifier:of-type", "http://t|ACSN|A1", True),
        ("identifier:of-type", "http://t|ACSN|1.2.3", False),
        ("identifier:text", "accession", True),
        ("series", "urn:oid:1.2.3.4", True),
        ("instance", "1.2.3.4.5", True),
        ("patient", "p1", True),
        ("patient", "Patient/p1", True),
        ("patient", f"{BASE}/Patient/p1", True),
        ("patient", "https://other/Patient/p1", False),
        ("subject", "Group/p1", False),
        ("subject", "p1", True),
        ("subject:Patient", "p1", True),
        ("endpoint", "Endpoint/e1", True),
        ("basedon:missing", "true", True),
        ("number-of-instances", "100", True),
        ("number-of-instances", "ne100", False),
        ("number-of-instances", "101", False),
        ("number-of-instances", "gt100", False),
        ("number-of-instances", "ge100", True),
        ("number-of-instances", "le100", True),
        ("number-of-instances", "lt100.5", True),
        ("number-of-instances", "ap95", True),
        ("number-of-instances", "sa99", True),
        ("number-of-instances", "eb100", False),
    ],
)
def test_a_condition_on_a_study(name: str, value: str, found: bool) -> None:
    assert finds(STUDY, (name, value)) is found


# The value is a period from 10 to 20 February; the ranges searched lie before, across, inside, around and after it.
PERIOD = {
    "resourceType": "EpisodeOfCare",
    "id": "c1",
    "period": {"start": "2026-02-10", "end": "2026-02-20"},
}


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("eq", {"2026-02", "2026"}),
        ("ne", {"2026-01", "2026-02-01", "2026-02-10", "2026-02-15", "2026-02-20", "2026-03"}),
        ("gt", {"2026-01", "2026-02-01", "2026-02-10", "2026-02-15"}),
        ("lt", {"2026-02-15", "2026-02-20", "2026-03"}),
        ("ge", {"2026-01", "2026-02-01", "2026-02-10", "2026-02-15", "2026-02", "2026"}),
        ("le", {"2026-02-15", "2026-02-20", "2026-03", "2026-02", "2026"}),
        ("sa", {"2026-01", "2026-02-01"}),
        ("eb", {"2026-03"}),
    ],
)
def test_each_prefix_against_a_period(prefix: str, found: set[str]) -> None:
    searched = {"2026-01", "2026-02-01", "2026-02-10", "2026-02-15", "2026-02-20", "2026-03", "2026-02", "2026"}
    assert {text for text in searched if finds(PERIOD, ("date", prefix + text))} == found


@pytest.mark.parametrize(
    ("period", "prefix", "found"),
    [
        ({"start": "2026-02-10"}, "eq", False),
        ({"start": "2026-02-10"}, "ne", True),
        ({"start": "2026-02-10"}, "gt", True),
        ({"start": "2026-02-10"}, "lt", False),
        ({"start": "2026-02-10"}, "eb", False),
        ({"start": "2026-02-10"}, "sa", False),
        ({"start": "2026-02-10"}, "ap", True),
        ({"end": "2026-02-10"}, "eq", False),
        ({"end": "2026-02-10"}, "lt", True),
        ({"end": "2026-02-10"}, "gt", False),
        ({"end": "2026-02-10"}, "sa", False),
        ({"end": "2026-02-10"}, "ap", True),
        ({"start": "2026-03-10"}, "sa", True),
        ({"end": "2026-01-10"}, "eb", True),
        (None, "ne", False),
        (None, "eq", False),
    ],
)
def test_a_period_without_a_start_or_end_has_no_limit_there(
    period: dict[str, str] | None, prefix: str, found: bool
) -> None:
    episode = {"resourceType": "EpisodeOfCare", "id": "c2"} | ({"period": period} if period else {})
    assert finds(episode, ("date", f"{prefix}2026-02")) is found


def test_approximately_is_wider_the_further_away() -> None:
    old = {"resourceType": "Patient", "id": "p2", "birthDate": "1970-05-01"}
    assert finds(old, ("birthdate", "ap1972"))
    assert not finds(old, ("birthdate", "ap1990"))
    recent = STUDY | {"started": "2026-02-03"}
    assert not finds(recent, ("started", "ap2026-02-20"))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("family", "o'neill", True),
        ("family", "ONEILL TEST", True),
        ("family", "test", False),
        ("family:contains", "test", True),
        ("family:exact", "O'Néill-Test", True),
        ("family:exact", "O'Neill-Test", False),
        ("name", "ada", True),
        ("given", "ad", True),
        ("given", "da", False),
        ("active:missing", "true", True),
        ("deceased", "false", True),
        ("deceased:missing", "false", True),
        ("birthdate", "1970", True),
        ("birthdate", "1970-05-01", False),
        ("birthdate", "ge1970-05-01", True),
        ("general-practitioner:identifier", "http://ods|A1", True),
        ("general-practitioner:identifier", "A1", True),
        ("general-practitioner:identifier", "http://other|A1", False),
        ("general-practitioner", "Organization/A1", False),
        ("general-practitioner:missing", "false", True),
        ("identifier", f"{NHS}|999 123 4567", True),
    ],
)
def test_a_condition_on_a_patient(name: str, value: str, found: bool) -> None:
    assert finds(PATIENT, (name, value)) is found


def test_all_conditions_are_to_hold() -> None:
    assert finds(STUDY, ("status", "available"), ("modality", "CT"))
    assert not finds(STUDY, ("status", "available"), ("modality", "MR"))
    assert finds(STUDY)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("patient.identifier", f"{NHS}|9991234567", True),
        ("patient.identifier", f"{NHS}|9991234568", False),
        ("subject:Patient.name", "ada", True),
        ("endpoint.organization.name", "first", True),
        ("endpoint.organization.name", "second", False),
        ("performer.name", "ada", False),
        ("_has:DiagnosticReport:study:status", "final", True),
        ("_has:DiagnosticReport:study:status", "partial", False),
    ],
)
def test_a_condition_on_what_a_study_refers_to(name: str, value: str, found: bool) -> None:
    assert finds(STUDY, (name, value)) is found


def test_has_looks_back_through_two_references() -> None:
    assert finds(PATIENT, ("_has:ImagingStudy:patient:_has:DiagnosticReport:study:status", "final"))
    assert not finds(PATIENT, ("_has:ImagingStudy:patient:_has:DiagnosticReport:study:status", "partial"))
    assert finds(ORGANIZATION, ("_has:Endpoint:organization:_has:ImagingStudy:endpoint:patient.family", "oneill"))


def test_what_the_caller_may_not_see_is_no_match() -> None:
    blind = Region(STUDY)
    assert not finds(STUDY, ("patient.identifier", f"{NHS}|9991234567"), region=blind)
    assert not finds(STUDY, ("patient.active:missing", "true"), region=blind)
    assert not finds(STUDY, ("_has:DiagnosticReport:study:status", "final"), region=blind)


def test_text_without_a_code_is_found_by_text_alone() -> None:
    assert finds(REPORT, ("code:text", "ct of"))
    assert finds(REPORT, ("code:missing", "false"))
    assert not finds(REPORT, ("code", "CT of the head"))


def test_a_reference_elsewhere_is_found_by_its_url() -> None:
    study = STUDY | {"endpoint": [{"reference": "https://other.example/fhir/Endpoint/e9/_history/1"}]}
    assert finds(study, ("endpoint", "https://other.example/fhir/Endpoint/e9"))
    assert not finds(study, ("endpoint", "e9"))


def test_a_compartment_holds_what_is_about_the_patient_and_the_patient() -> None:
    for resource in (STUDY, PATIENT):
        query = parse(resource["resourceType"], [], at=NOW, compartment=("Patient", "p1"))
        assert matches(resource, query.where)
        query = parse(resource["resourceType"], [], at=NOW, compartment=("Patient", "p2"))
        assert not matches(resource, query.where)


def study(id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": "ImagingStudy", "id": id, **elements}


def order(kind: str, keys: str, *resources: dict[str, Any]) -> str:
    return "".join(one["id"] for one in in_order(resources, parse(kind, [("_sort", keys)], at=NOW).sort))


def test_the_order_is_by_several_keys_and_what_has_no_value_comes_last() -> None:
    a = study("a", status="available", started="2026-01-02")
    b = study("b", status="available", started="2026-01-01")
    c = study("c", status="registered")
    d = study("d", status="cancelled", started="2026-01-03")
    assert order("ImagingStudy", "started", a, b, c, d) == "badc"
    assert order("ImagingStudy", "-started", a, b, c, d) == "dabc"
    assert order("ImagingStudy", "status,-started", a, b, c, d) == "abdc"
    assert order("ImagingStudy", "-_id", a, b, c, d) == "dcba"


def test_of_several_values_the_least_or_the_greatest_counts() -> None:
    a = study("a", modality=[{"code": "CT"}, {"code": "US"}])
    b = study("b", modality=[{"code": "MR"}])
    assert order("ImagingStudy", "modality", b, a) == "ab"
    assert order("ImagingStudy", "-modality", b, a) == "ab"


@pytest.mark.parametrize(
    "name", ["identifier", "patient", "number-of-instances", "_profile", "description", "endpoint"]
)
def test_there_is_a_key_for_every_kind_of_parameter(name: str) -> None:
    (sort,) = parse("ImagingStudy", [("_sort", name)], at=NOW).sort
    assert (sort_key(STUDY, sort, base_url=BASE) is None) == (name == "description")


def test_an_open_period_comes_first_among_the_latest() -> None:
    episodes = [
        {"resourceType": "EpisodeOfCare", "id": "a", "period": {"start": "2026-01-01", "end": "2026-02-01"}},
        {"resourceType": "EpisodeOfCare", "id": "b", "period": {"start": "2026-01-02"}},
        {"resourceType": "EpisodeOfCare", "id": "c", "period": {"end": "2020-01-01"}},
    ]
    assert order("EpisodeOfCare", "-date", *episodes) == "bac"
    assert order("EpisodeOfCare", "date", *episodes) == "cab"
