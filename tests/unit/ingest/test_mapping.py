"""DICOM to ImagingStudy, element by element. https://hl7.org/fhir/R4/imagingstudy-mappings.html#dicom"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts as dicom_concepts
from pydicom.sr.codedict import codes as dicom_codes

from app.fhir.study import DCM, STUDY_ORDER
from app.ingest import anatomy, codes, mapping
from app.ingest.source import Issuer, Source

Image = Callable[..., Dataset]


def study(source: Source, *datasets: Dataset) -> dict[str, Any]:
    return mapping.assemble([mapping.instance(dataset, source) for dataset in datasets], source).resource


def notes(source: Source, *datasets: Dataset) -> set[str]:
    return {note.element for note in mapping.assemble([mapping.instance(d, source) for d in datasets], source).notes}


def code(value: str, scheme: str, meaning: str, **more: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    for keyword, text in more.items():
        setattr(item, keyword, text)
    return item


def item(**elements: Any) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def test_the_least_image_makes_a_study(image: Image, source: Source) -> None:
    assert study(source, image()) == {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
        "status": "available",
        "modality": [{"system": DCM, "code": "CT"}],
        "endpoint": [{"reference": "Endpoint/archive"}],
        "numberOfSeries": 1,
        "numberOfInstances": 1,
        "series": [
            {
                "uid": "1.2.3.1",
                "modality": {"system": DCM, "code": "CT"},
                "numberOfInstances": 1,
                "instance": [
                    {
                        "uid": "1.2.3.1.1",
                        "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"},
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_an_image_without_one_of_its_uids_is_unusable(image: Image, source: Source, missing: str) -> None:
    with pytest.raises(mapping.Unusable, match=f"{missing} is missing"):
        mapping.instance(image(**{missing: None}), source)


@pytest.mark.parametrize("uid", ["1.2.x", "1..2", ".1", "1.2.", "1" * 65, "1.2\\1.3"])
def test_what_is_no_uid_is_unusable_and_not_quoted(image: Image, source: Source, uid: str) -> None:
    dataset = image(StudyInstanceUID=uid)
    with pytest.raises(mapping.Unusable) as caught:
        mapping.instance(dataset, source)
    assert uid not in str(caught.value)


def test_an_accession_number_carries_its_issuer_and_the_order_it_answers(image: Image, source: Source) -> None:
    found = study(source, image(AccessionNumber="A77"))
    accession = {
        "type": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN", "display": "Accession ID"}
            ]
        },
        "system": source.accession_system,
        "value": "A77",
        "assigner": {
            "type": "Organization",
            "identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "ZA1"},
        },
    }
    assert found["identifier"][1] == accession
    assert found["basedOn"] == [{"type": "ServiceRequest", "identifier": accession}]


def test_a_stranger_s_accession_number_does_not_make_the_archive_its_origin(image: Image, source: Source) -> None:
    issuer = item(UniversalEntityID="1.2.826.0.1.5", UniversalEntityIDType="ISO")
    found = study(source, image(AccessionNumber="A77", IssuerOfAccessionNumberSequence=[issuer]))
    assert found["identifier"][1]["system"] == "urn:oid:1.2.826.0.1.5"
    assert "assigner" not in found["identifier"][1]


def test_a_configured_issuer_names_the_organisation_that_issued_the_number(image: Image) -> None:
    source = Source("Endpoint/a", "Organization/o", "ZA1", "urn:x:a", issuers={"RISB": Issuer("urn:x:b", "ZB1")})
    issuer = item(LocalNamespaceEntityID="RISB")
    found = study(source, image(AccessionNumber="A77", IssuerOfAccessionNumberSequence=[issuer]))
    assert found["identifier"][1]["system"] == "urn:x:b"
    assert found["identifier"][1]["assigner"]["identifier"]["value"] == "ZB1"


def test_the_study_id_is_an_identifier_too(image: Image, source: Source) -> None:
    assert study(source, image(StudyID="9"))["identifier"][1] == {
        "use": "secondary", "system": source.study_id_system, "value": "9",
    }  # fmt: skip


def test_order_numbers_with_a_universal_issuer_are_references_to_the_order(image: Image, source: Source) -> None:
    request = item(
        PlacerOrderNumberImagingServiceRequest="P1",
        OrderPlacerIdentifierSequence=[item(UniversalEntityID="1.2.9", UniversalEntityIDType="ISO")],
        FillerOrderNumberImagingServiceRequest="F1",
    )
    dataset = image(ReferencedRequestSequence=[request])
    (reference,) = study(source, dataset)["basedOn"]
    assert reference["identifier"]["system"] == "urn:oid:1.2.9"
    assert reference["identifier"]["type"]["coding"][0]["code"] == "PLAC"
    assert notes(source, dataset) == {"FillerOrderNumberImagingServiceRequest"}


def test_modalities_that_describe_other_images_stay_at_their_series(image: Image, source: Source) -> None:
    found = study(
        source,
        image(),
        *(
            image(SeriesInstanceUID=f"1.2.3.{n}", SOPInstanceUID=f"1.2.3.{n}.1", Modality=name)
            for n, name in enumerate(["SR", "KO", "PR", "SEG", "RTSTRUCT", "DOC", "REG", "PT"], start=2)
        ),
    )
    assert [one["code"] for one in found["modality"]] == ["CT", "PT"]
    assert found["numberOfSeries"] == 9


def test_a_study_of_derived_series_alone_has_no_modality_of_its_own(image: Image, source: Source) -> None:
    assert "modality" not in study(source, image(Modality="SR"))


@pytest.mark.parametrize("stated", [None, "", "XYZ"])
def test_an_unknown_modality_is_said_to_be_unknown_and_not_guessed(
    image: Image, source: Source, stated: str | None
) -> None:
    dataset = image(Modality=stated)
    found = study(source, dataset)
    assert "modality" not in found
    assert found["series"][0]["modality"] == codes.UNKNOWN
    assert notes(source, dataset) == {"Modality"}


def test_the_modalities_known_are_those_of_cid_33() -> None:
    assert {getattr(dicom_codes.cid33, name).value for name in dicom_codes.cid33.dir()} == codes.MODALITIES


def test_every_body_part_has_a_code_that_dicom_knows() -> None:
    known = {value for meanings in dicom_concepts["SCT"].values() for value in meanings}
    assert {value for value, _ in anatomy.ANATOMY.values()} - known == set()


@pytest.mark.parametrize("term", ["WHOLEBODY", "WHOLE BODY", "whole_body"])
def test_a_body_part_becomes_snomed_ct(image: Image, source: Source, term: str) -> None:
    site = study(source, image(BodyPartExamined=term))["series"][0]["bodySite"]
    assert site == {"system": codes.SCT, "code": "38266002", "display": "Entire body"}


def test_a_body_part_that_is_no_term_is_left_out_and_noted(image: Image, source: Source) -> None:
    dataset = image(BodyPartExamined="TUMMY")
    assert "bodySite" not in study(source, dataset)["series"][0]
    assert notes(source, dataset) == {"BodyPartExamined"}


@pytest.mark.parametrize(
    ("keyword", "value", "expected"), [("Laterality", "R", "24028007"), ("ImageLaterality", "L", "7771000")]
)
def test_the_side_comes_from_the_series_or_the_image(
    image: Image, source: Source, keyword: str, value: str, expected: str
) -> None:
    assert study(source, image(**{keyword: value}))["series"][0]["laterality"]["code"] == expected


@pytest.mark.parametrize(
    ("value", "expected", "noted"),
    [
        ("7", 7, False),
        ("-1", None, True),
        ("2147483648", None, True),
        ("1.5", None, True),
        ("", None, False),
        ("x", None, True),
    ],
)
def test_a_number_is_unsigned_or_left_out(
    image: Image, source: Source, value: str, expected: int | None, noted: bool
) -> None:
    dataset = image()
    dataset.add_new("SeriesNumber", "LO", value)
    assert study(source, dataset)["series"][0].get("number") == expected
    assert notes(source, dataset) == ({"SeriesNumber"} if noted else set())


def test_the_time_of_a_study_has_the_archive_s_offset_and_never_z(image: Image, source: Source) -> None:
    found = study(source, image(StudyDate="20260710", StudyTime="0915", SeriesDate="20260710", SeriesTime="091601.5"))
    assert found["started"] == "2026-07-10T09:15:00+01:00"
    assert found["series"][0]["started"] == "2026-07-10T09:16:01.5+01:00"


def test_a_date_alone_stays_a_date(image: Image, source: Source) -> None:
    assert study(source, image(StudyDate="20260710"))["started"] == "2026-07-10"


def test_a_wrong_date_is_left_out_and_noted(image: Image, source: Source) -> None:
    dataset = image()
    dataset.add_new("StudyDate", "LO", "soon")
    assert "started" not in study(source, dataset)
    assert notes(source, dataset) == {"StudyDate"}


def test_codes_of_known_schemes_are_codings_and_others_are_text(image: Image, source: Source) -> None:
    dataset = image(
        ProcedureCodeSequence=[code("77477000", "SCT", "CT"), code("XCT1", "99LOCAL", "CT of something")],
        ReasonForRequestedProcedureCodeSequence=[code("X1", "99OWN", "Pain", CodingSchemeUID="1.2.77")],
    )
    found = study(source, dataset)
    assert found["procedureCode"] == [
        {"coding": [{"system": codes.SCT, "code": "77477000", "display": "CT"}], "text": "CT"},
        {"text": "CT of something"},
    ]
    assert found["reasonCode"][0]["coding"][0]["system"] == "urn:oid:1.2.77"
    assert notes(source, dataset) == {"ProcedureCodeSequence"}


def test_a_scheme_that_the_image_defines_is_known(image: Image, source: Source) -> None:
    scheme = item(CodingSchemeDesignator="99LOCAL", CodingSchemeUID="1.2.5")
    dataset = image(
        CodingSchemeIdentificationSequence=[scheme], ProcedureCodeSequence=[code("XCT1", "99LOCAL", "CT of something")]
    )
    assert study(source, dataset)["procedureCode"][0]["coding"][0]["system"] == "urn:oid:1.2.5"


def test_the_reason_may_stand_in_the_request_attributes(image: Image, source: Source) -> None:
    request = item(ReasonForTheRequestedProcedure="Cough")
    assert study(source, image(RequestAttributesSequence=[request]))["reasonCode"] == [{"text": "Cough"}]


def test_people_are_names_alone_unless_an_identification_resolves(image: Image, source: Source) -> None:
    found = study(
        source,
        image(
            ReferringPhysicianName="Example^Avocet^^Dr",
            NameOfPhysiciansReadingStudy=["Example^Bittern", "Example^Curlew"],
            PerformingPhysicianName="Example^Dunlin",
            OperatorsName=["Example^Egret"],
        ),
    )
    assert found["referrer"] == {"display": "Dr Avocet Example"}
    assert found["interpreter"] == [{"display": "Bittern Example"}, {"display": "Curlew Example"}]
    performers = found["series"][0]["performer"]
    assert [one["function"]["coding"][0]["code"] for one in performers] == ["PRF", "SPRF"]
    assert [one["actor"] for one in performers] == [{"display": "Dunlin Example"}, {"display": "Egret Example"}]


def test_an_identified_referrer_is_a_reference_by_identifier(image: Image) -> None:
    gmc = "https://fhir.hl7.org.uk/Id/gmc-number"
    source = Source("Endpoint/a", "Organization/o", "ZA1", "urn:x:a", coding_schemes={"99GMC": gmc})
    who = item(PersonIdentificationCodeSequence=[code("7654321", "99GMC", "number")])
    found = study(
        source, image(ReferringPhysicianName="Example^Avocet", ReferringPhysicianIdentificationSequence=[who])
    )
    assert found["referrer"] == {
        "type": "Practitioner",
        "identifier": {"system": gmc, "value": "7654321"},
        "display": "Avocet Example",
    }


def test_only_listed_elements_are_carried_over(image: Image, source: Source) -> None:
    dataset = image(PatientAddress="1 Somewhere", PatientComments="secret", ImageComments="secret")
    dataset.add_new(0x00091001, "LO", "secret")
    assert "secret" not in str(study(source, dataset))
    assert "PatientName" in mapping.TAGS and "PatientAddress" not in mapping.TAGS


def test_control_characters_and_blanks_do_not_reach_fhir(image: Image, source: Source) -> None:
    dataset = image()
    dataset.add_new("StudyDescription", "LO", "  head\x00 \x1b and\n neck ")
    dataset.add_new("SeriesDescription", "LO", " \x00 ")
    found = study(source, dataset)
    assert found["description"] == "head and neck"
    assert "description" not in found["series"][0]


def test_series_and_instances_are_in_the_order_of_their_numbers_whatever_the_order_of_files(
    image: Image, source: Source
) -> None:
    images = [
        image(SeriesInstanceUID=f"1.2.3.{s}", SeriesNumber=9 - s, SOPInstanceUID=f"1.2.3.{s}.{i}", InstanceNumber=9 - i)
        for s in range(3)
        for i in range(3)
    ]
    forward, backward = study(source, *images), study(source, *reversed(images))
    assert forward == backward
    assert [one["number"] for one in forward["series"]] == [7, 8, 9]
    assert [one["number"] for one in forward["series"][0]["instance"]] == [7, 8, 9]
    assert (forward["numberOfSeries"], forward["numberOfInstances"]) == (3, 9)


def test_elements_are_in_the_order_of_the_definition(image: Image, source: Source) -> None:
    found = study(source, image(AccessionNumber="1", StudyDescription="d", StudyDate="20260101", StudyID="1"))
    assert list(found) == [name for name in STUDY_ORDER if name in found]


def test_images_that_disagree_are_noted_and_the_first_is_believed(image: Image, source: Source) -> None:
    one = image(StudyDescription="right", InstanceNumber=1)
    other = image(StudyDescription="wrong", InstanceNumber=2, SOPInstanceUID="1.2.3.1.2")
    assert study(source, other, one)["description"] == "right"
    assert notes(source, one, other) == {"description"}


def test_images_that_disagree_on_the_patient_s_birth_date_are_disputed(image: Image, source: Source) -> None:
    one = image(PatientBirthDate="19700101")
    other = image(PatientBirthDate="19700102", SOPInstanceUID="1.2.3.1.2")
    assert mapping.assemble([mapping.instance(d, source) for d in (one, other)], source).person.disputed


def test_the_same_image_twice_counts_once(image: Image, source: Source) -> None:
    assert study(source, image(), image())["numberOfInstances"] == 1
