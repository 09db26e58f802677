"""What a process of the server remembers binds it no longer than it is true: another process's change counts at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from app.storage import oauth
from tests.support.region import Caller, caller, organization, patient, settle

OF_WILLOW = "/ImagingStudy?patient=Patient/p1"


@pytest.fixture
def workers(database_url: str, tmp_path: Path) -> Iterator[tuple[Flask, Flask]]:
    """Two applications on one database, as two processes of the server are."""
    settings = Settings(database_url=database_url, keys_dir=str(tmp_path / "keys"), log_level="error")
    first, second = create_app(settings), create_app(settings)
    yield first, second
    for one in (first, second):
        one.extensions["services"].store.close()


def at(app: Flask, who: Caller) -> Caller:
    """The same token, at another worker."""
    return Caller(app.test_client(), who.token)


@pytest.mark.attack(80)
def test_a_change_of_the_organisations_counts_at_the_next_request_of_every_worker(workers: tuple[Flask, Flask]) -> None:
    first, second = workers
    steward = settle(first)
    site = caller(first, "backend", "RXB01")
    assert at(second, site).ids(OF_WILLOW) == ["s1"]
    for parent, status in ((None, 403), ("RXB", 200), (None, 403)):
        assert steward.put("/Organization/rxb01", organization("RXB01", parent)).status_code == 200
        assert at(second, site).get(OF_WILLOW).status_code == status
        assert at(first, site).get(OF_WILLOW).status_code == status


def test_what_a_transaction_saw_of_its_own_organisations_is_forgotten_when_it_fails(
    workers: tuple[Flask, Flask],
) -> None:
    first, _ = workers
    steward = settle(first)
    site = caller(first, "backend", "RXB01")
    entries = [
        {"resource": organization("RXB01"), "request": {"method": "PUT", "url": "Organization/rxb01"}},
        {
            "resource": patient("p1") | {"gender": "other"},
            "request": {"method": "PUT", "url": "Patient/p1", "ifMatch": 'W/"99"'},
        },
    ]
    answer = steward.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 412, answer.text
    # The next change gets the number that the failed one had.
    assert steward.put("/Organization/rxc", organization("RXC") | {"alias": ["C"]}).status_code == 200
    assert site.ids(OF_WILLOW) == ["s1"]


@pytest.mark.attack(8, 80)
def test_a_disabled_client_and_a_revoked_token_are_refused_at_the_next_request_of_every_worker(
    workers: tuple[Flask, Flask],
) -> None:
    first, second = workers
    settle(first)
    revoked, disabled = caller(first), caller(first, "backend", "RXB", purpose="ETREAT")
    places = ("/ImagingStudy/s1", OF_WILLOW, "/Organization", "/StructureDefinition")
    for worker in workers:
        for place in places:
            assert at(worker, revoked).get(place).status_code == 200
            assert at(worker, disabled).get(place).status_code == 200
    services, tokens = first.extensions["services"], first.extensions["tokens"]
    services.store.retry(lambda tx: tokens.revoke(tx, revoked.token))
    services.store.retry(lambda tx: oauth.disable(tx, "backend-rxb-system-etreat"))
    for worker in (second, first):
        for place in places:
            assert at(worker, revoked).get(place).status_code == 401
            assert at(worker, disabled).get(place).status_code == 401
