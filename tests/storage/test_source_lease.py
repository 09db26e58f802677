"""The lease of a harvested source: one process reads it, and only the one that holds it keeps how far it came."""

from __future__ import annotations

from dataclasses import replace

from app.storage import sources
from app.storage.engine import Store
from app.storage.sources import State

BEGAN = State("feed", "orthanc", "Endpoint/a")


def claimed(store: Store, holder: str, seconds: int = 30) -> State | None:
    return store.retry(lambda tx: sources.claim(tx, BEGAN, holder, seconds))


def saved(store: Store, holder: str, position: int) -> bool:
    return store.retry(lambda tx: sources.save(tx, replace(BEGAN, position=position), holder))


def position(store: Store) -> int:
    with store.begin() as tx:
        found = sources.load(tx, "feed")
    assert found is not None
    return found.position


def test_one_holds_a_source_until_it_gives_it_back(store: Store) -> None:
    assert claimed(store, "one") == BEGAN
    assert claimed(store, "other") is None
    assert saved(store, "one", 7) and not saved(store, "other", 9)
    assert store.retry(lambda tx: sources.renew(tx, "feed", "one", 0))
    assert claimed(store, "other") == replace(BEGAN, position=7)
    assert not saved(store, "one", 8) and position(store) == 7


def test_a_holder_that_says_nothing_for_longer_than_its_lease_loses_it(store: Store) -> None:
    assert claimed(store, "one", seconds=0) is not None
    assert claimed(store, "other") is not None
    assert not store.retry(lambda tx: sources.renew(tx, "feed", "one", 30))
    assert not saved(store, "one", 9) and position(store) == 0


def test_a_lease_that_is_renewed_is_kept(store: Store) -> None:
    assert claimed(store, "one", seconds=0) is not None
    assert store.retry(lambda tx: sources.renew(tx, "feed", "one", 30))
    assert claimed(store, "other") is None
