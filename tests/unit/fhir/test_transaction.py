"""Batches and transactions taken apart, https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir import structure
from app.fhir.outcome import Fault
from app.fhir.resource import rewrite
from app.fhir.transaction import (
    Entry,
    check_identities,
    conditional_references,
    parse,
    rewriter,
)

URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
BASE = "https://r.example/fhir"


def bundle(*entries: Any, kind: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method: str, url: str, resource: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **more.pop("request", {})}, **more}
    if resource is not None:
        made["resource"] = resource
    return made


def patient(id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **({"id": id} if id else {}), **more}


def one(given_entry: dict[str, Any]) -> Entry:
    (found,) = parse(bundle(given_entry, kind="batch"), base_url=BASE).entries
    return found


def issues_of(*entries: Any) -> list[tuple[str, str | None]]:
    with pytest.raises(Fault) as caught:
        parse(bundle(*entries), base_url=BASE)
    assert caught.value.status == 400
    return [(issue.text, issue.expression) for issue in caught.value.issues]


def test_entries_come_in_the_order_of_processing_and_know_their_place() -> None:
    parsed = parse(
        bundle(
            entry("GET", "Patient/1"),
            entry("PATCH", "Patient/4", {"resourceType": "Parameters"}),
            entry("PUT", "Patient/2", patient("2")),
            entry("POST", "Patient", patient()),
            entry("DELETE", "Patient/3"),
        )
    )
    assert parsed.kind == "transaction"
    assert [(one.method, one.index) for one in parsed.entries] == [
        ("DELETE", 4),
        ("POST", 3),
        ("PATCH", 1),
        ("PUT", 2),
        ("GET", 0),
    ]


def test_a_url_is_split_into_type_id_and_criteria() -> None:
    read = one(entry("GET", f"{BASE}/Patient/1/_history/2?_pretty=true"))
    assert (read.path, read.query, read.type, read.id, read.criteria) == (
        ("Patient", "1", "_history", "2"),
        "_pretty=true",
        "Patient",
        "1",
        None,
    )
    deleted = one(entry("DELETE", "Patient?identifier=s|1"))
    assert (deleted.type, deleted.id, deleted.criteria) == ("Patient", None, "identifier=s|1")
    created = one(entry("POST", "Patient", patient(), request={"ifNoneExist": "identifier=s|1"}))
    assert (created.type, created.criteria) == ("Patient", "identifier=s|1")
    assert one(entry("GET", "metadata")).type is None
    assert one(entry("GET", "Patient/1/$everything")).operation == "$everything"
    assert one(entry("POST", "Patient/$match", {"resourceType": "Parameters"})).operation == "$match"
    assert one(entry("GET", "Patient/1/ImagingStudy?status=available")).path == ("Patient", "1", "ImagingStudy")


def test_the_preconditions_of_an_entry_are_kept() -> None:
    read = one(entry("PUT", "Patient/1", patient("1"), request={"ifMatch": 'W/"2"'}))
    assert read.if_match == 'W/"2"'
    read = one(entry("GET", "Patient/1", request={"ifNoneMatch": 'W/"2"', "ifModifiedSince": "2026-03-10T10:00:00Z"}))
    assert (read.if_none_match, read.if_modified_since) == ('W/"2"', "2026-03-10T10:00:00Z")


def test_a_json_patch_is_the_data_of_a_binary_and_a_fhirpath_patch_a_parameters() -> None:
    data = base64.b64encode(b'[{"op":"remove","path":"/active"}]').decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    assert one(entry("PATCH", "Patient/1", binary)).patch == ("json", [{"op": "remove", "path": "/active"}])
    parameters = {"resourceType": "Parameters"}
    assert one(entry("PATCH", "Patient?identifier=s|1", parameters)).patch == ("fhirpath", parameters)


@pytest.mark.parametrize(
    ("given_entry", "text", "place"),
    [
        (7, "the entry is not an object; expected one with a request", ""),
        ({}, "no request; expected a method and a url", ".request"),
        (
            {"request": {"url": "Patient"}},
            "no method; expected one of DELETE, POST, PUT, PATCH, GET",
            ".request.method",
        ),
        (
            entry("HEAD", "Patient/1"),
            'the method "HEAD" is not supported; expected one of DELETE, POST, PUT, PATCH, GET',
            ".request.method",
        ),
        ({"request": {"method": "GET"}}, "no url; expected one relative to the base", ".request.url"),
        (
            entry("GET", "https://elsewhere.example/fhir/Patient/1"),
            "the url is not below this server's base; expected one relative to it",
            ".request.url",
        ),
        (
            entry("GET", "//elsewhere.example/Patient"),
            "the url is not below this server's base; expected one relative to it",
            ".request.url",
        ),
        (
            entry("GET", "Patient/../Consent"),
            "the url has an empty or relative step; expected a path like Patient/1",
            ".request.url",
        ),
        (
            entry("GET", "Patient/%2e%2e/Consent"),
            "the url has an empty or relative step; expected a path like Patient/1",
            ".request.url",
        ),
        (
            entry("GET", "Unicorn/1"),
            'the type "Unicorn" is not held here; expected one that is',
            ".request.url",
        ),
        (
            entry("GET", "patient/1"),
            "the url begins with no resource type; expected one like Patient/1",
            ".request.url",
        ),
        (
            entry("GET", "Patient/a_b"),
            "the url holds no valid id; expected 1 to 64 letters, digits, - and .",
            ".request.url",
        ),
        (entry("POST", "Patient"), "no resource; expected one with POST", ".resource"),
        (
            entry("POST", "Patient/1", patient()),
            "POST to more than a type; expected a url like Patient",
            ".request.url",
        ),
        (
            entry("DELETE", "Patient/1", patient("1")),
            "a resource with DELETE; expected none",
            ".resource",
        ),
        (
            entry("PUT", "Patient", patient("1")),
            "PUT needs either an id or criteria; expected one of them",
            ".request.url",
        ),
        (
            entry("DELETE", "Patient/1/_history"),
            "DELETE to what is no resource; expected a url like Patient/1",
            ".request.url",
        ),
        (
            entry("PUT", "Patient/1", patient("2")),
            "the resource's id is not that of the url; expected the same",
            ".resource.id",
        ),
        (
            entry("PUT", "Group/1", patient("1")),
            "the resource is of another type than the url; expected the same",
            ".resource",
        ),
        (
            entry("PUT", "Patient/1", patient("1"), request={"ifNoneExist": "a=b"}),
            "ifNoneExist with PUT; expected it with POST only",
            ".request.ifNoneExist",
        ),
        (
            entry("PATCH", "Patient/1", patient("1")),
            "a patch that is neither Parameters nor Binary; expected one of them",
            ".resource",
        ),
        (
            entry("PATCH", "Patient/1", {"resourceType": "Binary", "contentType": "text/plain", "data": "YQ=="}),
            "a Binary that is no patch; expected contentType application/json-patch+json and data",
            ".resource",
        ),
        (
            entry(
                "PATCH",
                "Patient/1",
                {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "é"},
            ),
            "data is not base64; expected a JSON patch in base64",
            ".resource.data",
        ),
        (
            entry("POST", "Patient", patient(), fullUrl=f"{BASE}/Patient/1/_history/2"),
            "fullUrl names a version; expected the address of the resource",
            ".fullUrl",
        ),
        (
            entry("DELETE", "Patient/1", request={"ifMatch": 7}),
            "ifMatch is not text; expected text",
            ".request.ifMatch",
        ),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_at_its_place(given_entry: Any, text: str, place: str) -> None:
    assert issues_of(entry("GET", "Patient/9"), given_entry) == [(text, f"Bundle.entry[1]{place}")]


def test_all_faults_of_a_transaction_are_reported_together() -> None:
    assert [place for _, place in issues_of(entry("HEAD", "Patient"), entry("POST", "Patient"), {})] == [
        "Bundle.entry[0].request.method",
        "Bundle.entry[1].resource",
        "Bundle.entry[2].request",
    ]


def test_in_a_batch_a_fault_is_that_of_its_entry_alone() -> None:
    entries = parse(bundle(entry("GET", "Patient/1"), {}, kind="batch")).entries
    assert {one.index: one.fault is None for one in entries} == {0: True, 1: False}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (entry("PUT", "Patient/1", patient("1")), entry("DELETE", "Patient/1")),
        (
            entry("POST", "Patient", patient(), fullUrl=URN),
            entry("POST", "Group", {"resourceType": "Group", "type": "person", "actual": True}, fullUrl=URN),
        ),
        (entry("DELETE", "Patient?identifier=s|1"), entry("PUT", "Patient?identifier=s|1", patient())),
        (
            entry("POST", "Patient", patient(), request={"ifNoneExist": "identifier=s|1"}),
            entry("POST", "Patient", patient(), request={"ifNoneExist": "identifier=s|1"}),
        ),
    ],
)
def test_the_same_identity_twice_is_refused_in_a_transaction_and_not_in_a_batch(first: Any, second: Any) -> None:
    assert issues_of(first, second) == [
        ("the same resource is written by entry 0; expected each once in a transaction", "Bundle.entry[1]")
    ]
    assert not any(one.issues for one in parse(bundle(first, second, kind="batch")).entries)


def test_identities_that_turn_out_the_same_are_refused() -> None:
    entries = parse(bundle(entry("PUT", "Patient/1", patient("1")), entry("DELETE", "Patient?identifier=s|1"))).entries
    with pytest.raises(Fault) as caught:
        check_identities((one, "Patient/1") for one in entries)
    assert [issue.expression for issue in caught.value.issues] == ["Bundle.entry[0]"]
    check_identities([(entries[0], "Patient/1"), (entries[1], "Patient/2")])


def test_reading_the_same_resource_twice_is_no_conflict() -> None:
    parse(bundle(entry("GET", "Patient/1"), entry("GET", "Patient/1"), entry("DELETE", "Patient/1")))


def test_too_many_entries_are_too_costly() -> None:
    with pytest.raises(Fault, match="the Bundle has 3 entries; expected at most 2") as caught:
        parse(bundle(*[entry("GET", "Patient/1")] * 3), max_entries=2)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "given_bundle",
    [{}, {"resourceType": "Bundle"}, {"resourceType": "Bundle", "type": "searchset"}, {"type": "batch"}],
)
def test_only_a_batch_or_transaction_is_taken_apart(given_bundle: dict[str, Any]) -> None:
    with pytest.raises(Fault, match="not a batch or transaction"):
        parse(given_bundle)


def test_an_empty_transaction_is_one() -> None:
    assert parse({"resourceType": "Bundle", "type": "transaction"}).entries == ()
    with pytest.raises(Fault, match="entry is not a list"):
        parse({"resourceType": "Bundle", "type": "transaction", "entry": None})


def test_what_is_wrong_with_the_other_resources_is_reported_too() -> None:
    wrong = bundle(entry("SEND", "Patient", patient()), entry("POST", "Group", {"resourceType": "Group"}))
    with pytest.raises(Fault) as caught:
        parse(wrong, validate=structure.faults)
    assert [issue.expression for issue in caught.value.issues] == [
        "Bundle.entry[0].request.method",
        "Bundle.entry[1].resource.type",
        "Bundle.entry[1].resource.actual",
    ]


def test_a_reference_to_an_entry_that_is_not_there_is_refused() -> None:
    group = {"resourceType": "Group", "type": "person", "actual": True, "member": [{"entity": {"reference": URN}}]}
    assert issues_of(entry("POST", "Group", group)) == [
        (
            "a reference to an entry that is not in the Bundle; expected the fullUrl of one",
            "Bundle.entry[0].resource.member[0].entity",
        )
    ]
    parse(bundle(entry("POST", "Group", group), entry("POST", "Patient", patient(), fullUrl=URN)))


def test_references_follow_what_their_entry_was_assigned() -> None:
    source = "https://source.example/r4"
    group = {
        "resourceType": "Group",
        "member": [
            {"entity": {"reference": URN}},
            {"entity": {"reference": "Patient/9"}},
            {"entity": {"reference": f"{source}/Patient/9"}},
            {"entity": {"reference": "Patient/8"}},
            {"entity": {"reference": "Patient?identifier=s|1"}},
        ],
    }
    read = one(entry("POST", "Group", group, fullUrl=f"{source}/Group/1"))
    assigned = {URN: "Patient/a", f"{source}/Patient/9": "Patient/b", "Patient?identifier=s|1": "Patient/c"}
    assert rewrite(group, rewriter(read, assigned)) == 4
    assert [member["entity"]["reference"] for member in group["member"]] == [  # type: ignore[index]
        "Patient/a",
        "Patient/b",
        "Patient/b",
        "Patient/8",
        "Patient/c",
    ]


def test_conditional_references_are_listed_with_their_places() -> None:
    study = {"resourceType": "ImagingStudy", "subject": {"reference": "Patient?identifier=s|1"}}
    entries = parse(bundle(entry("POST", "ImagingStudy", study))).entries
    assert [found[1:] for found in conditional_references(entries)] == [
        ("Bundle.entry[0].resource.subject", "Patient?identifier=s|1", "Patient", "identifier=s|1")
    ]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(("Patient/1", "POST", "Patient?a")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "request",
                    "method",
                    "url",
                    "resource",
                    "resourceType",
                    "fullUrl",
                    "ifNoneExist",
                    "ifMatch",
                    "data",
                    "id",
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(ANYTHING, max_size=3), st.sampled_from(("batch", "transaction")))
def test_any_entries_are_read_or_refused(entries: list[Any], kind: str) -> None:
    try:
        parse(bundle(*entries, kind=kind), base_url=BASE)
    except Fault as fault:
        assert fault.status == 400
