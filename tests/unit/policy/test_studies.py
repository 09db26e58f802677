"""What is read of a study, and `?` for what it does not state (README.md, 4.4, 4.7)."""

from __future__ import annotations

from app.fhir.temporal import interval
from app.policy.organisation import Entry, components, has_cycle, key_from, tree
from app.policy.study import compile_study

ZONE, SCT = "Europe/London", "http://snomed.info/sct"
ACCESSION = {"coding": [{"code": "ACSN"}]}
KNOWN = {"Organization/a": "ods:A1", "Organization/b": "ods:B", "parent:ods:A1": "ods:A"}


def test_the_origin_is_who_gave_the_accession_number_and_authors_are_the_trusts_above_it() -> None:
    numbers = [
        {"value": "1", "type": ACCESSION, "assigner": {"reference": "Organization/a"}},
        {"value": "2", "assigner": {"reference": "Organization/b"}},
    ]
    one = {"resourceType": "ImagingStudy", "id": "s", "status": "available", "identifier": numbers}
    read = compile_study(one, KNOWN.get, "ods:OWNER", ZONE)
    assert read.origins == {"ods:A1"}
    assert read.facts["author"] == {"ods:A1", "ods:A", "?Practitioner"}
    assert compile_study(one | {"identifier": numbers[1:]}, KNOWN.get, "ods:OWNER", ZONE).origins == {"ods:OWNER"}


def test_a_study_starts_when_it_says_and_a_report_may_say_so_as_a_period() -> None:
    period = {"start": "2026-03-01", "end": "2026-03-02"}
    day = interval("2026-03-05", ZONE)
    for one, started in (
        ({"resourceType": "ImagingStudy", "started": "2026-03-05"}, day),
        ({"resourceType": "ImagingStudy", "started": "2026-03-05", "effectivePeriod": period}, day),
        ({"resourceType": "ImagingStudy"}, None),
        ({"resourceType": "DiagnosticReport", "effectiveDateTime": "2026-03-05"}, day),
        (
            {"resourceType": "DiagnosticReport", "effectivePeriod": period},
            (interval("2026-03-01", ZONE)[0], interval("2026-03-02", ZONE)[1]),
        ),
        ({"resourceType": "DiagnosticReport", "effectivePeriod": {"start": "2026-03-01"}}, None),
    ):
        assert compile_study({"id": "s", **one}, KNOWN.get, None, ZONE).started == started


def test_sites_and_what_a_study_belongs_to_are_facts_and_so_is_their_absence() -> None:
    site = {"system": SCT, "code": "69536005"}
    one = {
        "resourceType": "ImagingStudy",
        "id": "s",
        "series": [{"bodySite": site}, {}],
        "encounter": {"reference": "Encounter/n/_history/1"},
        "extension": [{"url": "urn:x", "valueReference": {"reference": "EpisodeOfCare/e"}}, {"url": "urn:y"}],
    }
    facts = compile_study(one, KNOWN.get, None, ZONE).facts
    assert facts["site"] == {f"{SCT}|69536005"}
    assert facts["related"] == {"Encounter/n", "EpisodeOfCare/e", "?ServiceRequest"}


def test_an_organisations_key_is_its_code_where_the_system_is_one_of_ods() -> None:
    assert key_from("https://fhir.nhs.uk/Id/ods-organization-code", " rxa ") == "ods:RXA"
    assert key_from("urn:own", "RXA") is None


def test_a_commissioner_counts_as_itself_alone_and_a_parent_that_is_unknown_ends_the_tree() -> None:
    entries = [Entry("ods:Q", kinds=frozenset({"RO261"})), Entry("ods:B", "ods:Q"), Entry("ods:C", "ods:GONE")]
    assert [tree(entries, key) for key in ("ods:Q", "ods:B", "ods:C")] == [{"ods:Q"}, {"ods:B"}, {"ods:C"}]


def test_records_are_joined_whatever_way_the_links_run_and_a_circle_is_seen() -> None:
    groups = components({1: {2}, 3: {2}, 4: set(), 5: {6}, 6: {5}})
    assert sorted(map(sorted, groups)) == [[1, 2, 3], [4], [5, 6]]
    assert [has_cycle(edges) for edges in ({1: {2}, 2: {3}}, {1: {2, 3}, 2: {3}, 3: set()}, {1: {2}, 2: {1}})] == [
        False, False, True
    ]  # fmt: skip
