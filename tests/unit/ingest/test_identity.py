"""Whose images these are: identifiers stated, and the one patient that they lead to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from app.fhir.identifier import NHS_NUMBER
from app.ingest import identity
from app.ingest.identity import Identifier, Known, Matched, Person, Unmatched
from app.ingest.reading import Reader
from app.ingest.source import Issuer, Source


def stated(dataset: Dataset, source: Source) -> tuple[Person, Reader]:
    reader = Reader(dataset)
    return identity.person(reader, source), reader


NUMBER = next(n for n in (f"99900010{i:02d}" for i in range(100)) if identity.nhs_number(n))


@pytest.mark.parametrize(
    "text",
    [
        "9990001040",
        "1111111111",
        "0000000000",
        "999000104",
        "99900010411",
        "999000104X",
        "\uff19\uff19\uff19\uff10\uff10\uff10\uff11\uff10\uff14\uff11",
        "",
    ],
)
def test_what_fails_modulus_eleven_or_repeats_one_digit_is_no_nhs_number(text: str) -> None:
    assert identity.nhs_number(text) is None or text == NUMBER


def test_spaces_and_dashes_in_an_nhs_number_are_only_how_it_is_shown() -> None:
    assert identity.nhs_number(f"{NUMBER[:3]} {NUMBER[3:6]} {NUMBER[6:]}") == NUMBER
    assert identity.nhs_number(f"{NUMBER[:3]}-{NUMBER[3:6]}-{NUMBER[6:]}") == NUMBER


@pytest.mark.parametrize("issuer", ["NHS", "nhs", "2.16.840.1.113883.2.1.4.1", NHS_NUMBER])
def test_a_number_issued_by_the_nhs_is_an_nhs_number_alone(
    image: Callable[..., Dataset], source: Source, issuer: str
) -> None:
    person, _ = stated(image(PatientID=NUMBER, IssuerOfPatientID=issuer), source)
    assert person.identifiers == (Identifier(NHS_NUMBER, NUMBER),)


def test_a_number_said_to_be_the_nhs_s_that_is_none_is_left_out_and_noted(
    image: Callable[..., Dataset], source: Source
) -> None:
    person, reader = stated(image(PatientID="12345", IssuerOfPatientID="NHS"), source)
    assert person.identifiers == ()
    assert [note.element for note in reader.notes] == ["PatientID"]


def test_a_number_without_an_issuer_may_be_either(image: Callable[..., Dataset], source: Source) -> None:
    person, _ = stated(image(PatientID=NUMBER), source)
    assert set(person.identifiers) == {Identifier(NHS_NUMBER, NUMBER), Identifier(str(source.patient_system), NUMBER)}


def test_a_local_number_that_happens_to_pass_the_check_stays_local_when_its_issuer_is_stated(
    image: Callable[..., Dataset], source: Source
) -> None:
    person, _ = stated(image(PatientID=NUMBER, IssuerOfPatientID="RIS"), source)
    assert person.identifiers == (Identifier(str(source.patient_system), NUMBER),)


def test_a_number_of_another_s_oid_is_not_the_archive_s(image: Callable[..., Dataset], source: Source) -> None:
    person, _ = stated(image(PatientID="M1", IssuerOfPatientID="1.2.826.0.1.99"), source)
    assert person.identifiers == (Identifier("urn:oid:1.2.826.0.1.99", "M1"),)


def test_a_configured_issuer_gives_its_system(image: Callable[..., Dataset]) -> None:
    source = Source(
        "Endpoint/a", "Organization/o", "ZA1", "urn:x:a", "urn:x:p", issuers={"OLDPAS": Issuer("urn:x:old")}
    )
    person, _ = stated(image(PatientID="M1", IssuerOfPatientID="OLDPAS"), source)
    assert person.identifiers == (Identifier("urn:x:old", "M1"),)


def test_other_patient_ids_count_only_with_an_issuer(image: Callable[..., Dataset], source: Source) -> None:
    with_issuer, without = Dataset(), Dataset()
    with_issuer.PatientID, with_issuer.IssuerOfPatientID = NUMBER, "NHS"
    without.PatientID = "77"
    person, reader = stated(image(OtherPatientIDsSequence=[with_issuer, without]), source)
    assert set(person.identifiers) == {Identifier(str(source.patient_system), "M1"), Identifier(NHS_NUMBER, NUMBER)}
    assert [note.element for note in reader.notes] == ["OtherPatientIDsSequence"]


P1 = Known("Patient/1", frozenset({Identifier(NHS_NUMBER, NUMBER), Identifier("urn:m", "M1")}), "1970-02-03", "female")
P2 = Known("Patient/2", frozenset({Identifier("urn:m", "M2")}), "1980-01-01", "male")


def person(*identifiers: Identifier, born: str | None = None, sex: str | None = None) -> Person:
    return Person(("", ""), identifiers, born, sex)


def test_a_known_number_leads_to_its_patient() -> None:
    assert identity.match(person(Identifier(NHS_NUMBER, NUMBER), born="1970-02-03", sex="female"), [P1]) == Matched(P1)


def test_a_birth_date_known_to_the_year_agrees_with_any_day_of_it() -> None:
    year = Known("Patient/1", P1.identifiers, "1970", None)
    assert identity.match(person(Identifier("urn:m", "M1"), born="1970-02-03"), [year]) == Matched(year)


@pytest.mark.parametrize(
    ("stated", "known", "code"),
    [
        (person(), [P1], "no-identifier"),
        (person(Identifier("urn:m", "M9")), [P1], "unknown-patient"),
        (person(Identifier("urn:m", "M1"), Identifier("urn:m", "M2")), [P1, P2], "several-patients"),
        (person(Identifier("urn:m", "M1"), born="1970-02-04"), [P1], "birth-date-mismatch"),
        (person(Identifier("urn:m", "M1"), sex="male"), [P1], "sex-mismatch"),
        (person(Identifier("urn:m", "M1"), Identifier(NHS_NUMBER, "9990000000")), [P1], "number-mismatch"),
        (Person(("", ""), (Identifier("urn:m", "M1"),), disputed=True), [P1], "images-disagree"),
    ],
)
def test_anything_less_than_one_patient_without_contradiction_waits(
    stated: Person, known: list[Known], code: str
) -> None:
    verdict = identity.match(stated, known)
    assert isinstance(verdict, Unmatched)
    assert verdict.code == code


def test_a_patient_resource_gives_what_matching_needs() -> None:
    found = identity.known(
        {
            "resourceType": "Patient",
            "id": "1",
            "identifier": [
                {"system": "urn:m", "value": "M1"},
                {"system": "urn:m", "value": "M0", "use": "old"},
                {"value": "no system"},
            ],
            "birthDate": "1970-02-03",
            "gender": "female",
        }
    )
    assert found == Known("Patient/1", frozenset({Identifier("urn:m", "M1")}), "1970-02-03", "female")
