"""Each element of a Consent provision as the condition that it is: true, false, or unknown of a study (README.md, 4.7, P13)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.fhir.temporal import interval
from app.policy import coding, criteria
from app.policy.criteria import Criteria, Reader
from app.policy.model import Study
from app.policy.predicate import FALSE, TRUE, UNKNOWN, evaluate
from app.policy.provision import UNRESOLVED, Actor

ZONE, SCT = "Europe/London", "http://snomed.info/sct"
KNOWN = {
    name: name for name in ("Practitioner/d", "Practitioner/e", "Device/v", "http://else.example/Practitioner/d")
} | {"Organization/a": "ods:A", "Organization/b": "ods:B", "identifier:urn:n|7": "ods:A"}
INSIDE = {"o": {"identifier": [{"system": "urn:n", "value": "7"}]}}
READER = Reader(KNOWN.get, ZONE, "Patient/p", INSIDE)
R, MH = f"{coding.CONFIDENTIALITY}|R", f"{coding.ACT_CODE}|MH"
STUDY = Study(
    "ImagingStudy/s",
    "Patient/p",
    started=interval("2026-03-05", ZONE),
    facts={
        "modality": frozenset({f"{coding.DCM}|CT"}),
        "code": frozenset({f"{SCT}|77477000"}),
        "site": frozenset({f"{SCT}|69536005"}),
        "label": frozenset({R, MH}),
        "author": frozenset({"Practitioner/d", "ods:A"}),
        "related": frozenset({"Encounter/n", "?EpisodeOfCare"}),
        "class": frozenset(
            {f"{coding.RESOURCE_TYPES}|ImagingStudy", f"{coding.URI}|urn:oid:1.2", "identifier:urn:i|1"}
        ),
    },
)


def c(system: str | None, code: str) -> dict[str, Any]:
    return {"code": code} | ({"system": system} if system else {})


def cc(system: str | None, code: str) -> dict[str, Any]:
    return {"coding": [c(system, code)]}


def data(meaning: str, **reference: Any) -> dict[str, Any]:
    return {"meaning": meaning, "reference": reference}


Row = tuple[str, Any, bool | None]
OF_THE_STUDY: list[Row] = [
    ("action", cc(None, "access"), True),
    ("action", cc(coding.CONSENT_ACTION, "disclose"), True),
    ("action", cc(None, "collect"), False),
    ("action", cc("urn:own", "access"), None),
    ("code", cc(coding.DCM, "CT"), True),
    ("code", cc(None, "CT"), True),
    ("code", cc(None, "MR"), False),
    ("code", cc("urn:own", "CT"), False),
    ("code", cc(None, "77477000"), None),
    ("code", cc(SCT, "77477000"), True),
    ("code", cc(SCT, "69536005"), True),
    ("code", cc(SCT, "1"), False),
    ("code", {"text": "CT"}, None),
    ("class", c(coding.RESOURCE_TYPES, "ImagingStudy"), True),
    ("class", c(None, "ImagingStudy"), True),
    ("class", c(None, "DiagnosticReport"), False),
    ("class", c(None, "Patient"), None),
    ("class", c(coding.RESOURCE_TYPES, "Resource"), True),
    ("class", c(coding.RESOURCE_TYPES, "Patient"), False),
    ("class", c(coding.URI, "urn:oid:1.2"), True),
    ("class", c(coding.URI, "urn:oid:1.3"), False),
    ("class", c(coding.DCM, "CT"), True),
    ("class", c(coding.DCM, "MR"), False),
    ("class", c(SCT, "77477000"), True),
    ("class", c(SCT, "1"), None),
    ("dataPeriod", {"start": "2026-03-05"}, True),
    ("dataPeriod", {"start": "2026-03-06"}, False),
    ("dataPeriod", {"end": "2026-03-05"}, True),
    ("dataPeriod", {"end": "2026-03-04"}, False),
    ("dataPeriod", {"start": "soon"}, None),
    ("dataPeriod", {}, None),
    ("dataPeriod", "always", None),
    ("data", data("instance", reference="ImagingStudy/s"), True),
    ("data", data("instance", reference="ImagingStudy/s/_history/2"), True),
    ("data", data("instance", reference="ImagingStudy/t"), False),
    ("data", data("instance", reference="https://else.example/ImagingStudy/s"), None),
    ("data", data("instance", reference="Encounter/n"), False),
    ("data", data("instance", reference="urn:uuid:1"), None),
    ("data", data("instance", reference="Encounter"), None),
    ("data", data("instance", identifier={"system": "urn:i", "value": "1"}), True),
    ("data", data("instance", identifier={"system": "urn:i", "value": "2"}), False),
    ("data", data("related", reference="Encounter/n"), True),
    ("data", data("related", reference="Encounter/m"), False),
    ("data", data("related", reference="EpisodeOfCare/e"), None),
    ("data", data("related", reference="Patient/p"), True),
    ("data", data("related", reference="Patient/q"), None),
    ("data", data("authoredby", reference="Practitioner/d"), True),
    ("data", data("authoredby", reference="Practitioner/e"), False),
    ("data", data("authoredby", reference="Organization/b"), False),
    ("data", data("authoredby", reference="Practitioner/gone"), None),
    ("data", data("instance", reference="ImagingStudy/s") | {"modifierExtension": []}, None),
    ("data", data("else", reference="ImagingStudy/s"), None),
]  # fmt: skip


@pytest.mark.parametrize(("element", "value", "says"), OF_THE_STUDY, ids=lambda value: str(value)[:60])
def test_an_element_says_yes_no_or_unknown_of_a_study(element: str, value: Any, says: bool | None) -> None:
    stated = value if element == "dataPeriod" else [value]
    read = criteria.read({"type": "deny", element: stated}, False, READER)
    assert evaluate(read.study, STUDY) is says


@pytest.mark.parametrize("element", [*criteria.ELEMENTS, "unheardOf"])
def test_an_element_that_cannot_be_read_is_unknown_and_never_absent(element: str) -> None:
    assert criteria.read({element: []}, True, READER).study == UNKNOWN
    assert criteria.read({f"_{element}": {}}, True, READER).study == UNKNOWN


def test_a_known_element_with_notes_of_its_own_is_read_as_itself() -> None:
    assert criteria.read({"type": "deny", "_type": {"id": "x"}, "id": "y"}, True, READER).study == TRUE


@pytest.mark.parametrize(
    ("label", "denies", "permits"),
    [
        (c(coding.CONFIDENTIALITY, "N"), True, False),
        (c(None, "N"), True, False),
        (c(coding.CONFIDENTIALITY, "R"), True, True),
        (c(coding.CONFIDENTIALITY, "V"), False, True),
        (c(coding.CONFIDENTIALITY, "Z"), None, None),
        (c(None, "MH"), None, None),
        (c(coding.ACT_CODE, "MH"), True, True),
        (c(coding.ACT_CODE, "BH"), True, True),
        (c(coding.ACT_CODE, "HIV"), False, False),
        (c("urn:own", "BH"), False, False),
    ],
)
def test_a_refusal_reaches_labels_above_and_a_permission_labels_below(
    label: dict[str, Any], denies: bool | None, permits: bool | None
) -> None:
    read = (criteria.read({"securityLabel": [label]}, permit, READER).study for permit in (False, True))
    assert [evaluate(one, STUDY) for one in read] == [denies, permits]


def test_a_narrower_label_may_be_what_the_broader_one_means() -> None:
    wanted = criteria.read({"securityLabel": [c(coding.ACT_CODE, "SUD")]}, True, READER).study
    held = replace(STUDY, facts={"label": frozenset({f"{coding.ACT_CODE}|BH"})})
    assert [evaluate(wanted, one) for one in (STUDY, held)] == [False, None]
    assert criteria.read({"action": [cc(None, "collect")]}, True, READER).study == FALSE


LOW, HIGH = interval("2026-03-01", ZONE)[0], interval("2026-03-09", ZONE)[1]


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        ({}, (None, None, True)),
        ({"period": {"start": "2026-03-01"}}, (LOW, None, True)),
        ({"period": {"end": "2026-03-09"}}, (None, HIGH, True)),
        ({"period": {"start": "2026-03-01", "end": "2026-03-09"}}, (LOW, HIGH, True)),
        ({"period": {"start": "soon"}}, (None, None, False)),
        ({"period": {"start": "2026-03-02", "end": "2026-03-01"}}, (None, None, False)),
        ({"period": {"start": "2026-03-10T10:00:00Z", "end": "2026-03-10T09:59:59Z"}}, (None, None, False)),
        ({"period": {}}, (None, None, False)),
        ({"period": "always"}, (None, None, False)),
    ],
)
def test_a_period_holds_its_last_day(stated: dict[str, Any], read: tuple[int | None, int | None, bool]) -> None:
    assert criteria.period(stated, ZONE) == read
    assert criteria.read(stated, True, READER) == Criteria(read[0], read[1], None, None, TRUE if read[2] else UNKNOWN)


@pytest.mark.parametrize(
    ("actor", "means"),
    [
        ({"reference": {"reference": "Organization/a"}}, Actor("ods:A")),
        ({"reference": {"reference": "Practitioner/d/_history/1"}}, Actor("Practitioner/d")),
        ({"reference": {"reference": "Device/v"}}, Actor("Device/v")),
        ({"reference": {"reference": "#o"}}, Actor("ods:A")),
        ({"reference": {"identifier": {"system": "urn:n", "value": "7"}}}, Actor("ods:A")),
        ({"reference": {"reference": "http://else.example/Practitioner/d"}}, Actor(UNRESOLVED)),
        ({"reference": {"reference": "Organization/gone"}}, Actor(UNRESOLVED)),
        ({"reference": {"reference": "Device"}}, Actor(UNRESOLVED)),
        ({"role": cc(None, "clerical")}, Actor(None, frozenset({"clerical"}))),
        (
            {"role": cc("urn:own", "clerical"), "reference": {"reference": "Organization/a"}},
            Actor("ods:A", frozenset({"clerical"})),
        ),
        ({"role": cc(f"{criteria.HL7}v3-RoleCode", "PRCP"), "reference": {"reference": "Device/v"}}, Actor("Device/v")),
        ({"role": cc("urn:own", "cook"), "reference": {"reference": "Device/v"}}, Actor(UNRESOLVED)),
        ({"role": {"text": "cook"}, "reference": {"reference": "Device/v"}}, Actor(UNRESOLVED)),
        ({"reference": {"reference": "Device/v"}, "modifierExtension": []}, Actor(UNRESOLVED)),
        ("Device/v", Actor(UNRESOLVED)),
    ],
)
def test_an_actor_is_whom_the_register_knows_or_somebody_who_cannot_be_told(actor: object, means: Actor) -> None:
    assert criteria.read({"actor": [actor]}, True, READER).actors == (means,)
    assert criteria.read({"actor": []}, True, READER).actors == (Actor(UNRESOLVED),)


@pytest.mark.parametrize(
    ("stated", "codes", "study"),
    [
        ([c(None, "TREAT"), c(coding.ACT_REASON, "BTG")], {"TREAT", "BTG"}, TRUE),
        ([c("urn:own", "TREAT")], None, UNKNOWN),
        ([c(None, "TREAT"), {"display": "x"}], None, UNKNOWN),
        ([], None, UNKNOWN),
    ],
)
def test_a_purpose_that_cannot_be_read_may_be_any(stated: Any, codes: set[str] | None, study: Any) -> None:
    read = criteria.read({"purpose": stated}, True, READER)
    assert (read.purposes, read.study) == (None if codes is None else frozenset(codes), study)
