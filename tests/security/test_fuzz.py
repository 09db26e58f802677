"""Malformed requests to every parser, bounded: `python -m tests.security.fuzz` goes on for long."""

from __future__ import annotations

from random import Random

import pytest
from flask import Flask

from tests.security.fuzz import fuzzing
from tests.support.region import Caller, consent, study


@pytest.mark.attack(76, 77)
def test_malformed_requests_are_refused_in_words_quickly_and_leave_nothing(database_url: str) -> None:
    with fuzzing(database_url, Random(20260310)) as fuzzer:
        found = fuzzer.run(400)
    assert found.wrong == []
    assert found.status["400"] > 50 and found.status["200"] > 20
    assert {"401", "403", "404", "422", "file"} <= set(found.status)


@pytest.mark.attack(76)
@pytest.mark.parametrize("system", [[], {}, [["urn:dicom:uid"]], 1, None])
def test_an_identifiers_system_that_is_no_text_is_refused_at_its_place(
    app: Flask, steward: Caller, system: object
) -> None:
    """It was a failure of ours once: a list is no key of a table."""
    made = study()
    made["identifier"][0]["system"] = system
    for path in ("/ImagingStudy/$validate", "/ImagingStudy"):
        answer = steward.post(path, made)
        assert answer.status_code in (200, 400, 422)
        assert any("identifier[0].system" in str(one.get("expression")) for one in answer.json["issue"]), answer.text


@pytest.mark.attack(76)
@pytest.mark.parametrize("wrong", [[], {}, [["x"]], 1, None, "x"])
@pytest.mark.parametrize("member", ["system", "code"])
def test_a_coding_that_is_no_coding_is_told_of_and_is_no_failure(steward: Caller, member: str, wrong: object) -> None:
    made = study()
    made["series"][0]["modality"][member] = made["modality"][0][member] = wrong
    choice = consent()
    choice["scope"]["coding"][0][member] = wrong
    odd = consent(scope={"coding": wrong}) if member == "code" else consent(scope=wrong)
    for body in (made, choice, odd):
        answer = steward.post(f"/{body['resourceType']}/$validate", body)
        assert answer.status_code in (200, 400), answer.text
        if not isinstance(wrong, str):
            assert any(one["severity"] == "error" for one in answer.json["issue"]), answer.text


@pytest.mark.attack(76)
@pytest.mark.parametrize("wrong", ["1", [], {}, [1], 1.5, None, True, -1])
def test_a_number_of_instances_that_is_no_number_is_told_of_and_is_no_failure(steward: Caller, wrong: object) -> None:
    for place in ("numberOfInstances", "numberOfSeries"):
        made = study()
        made[place] = made["series"][0]["numberOfInstances"] = wrong
        answer = steward.post("/ImagingStudy", made)
        assert answer.status_code in (400, 422), (place, answer.text)
        assert "numberOf" in answer.text
