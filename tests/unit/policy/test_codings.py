"""Codes, scopes and policy domains as they are read: one spelling of each system, and `?` for what cannot be read (P13)."""

from __future__ import annotations

from typing import Any

import pytest

from app.policy import coding, scope
from app.policy.switches import load


@pytest.mark.parametrize(
    ("concept", "read"),
    [
        ({"coding": [{"system": coding.DCM, "code": "CT"}, {"code": " MR "}]}, [(coding.DCM, "CT"), (None, "MR")]),
        ({"system": "http://nema.org/dicom/dicm", "code": "CT"}, [(coding.DCM, "CT")]),
        ({"coding": {"code": "CT"}}, [(None, "CT")]),
        ({"coding": [{"code": ""}, {"code": 7}, "CT"]}, []),
        ({"text": "CT"}, []),
        ("CT", []),
    ],
)
def test_a_concept_is_read_as_its_codings(concept: object, read: list[tuple[str | None, str]]) -> None:
    assert list(coding.codings(concept)) == read


def test_an_element_is_listed_whether_it_repeats_or_not() -> None:
    assert [coding.listed(one) for one in (None, "a", ["a", "b"])] == [[], ["a"], ["a", "b"]]


def test_only_a_bare_code_that_dicom_knows_is_taken_for_a_modality_of_dicom() -> None:
    concepts = [{"code": "CT"}, {"code": "XYZ"}, {"system": "urn:own", "code": "MR"}, {"text": "US"}]
    assert coding.modality(concepts) == {f"{coding.DCM}|CT", "|XYZ", "urn:own|MR", "?"}


def test_a_purpose_stands_under_the_broader_and_above_the_narrower_ones() -> None:
    assert coding.broader("BTG", coding.BROADER_PURPOSE) == ["BTG", "ETREAT", "TREAT", "PurposeOfUse"]
    assert coding.broader("HRESCH", coding.BROADER_PURPOSE) == ["HRESCH"]
    assert coding.narrower("SUD", coding.BROADER_LABEL) == ["SUD", "ETHUD", "OPIOIDUD"]
    assert coding.narrower("ETHUD", coding.BROADER_LABEL) == ["ETHUD"]


@pytest.mark.parametrize(
    ("codes", "concerns"),
    [
        (["patient-privacy"], True),
        (["research", "patient-privacy"], True),
        (["research"], False),
        (["adr", "treatment"], False),
        (["research", "else"], None),
        ([], None),
    ],
)
def test_a_scope_that_cannot_be_told_is_no_reason_to_overlook_a_refusal(
    codes: list[str], concerns: bool | None
) -> None:
    assert scope.concerns_privacy({"coding": [{"code": code} for code in codes]}) is concerns


@pytest.mark.parametrize(
    ("stated", "domain", "applies"),
    [
        ({}, (), True),
        ({"policy": [{"uri": "urn:ours"}]}, ("urn:ours",), True),
        ({"policy": [{"authority": "urn:theirs"}]}, ("urn:theirs",), False),
        ({"policy": [{"uri": "urn:theirs"}, {"uri": "urn:ours"}]}, ("urn:ours", "urn:theirs"), True),
        ({"policy": [{"uri": "urn:theirs"}, "x"]}, ("?", "urn:theirs"), True),
        ({"policy": []}, ("?",), True),
    ],
)
def test_a_choice_acts_under_our_policy_under_none_and_under_one_that_cannot_be_read(
    stated: dict[str, Any], domain: tuple[str, ...], applies: bool
) -> None:
    assert scope.domain_of(stated) == domain
    assert scope.applies(domain, load('domains = ["urn:ours"]')) is applies
    assert scope.applies(domain, load(""))
