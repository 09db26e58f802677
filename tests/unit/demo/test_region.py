"""The demo region: fictional throughout, whole, the same each time, and its story as the README tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from app.demo import people, story
from app.demo.region import region
from app.ingest.identity import nhs_number

AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    return region(AT)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def named(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def test_every_reference_leads_to_something_that_came_before(resources: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for resource in resources:
        assert set(references(resource)) <= seen
        assert named(resource) not in seen
        seen.add(named(resource))


def test_the_region_is_the_same_each_time_and_small(resources: list[dict[str, Any]]) -> None:
    assert region(AT) == resources
    assert len(resources) < 300


def test_every_nhs_number_is_valid_of_the_test_range_and_its_patient_s_alone() -> None:
    numbers = [patient["identifier"][0]["value"] for patient in region(AT, 200) if patient["resourceType"] == "Patient"]
    assert all(nhs_number(number) == number and number.startswith("999") for number in numbers)
    assert len(set(numbers)) == len(numbers) == 200 + len(people.PATIENTS)


def test_there_is_an_episode_in_every_status(resources: list[dict[str, Any]]) -> None:
    statuses = Counter(one["status"] for one in resources if one["resourceType"] == "EpisodeOfCare")
    assert set(statuses) == {"planned", "waitlist", "active", "onhold", "finished", "cancelled", "entered-in-error"}


def test_there_are_three_trusts_with_sites_and_an_archive_each(resources: list[dict[str, Any]]) -> None:
    kinds = Counter(one["type"][0]["coding"][0]["code"] for one in resources if one["resourceType"] == "Organization")
    assert kinds == {"RO261": 1, "RO197": 3, "RO198": 6}
    addresses = [one["address"] for one in resources if one["resourceType"] == "Endpoint"]
    assert len(addresses) == 3
    assert all(one.startswith("https://") and ".example/" in one for one in addresses)


def test_the_story_patient_is_treated_at_one_trust_and_has_a_study_at_each_of_the_others(
    resources: list[dict[str, Any]],
) -> None:
    patient = f"Patient/{story.STORY_PATIENT}"
    studies = [
        one for one in resources if one["resourceType"] == "ImagingStudy" and one["subject"]["reference"] == patient
    ]
    assert tuple(one["id"] for one in studies) == story.STORY_STUDIES
    archives = {one["endpoint"][0]["reference"] for one in studies}
    assert archives == {"Endpoint/birchwater-archive", "Endpoint/cedarholme-archive"}
    (episode,) = [one for one in resources if one["id"] == "hazel-at-alderbrook"]
    assert (episode["status"], episode["managingOrganization"]["reference"]) == ("active", "Organization/alderbrook")
    assert not [one for one in resources if one["resourceType"] == "Consent" and one["patient"]["reference"] == patient]


def test_names_are_plainly_fictional(resources: list[dict[str, Any]]) -> None:
    people_named = [one for one in resources if one["resourceType"] in ("Patient", "Practitioner")]
    assert {one["name"][0]["family"] for one in people_named} == {"Demo", "Example"}
    organisations = [one["name"] for one in resources if one["resourceType"] == "Organization"]
    assert all("(fictional)" in name for name in organisations)


def test_clients_and_log_ins_belong_to_organisations_of_the_region(resources: list[dict[str, Any]]) -> None:
    codes = {one["identifier"][0]["value"] for one in resources if one["resourceType"] == "Organization"}
    known = {named(one) for one in resources}
    assert {client.ods for client in story.CLIENTS} <= codes
    assert {login.organisation for login in story.LOGINS} - {None} <= codes
    for login in story.LOGINS:
        assert {login.practitioner, login.patient} - {None} <= known
