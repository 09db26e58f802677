"""Late images, second archives, the archive's whole word, withdrawal; and what is never merged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from app.fhir import merging
from app.fhir.study import STUDY_ORDER, in_order
from app.ingest import mapping
from app.ingest.source import Source, of_organisation

A, B = "Endpoint/a", "Endpoint/b"
SOURCES = {A: of_organisation(A, "Organization/a", "ZA1"), B: of_organisation(B, "Organization/b", "ZB1")}


def made(endpoint: str, *names: tuple[int, int], patient: str = "Patient/1", **elements: Any) -> dict[str, Any]:
    """A study as the archive at `endpoint` tells it, of instances named by series and number."""
    found = []
    for series, number in names:
        dataset = Dataset()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2", f"1.2.{series}"
        dataset.SOPInstanceUID, dataset.SOPClassUID = f"1.2.{series}.{number}", "1.2.840.10008.5.1.4.1.1.2"
        dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", series, number
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        found.append(mapping.instance(dataset, SOURCES[endpoint]))
    resource = mapping.assemble(found, SOURCES[endpoint]).resource
    return in_order({**resource, "subject": {"reference": patient}}, STUDY_ORDER)


def endpoints(of: dict[str, Any]) -> list[str]:
    return [one["reference"] for one in of.get("endpoint", [])]


def test_a_late_image_is_added_and_the_counts_made_again() -> None:
    found = merging.merged(made(A, (1, 1)), made(A, (1, 2), (2, 1)), A)
    assert (found["numberOfSeries"], found["numberOfInstances"]) == (2, 3)
    assert [one["numberOfInstances"] for one in found["series"]] == [2, 1]
    assert found == made(A, (1, 1), (1, 2), (2, 1))


def test_the_same_again_changes_nothing() -> None:
    study = made(A, (1, 1), (2, 1), AccessionNumber="7", StudyDescription="head")
    assert merging.merged(study, study, A) == study
    assert merging.merged(study, study, A, whole=True) == study


instances = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=6, unique=True)


@settings(max_examples=50, deadline=None)
@given(instances, instances)
def test_the_order_in_which_parts_arrive_does_not_matter(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    first, second = made(A, *one), made(A, *other)
    assert merging.merged(first, second, A) == merging.merged(second, first, A) == made(A, *one, *other)


@settings(max_examples=50, deadline=None)
@given(instances, instances)
def test_merging_twice_is_merging_once(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    merged = merging.merged(made(A, *one), made(B, *other), B)
    assert merging.merged(merged, made(B, *other), B) == merged
    assert merging.merged(merged, made(A, *one), A) == merged


def test_a_second_archive_with_the_same_images_adds_its_endpoint_alone() -> None:
    found = merging.merged(made(A, (1, 1)), made(B, (1, 1)), B)
    assert endpoints(found) == [A, B]
    assert all("endpoint" not in one for one in found["series"])


def test_where_archives_hold_different_series_each_series_says_who_has_it() -> None:
    found = merging.merged(made(A, (1, 1), (2, 1)), made(B, (2, 1), (3, 1)), B)
    assert endpoints(found) == [A, B]
    assert [endpoints(one) for one in found["series"]] == [[A], [], [B]]


def test_the_first_archive_s_words_stay_when_a_second_says_otherwise() -> None:
    found = merging.merged(
        made(A, (1, 1), StudyDescription="head"), made(B, (1, 1), StudyDescription="neck"), B, whole=True
    )
    assert found["description"] == "head"


@pytest.mark.parametrize("known", [{}, {"AccessionNumber": "7"}])
def test_a_second_archive_s_accession_number_does_not_make_it_an_origin_of_the_study(known: dict[str, str]) -> None:
    first = made(A, (1, 1), **known)
    found = merging.merged(first, made(B, (1, 1), AccessionNumber="8"), B)
    assert found["identifier"] == first["identifier"]


def test_an_accession_number_that_comes_later_from_the_same_archive_is_taken() -> None:
    found = merging.merged(made(A, (1, 1)), made(A, (1, 1), AccessionNumber="8"), A)
    assert [one["value"] for one in found["identifier"]] == ["urn:oid:1.2", "8"]


def test_what_was_missing_is_filled_by_whoever_knows_it() -> None:
    assert merging.merged(made(A, (1, 1)), made(B, (1, 1), StudyDescription="neck"), B)["description"] == "neck"


def test_an_archive_s_whole_word_replaces_and_removes_what_it_said_before() -> None:
    before = made(A, (1, 1), (2, 1), StudyDescription="wrong", AccessionNumber="1", StudyDate="20260101")
    after = made(A, (1, 1), StudyDescription="right", AccessionNumber="2")
    found = merging.merged(before, after, A, whole=True)
    assert found == after


def test_a_part_never_removes() -> None:
    before = made(A, (1, 1), (2, 1), StudyDescription="kept")
    assert merging.merged(before, made(A, (1, 1)), A) == before


def test_an_archive_s_whole_word_leaves_alone_what_another_holds() -> None:
    both = merging.merged(made(A, (1, 1), (2, 1)), made(B, (2, 1)), B)
    found = merging.merged(both, made(A, (1, 1)), A, whole=True)
    assert [one["uid"] for one in found["series"]] == ["1.2.1", "1.2.2"]
    assert [endpoints(one) for one in found["series"]] == [[A], [B]]


def test_what_others_added_to_a_study_is_kept() -> None:
    current = made(A, (1, 1)) | {"id": "x", "meta": {"versionId": "3"}, "note": [{"text": "seen"}]}
    found = merging.merged(current, made(A, (1, 2)), A, whole=True)
    assert (found["id"], found["note"]) == ("x", [{"text": "seen"}])


def test_a_known_instance_under_another_series_is_refused() -> None:
    other = made(A, (1, 1))
    other["series"][0]["uid"] = "1.2.9"
    with pytest.raises(merging.Collision, match="another series"):
        merging.merged(made(A, (1, 1)), other, A)


def test_a_known_study_under_another_patient_is_refused() -> None:
    with pytest.raises(merging.Collision, match="another patient"):
        merging.merged(made(A, (1, 1)), made(A, (1, 2), patient="Patient/2"), A)


def test_a_withdrawn_study_loses_its_endpoint_at_once_and_keeps_its_description() -> None:
    found = merging.withdrawn(made(A, (1, 1), StudyDescription="head"), A)
    assert found["status"] == "cancelled"
    assert "endpoint" not in found
    assert found["description"] == "head"


def test_a_study_that_another_archive_still_has_stays_available_there() -> None:
    both = merging.merged(made(A, (1, 1), (2, 1)), made(B, (2, 1)), B)
    found = merging.withdrawn(both, A)
    assert (found["status"], endpoints(found)) == ("available", [B])
    assert [one["uid"] for one in found["series"]] == ["1.2.2"]


def test_a_withdrawn_study_that_comes_back_is_available_again() -> None:
    found = merging.merged(merging.withdrawn(made(A, (1, 1)), A), made(A, (1, 1)), A)
    assert (found["status"], endpoints(found)) == ("available", [A])


def test_rejected_images_go_and_the_study_with_the_last_of_them() -> None:
    study = made(A, (1, 1), (1, 2), (2, 1))
    fewer = merging.rejected(study, ["1.2.1.1", "1.2.2.1"], A, "entered-in-error")
    assert (fewer["numberOfSeries"], fewer["numberOfInstances"]) == (1, 1)
    none = merging.rejected(fewer, ["1.2.1.2"], A, "entered-in-error")
    assert (none["status"], endpoints(none)) == ("entered-in-error", [])


def test_an_archive_cannot_reject_what_it_does_not_hold() -> None:
    study = made(A, (1, 1))
    assert merging.rejected(study, ["1.2.1.1"], B, "cancelled") == study


def test_what_one_archive_has_done_with_stays_where_another_holds_it() -> None:
    both = merging.merged(made(A, (1, 1), (2, 1)), made(B, (1, 1)), B)
    found = merging.rejected(both, ["1.2.1.1", "1.2.2.1"], A, "cancelled")
    assert (found["status"], endpoints(found), [one["uid"] for one in found["series"]]) == (
        "available", [B], ["1.2.1"],
    )  # fmt: skip


def test_what_was_never_this_patient_s_goes_for_every_archive() -> None:
    both = merging.merged(made(A, (1, 1), (2, 1)), made(B, (1, 1)), B)
    fewer = merging.rejected(both, ["1.2.1.1"], A, "entered-in-error")
    assert (endpoints(fewer), [one["uid"] for one in fewer["series"]]) == ([A], ["1.2.2"])
    none = merging.rejected(both, ["1.2.1.1", "1.2.2.1"], A, "entered-in-error")
    assert (none["status"], merging.held_by(none)) == ("entered-in-error", set())


def holders(of: dict[str, Any]) -> dict[str, set[str]]:
    return {one["uid"]: set(endpoints(one) or endpoints(of)) for one in of["series"]}


@settings(max_examples=100, deadline=None)
@given(instances, instances, instances)
def test_a_new_word_of_one_archive_keeps_all_that_the_other_holds_and_says_the_rest(
    one: list[tuple[int, int]], other: list[tuple[int, int]], sent: list[tuple[int, int]]
) -> None:
    before, word = merging.merged(made(A, *one), made(B, *other), B), made(A, *sent)
    after = merging.keeping(before, word, [B])
    expected = {uid: of & {B} for uid, of in holders(before).items() if B in of}
    for uid, of in holders(word).items():
        expected[uid] = expected.get(uid, set()) | of
    assert holders(after) == expected
    assert merging.keeping(after, word, [B]) == after
    assert merging.keeping(before, after, [B]) == after
    assert merging.keeping(before, word, []) is word


def test_an_archive_that_sends_no_series_takes_none_from_the_other() -> None:
    before = merging.merged(made(A, (1, 1), (2, 1)), made(B, (2, 1)), B)
    word = {name: value for name, value in made(A, (1, 1)).items() if name != "series"}
    after = merging.keeping(before, word, [B])
    assert (endpoints(after), holders(after)) == ([A, B], {"1.2.2": {A, B}})


def test_an_announced_study_gets_its_instances_later(source: Source, image: Callable[..., Dataset]) -> None:
    from app.ingest.reading import Reader

    stated = Dataset()
    stated.StudyInstanceUID, stated.ModalitiesInStudy = "1.2", ["CT", "SR"]
    stated.NumberOfStudyRelatedSeries, stated.NumberOfStudyRelatedInstances = "2", "9"
    announced = mapping.announce(Reader(stated), SOURCES[A]).resource | {"subject": {"reference": "Patient/1"}}
    assert (announced["status"], announced["numberOfInstances"]) == ("registered", 9)
    assert [one["code"] for one in announced["modality"]] == ["CT"]
    found = merging.merged(announced, made(A, (1, 1)), A)
    assert (found["status"], found["numberOfInstances"]) == ("available", 1)
    assert merging.merged(found, announced, A) == found
