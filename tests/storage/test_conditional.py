"""Conditional writes are exact under concurrency: as many resources as keys, every loser is shown the winner's.

The suite runs a bounded form. The whole, 32 clients on 1,000 keys, alone and in transactions, on both databases:

    CONDITIONAL_KEYS=1000 .venv/bin/pytest -n 0 tests/storage/test_conditional.py
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask

from app.interactions import Answer, Asked, Services, create, delete, transaction, update
from app.interactions.patch import conditional_patch
from tests.support.region import Caller, caller, settle

CLIENTS = 32
KEYS = int(os.environ.get("CONDITIONAL_KEYS", "40"))
SHARE = 4  # how many of the clients want each key


@pytest.fixture
def asked(app: Flask) -> Callable[[str | None], Asked]:
    settle(app)
    backend = caller(app, purpose=None)
    subject = app.extensions["tokens"].subject(backend.token)

    def made(criteria: str | None = None) -> Asked:
        return Asked(subject, if_none_exist=criteria)

    return made


def person(key: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:x", "value": f"k{key}"}],
        "managingOrganization": {"reference": "Organization/rxb"},
    }


def race(clients: list[Callable[[], None]]) -> None:
    """All at once; what any of them raised is raised."""
    faults: list[BaseException] = []

    def run(client: Callable[[], None]) -> None:
        try:
            client()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def hands(seed: int) -> list[list[int]]:
    """The keys that each client asks for, in an order of its own: each key by several clients."""
    shuffled = random.Random(seed)
    wanted: list[list[int]] = [[] for _ in range(CLIENTS)]
    for key in range(KEYS):
        for client in shuffled.sample(range(CLIENTS), SHARE):
            wanted[client].append(key)
    for keys in wanted:
        shuffled.shuffle(keys)
    return wanted


def judged(services: Services, answers: dict[int, list[tuple[int, str | None]]]) -> None:
    """One made each and the others were shown it; no more in store than keys."""
    for key, said in answers.items():
        assert Counter(status for status, _ in said) == {201: 1, 200: SHARE - 1}, (key, said)
        assert len({location for _, location in said}) == 1, (key, said)
    with services.store.begin() as tx:
        assert tx.rows("SELECT count(*) FROM identifier WHERE value LIKE 'k%'") == [(KEYS,)]


def test_conditional_creates_make_one_resource_for_each_key(app: Flask, asked: Callable[[str], Asked]) -> None:
    services: Services = app.extensions["services"]
    answers: dict[int, list[tuple[int, str | None]]] = defaultdict(list)

    def client(keys: list[int]) -> Callable[[], None]:
        def work() -> None:
            for key in keys:
                # The same criteria in other words.
                criteria = random.choice(
                    [f"identifier=urn:x|k{key}", f"identifier=urn:x%7Ck{key}", f"identifier=k{key}"]
                )
                said = create.create(services, asked(criteria), "Patient", person(key))
                answers[key].append((said.status, said.headers.get("Location")))

        return work

    race([client(keys) for keys in hands(1)])
    judged(services, answers)


def test_conditional_creates_in_transactions_make_one_resource_for_each_key(
    app: Flask, asked: Callable[[str | None], Asked]
) -> None:
    services: Services = app.extensions["services"]
    answers: dict[int, list[tuple[int, str | None]]] = defaultdict(list)

    def client(keys: list[int]) -> Callable[[], None]:
        def work() -> None:
            for start in range(0, len(keys), 5):
                some = keys[start : start + 5]
                request = [
                    {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier=urn:x|k{key}"} for key in some
                ]
                entry = [{"resource": person(key), "request": one} for key, one in zip(some, request, strict=True)]
                bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
                body = transaction.process(services, asked(None), bundle).body
                assert body is not None
                for key, one in zip(some, orjson.loads(body)["entry"], strict=True):
                    said = one["response"]
                    answers[key].append((int(said["status"].split()[0]), said.get("location")))

        return work

    race([client(keys) for keys in hands(2)])
    judged(services, answers)


def test_conditional_updates_patches_and_deletes_act_on_one_resource(
    app: Flask,
) -> None:
    settle(app)
    subject = app.extensions["tokens"].subject(caller(app, "steward", "ZZZ", purpose=None).token)

    asked = Asked(subject)
    services: Services = app.extensions["services"]
    made: list[Answer] = []

    def put(number: int) -> Callable[[], None]:
        def work() -> None:
            resource = person(0) | {"multipleBirthInteger": number + 1}
            made.append(update.conditional_update(services, asked, "Patient", "identifier=urn:x|k0", resource))

        return work

    race([put(number) for number in range(CLIENTS)])
    assert Counter(answer.status for answer in made) == {201: 1, 200: CLIENTS - 1}
    versions = {str(answer.headers["ETag"]) for answer in made}
    assert versions == {f'W/"{number + 1}"' for number in range(CLIENTS)}

    def grow() -> None:
        change = [{"op": "add", "path": "/name", "value": [{"family": "Willow"}]}]
        conditional_patch(services, asked, "Patient", "identifier=urn:x|k0", ("json", change))

    race([grow for _ in range(CLIENTS)])
    gone: list[int] = []

    def remove() -> None:
        answer = delete.conditional_delete(services, asked, "Patient", "identifier=urn:x|k0")
        gone.append(answer.status)

    race([remove for _ in range(CLIENTS)])
    assert gone == [204] * CLIENTS
    with services.store.begin() as tx:
        assert tx.rows("SELECT count(*) FROM change WHERE op = 3") == [(1,)]


def test_two_archives_that_send_one_study_at_once_make_one(app: Flask) -> None:
    from tests.support.region import endpoint, study

    services: Services = app.extensions["services"]
    steward = settle(app)
    assert steward.put("/Endpoint/archive-rxb", endpoint("RXB")).status_code == 201
    uids = [f"1.2.826.0.1.3680043.8.498.77.{number}" for number in range(8)]

    def archive(ods: str, uids: list[str]) -> Callable[[], None]:
        one: Caller = caller(app, "archive", ods, purpose=None)
        subject = app.extensions["tokens"].subject(one.token)

        def work() -> None:
            for uid in uids:
                sent = study(uid=uid, ods=ods)
                criteria = f"identifier=urn:dicom:uid|urn:oid:{uid}"
                create.create(services, Asked(subject, if_none_exist=criteria), "ImagingStudy", sent)

        return work

    race([archive("RXA", uids), archive("RXB", uids[::-1]), archive("RXA", uids[::-1]), archive("RXB", uids)])
    for uid in uids:
        (found,) = steward.get(f"/ImagingStudy?identifier=urn:oid:{uid}").json["entry"]
        named = {one["reference"] for one in found["resource"]["endpoint"]}
        assert named == {"Endpoint/archive-rxa", "Endpoint/archive-rxb"}
