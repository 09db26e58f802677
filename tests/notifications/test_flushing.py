"""What gates are told to forget, and that they are: by what has just committed, on both databases."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from flask import Flask, request

from app.interactions import Services
from app.interactions.flush_key import flush_key
from app.notifications.flushing import Flusher
from app.storage import emergencies, flushing, oauth
from app.storage.oauth import Client
from tests.support.archive import served
from tests.support.region import STUDY_UID, Caller, consent, episode, organization, patient, settle, study

OTHER_UID = f"{STUDY_UID}.77"
Taken = Callable[[], list[str] | None]


@pytest.fixture
def steward(app: Flask) -> Caller:
    made = settle(app)
    assert made.put("/Patient/p9", patient("p9", "9990000026")).status_code == 201
    assert made.put("/ImagingStudy/s9", study("s9", OTHER_UID, subject="p9")).status_code == 201
    return made


@pytest.fixture
def taken(app: Flask, steward: Caller) -> Taken:
    """What a reader of the feed is told at each look."""
    services: Services = app.extensions["services"]
    with services.store.begin(reads=True) as tx:
        feed = flushing.begin(tx)

    def look() -> list[str] | None:
        with services.store.begin(reads=True) as tx:
            return flushing.take(tx, services.enforcement.for_matching(tx), feed)

    return look


def test_what_changes_about_a_patient_is_told_once_by_the_studies_of_that_patient(
    steward: Caller, taken: Taken
) -> None:
    assert taken() == []
    steward.put("/Consent/c1", consent())
    assert taken() == [STUDY_UID]
    assert taken() == []
    steward.put("/EpisodeOfCare/e1", episode(status="finished"))
    steward.put("/Consent/c9", consent("c9", subject="p9"))
    assert taken() == [STUDY_UID, OTHER_UID]


def test_a_study_that_changed_moved_or_was_deleted_is_told_and_a_new_one_is_not(steward: Caller, taken: Taken) -> None:
    steward.put("/ImagingStudy/s2", study("s2", f"{STUDY_UID}.2"))
    assert taken() == []
    steward.put("/ImagingStudy/s9", study("s9", OTHER_UID, subject="p9", description="with a label"))
    assert taken() == [OTHER_UID]
    steward.delete("/ImagingStudy/s9")
    assert taken() == [OTHER_UID]


def test_records_that_are_joined_or_parted_and_organisations_are_told_as_everything(
    steward: Caller, taken: Taken
) -> None:
    joined = patient("p9", "9990000026") | {"link": [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]}
    steward.put("/Patient/p9", joined)
    assert taken() is None
    steward.put("/Consent/c1", consent())
    assert taken() == [STUDY_UID, OTHER_UID], "they are one person now"
    steward.put("/Patient/p9", patient("p9", "9990000026"))
    assert taken() is None
    steward.put("/Patient/p9", patient("p9", "9990000026") | {"gender": "male"})
    assert taken() == [OTHER_UID]
    steward.put("/Organization/rxa", organization("RXA") | {"name": "Another"})
    assert taken() is None


def test_what_no_resource_shows_is_told_as_everything(app: Flask, taken: Taken) -> None:
    services: Services = app.extensions["services"]
    for end in (
        lambda tx: oauth.revoke(tx, "mark", tx.at + 1),
        lambda tx: oauth.disable(tx, "nobody"),
        lambda tx: emergencies.revoke(tx, "nothing"),
    ):
        services.store.retry(end)
        assert taken() is None
        assert taken() == []


def test_more_changes_than_can_be_told_apart_are_told_as_everything(
    steward: Caller, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flushing, "MOST", 1)
    for _ in range(2):
        steward.put("/Consent/c1", consent())
        steward.put("/Consent/c9", consent("c9", subject="p9"))
    assert taken() is None


class Told:
    """A gate's flush address, which fails the first time."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.signatures: list[tuple[bytes, str]] = []
        self.came = threading.Condition()
        self.app = Flask("gate")
        self.app.add_url_rule("/registry-gate/flush", view_func=self.take, methods=["POST"])

    def take(self) -> tuple[str, int]:
        with self.came:
            self.bodies.append(orjson.loads(request.data)["studies"])
            self.signatures.append((request.data, request.headers["X-Registry-Signature"]))
            self.came.notify_all()
            return "", 200 if len(self.bodies) > 1 else 500

    def await_(self, studies: list[str] | None) -> None:
        with self.came:
            assert self.came.wait_for(lambda: self.bodies[1:].count(studies) > 0, 30), self.bodies


@pytest.fixture
def told() -> Iterator[tuple[Told, str]]:
    gate = Told()
    with served(gate.app) as address:
        yield gate, address


def test_a_gate_is_told_everything_first_then_what_changes_again_where_it_failed_and_signed(
    app: Flask, steward: Caller, told: tuple[Told, str]
) -> None:
    services: Services = app.extensions["services"]
    gate, address = told
    client = Client(
        "g1", "g1", "gate", "ods:RXA", "system/ImagingStudy.rs", "system", flush_url=f"{address}/registry-gate/flush"
    )
    hung = Client(
        "g2", "g2", "gate", "ods:RXA", "system/ImagingStudy.rs", "system", flush_url="http://127.0.0.1:9/flush"
    )
    services.store.retry(lambda tx: (oauth.add(tx, client), oauth.add(tx, hung)))
    stopping = threading.Event()
    flusher = Flusher(services, lambda work: work(), stopping)
    thread = threading.Thread(target=flusher.run)
    thread.start()
    try:
        gate.await_(None)
        steward.put("/Consent/c1", consent())
        gate.await_([STUDY_UID])
    finally:
        stopping.set()
        thread.join(30)
    assert gate.bodies[0] is None
    key = flush_key(services, "g1")
    for body, signature in gate.signatures:
        assert signature == hmac.new(key, body, hashlib.sha256).hexdigest()
