"""Idempotency-Key on POST: the first answer again, and nothing done twice."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask

from app.storage import idempotency
from app.storage.engine import Store
from tests.support.region import NHS, Caller, caller, episode, patient

KEPT = ("ETag", "Location", "Last-Modified", "Content-Type")


def new(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "id"}


def whole(answer: Any) -> tuple[Any, ...]:
    return answer.status_code, answer.data, [answer.headers.get(name) for name in KEPT]


def bundle(kind: str, *entries: tuple[str, str, dict[str, Any] | None]) -> dict[str, Any]:
    said = [
        {"request": {"method": method, "url": url}} | ({"resource": resource} if resource else {})
        for method, url, resource in entries
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": said}


def total(steward: Caller, path: str) -> int:
    return int(steward.get(f"{path}&_summary=count").json["total"])


def test_a_create_sent_again_gets_its_first_answer_to_the_byte(steward: Caller) -> None:
    body = new(patient(number="9990000026"))
    first = steward.post("/Patient", body, Idempotency_Key="k1")
    assert first.status_code == 201
    assert whole(steward.post("/Patient", body, Idempotency_Key="k1")) == whole(first)
    steward.put(f"/Patient/{first.json['id']}", body | {"id": first.json["id"], "gender": "other"})
    assert whole(steward.post("/Patient", body, Idempotency_Key="k1")) == whole(first), "though it has changed since"
    assert total(steward, f"/Patient?identifier={NHS}|9990000026") == 1
    assert steward.post("/Patient", body, Idempotency_Key="k2").json["id"] != first.json["id"]


def test_another_request_under_the_same_key_is_refused(steward: Caller) -> None:
    assert steward.post("/Patient", new(patient(number="9990000026")), Idempotency_Key="k").status_code == 201
    for path, body in (
        ("/Patient", new(patient(number="9990000034"))),
        ("/Organization", {"resourceType": "Organization", "name": "x"}),
        ("/", bundle("batch", ("GET", "Patient/p1", None))),
        ("/", bundle("transaction", ("GET", "Patient/p1", None))),
        ("/Patient/$validate", patient()),
    ):
        answer = steward.post(path, body, Idempotency_Key="k")
        assert answer.status_code == 422, path
        assert answer.json["issue"] == [
            {
                "severity": "error",
                "code": "invalid",
                "details": {
                    "text": "the key was used for another request; expected a new key, or the same request again"
                },
                "expression": ["Idempotency-Key"],
            }
        ]
    condition = f"identifier={NHS}|9990000026"
    body = new(patient(number="9990000026"))
    assert steward.post("/Patient", body, Idempotency_Key="k", If_None_Exist=condition).status_code == 422


@pytest.mark.attack(81)
def test_a_key_belongs_to_its_client(app: Flask, steward: Caller) -> None:
    other = caller(app, "steward", "RXB", purpose=None)
    body = new(patient(number="9990000026"))
    mine, theirs = (one.post("/Patient", body, Idempotency_Key="k") for one in (steward, other))
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json["id"] != theirs.json["id"]


def test_a_conditional_create_sent_again_does_not_turn_into_found(steward: Caller) -> None:
    body, condition = new(patient(number="9990000026")), f"identifier={NHS}|9990000026"
    first = steward.post("/Patient", body, Idempotency_Key="k", If_None_Exist=condition)
    again = steward.post("/Patient", body, Idempotency_Key="k", If_None_Exist=condition)
    assert (first.status_code, whole(again)) == (201, whole(first))


def test_what_was_refused_keeps_nothing(steward: Caller) -> None:
    wrong = steward.post("/Patient", {"resourceType": "Patient", "gender": "unheard-of"}, Idempotency_Key="k")
    assert wrong.status_code == 422
    assert steward.post("/Patient", new(patient(number="9990000026")), Idempotency_Key="k").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused_by_name(steward: Caller, key: str) -> None:
    answer = steward.post("/Patient", new(patient()), Idempotency_Key=key)
    assert (answer.status_code, answer.json["issue"][0]["expression"]) == (400, ["Idempotency-Key"])


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_a_bundle_sent_again_changes_nothing_and_answers_the_same(steward: Caller, kind: str) -> None:
    entries = (
        ("POST", "EpisodeOfCare", new(episode())),
        ("POST", "EpisodeOfCare", new(episode(status="planned"))),
        ("PUT", "Patient/p1", patient() | {"gender": "other"}),
        ("GET", "Patient/p1", None),
    )
    first = steward.post("/", bundle(kind, *entries), Idempotency_Key="k")
    assert first.status_code == 200, first.text
    assert whole(steward.post("/", bundle(kind, *entries), Idempotency_Key="k")) == whole(first)
    assert total(steward, "/EpisodeOfCare?patient=p1") == 3
    assert steward.get("/Patient/p1").headers["ETag"] == 'W/"2"'


def test_a_batch_keeps_the_answers_to_its_faults_too(steward: Caller) -> None:
    entries = bundle(
        "batch", ("POST", "Patient", new(patient(number="9990000026"))), ("POST", "Patient", {"resourceType": "Group"})
    )
    first = steward.post("/", entries, Idempotency_Key="k")
    assert [entry["response"]["status"][:3] for entry in first.json["entry"]] == ["201", "400"]
    assert whole(steward.post("/", entries, Idempotency_Key="k")) == whole(first)


def test_a_batch_that_broke_off_goes_on_where_it_was(app: Flask, steward: Caller) -> None:
    entries = bundle("batch", *(("POST", "EpisodeOfCare", new(episode())) for _ in range(3)))
    first = steward.post("/", entries, Idempotency_Key="k")
    store: Store = app.extensions["services"].store
    with store.begin() as tx:  # as if the server had died after the second entry
        tx.run("UPDATE idempotency_key SET answer = NULL WHERE part = 0")
        tx.run("DELETE FROM idempotency_key WHERE part = 3")
    again = steward.post("/", entries, Idempotency_Key="k")
    ids = [[entry["resource"]["id"] for entry in answer.json["entry"]] for answer in (first, again)]
    assert ids[0][:2] == ids[1][:2] and ids[0][2] != ids[1][2]
    assert total(steward, "/EpisodeOfCare?patient=p1") == 5


def test_a_read_in_a_bundle_is_decided_again(app: Flask, steward: Caller) -> None:
    treating = caller(app)
    entries = bundle("transaction", ("POST", "EpisodeOfCare", new(episode())), ("GET", "ImagingStudy/s1", None))
    first = treating.post("/", entries, Idempotency_Key="k")
    assert [entry["response"]["status"][:3] for entry in first.json["entry"]] == ["201", "200"], first.text
    for id in ("e1", first.json["entry"][0]["resource"]["id"]):
        assert steward.delete(f"/EpisodeOfCare/{id}").status_code == 204
    again = treating.post("/", entries, Idempotency_Key="k")
    assert again.status_code == 200
    assert again.json["entry"][0] == first.json["entry"][0]
    assert again.json["entry"][1]["response"]["status"].startswith("404")
    assert "resource" not in again.json["entry"][1]


def test_a_key_is_good_for_a_day(app: Flask, steward: Caller) -> None:
    store: Store = app.extensions["services"].store
    body = new(patient(number="9990000026"))
    first = steward.post("/Patient", body, Idempotency_Key="k")
    now = store.clock
    store.clock = lambda: now() + idempotency.DAY + 1
    try:
        with store.begin() as tx:
            taken = idempotency.claim(tx, b"other", "k", 0, b"")
            assert taken.new
            assert tx.rows("SELECT holder FROM idempotency_key") == [(b"other",)], "what expired is swept"
    finally:
        store.clock = now
    assert steward.post("/Patient", body, Idempotency_Key="k").json["id"] != first.json["id"]


@pytest.mark.parametrize("kind", ["create", "batch", "transaction"])
def test_the_same_key_from_many_at_once_makes_one(app: Flask, steward: Caller, kind: str) -> None:
    body = new(patient(number="9990000026"))
    path, content = ("/Patient", body) if kind == "create" else ("/", bundle(kind, ("POST", "Patient", body)))
    answers = []

    def work() -> None:
        own = Caller(app.test_client(), steward.token)
        answers.extend(whole(own.post(path, content, Idempotency_Key="k")) for _ in range(2))

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 24
    assert len({repr(answer) for answer in answers}) == 1
    assert answers[0][0] in (200, 201)
    assert total(steward, f"/Patient?identifier={NHS}|9990000026") == 1
