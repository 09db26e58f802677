"""The database finds what the standard says: `fhir.matches` and `storage.search` agree, order, totals, pages, includes.

Worlds are stored through the whole path, searched on both databases, and taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.matches import matches
from app.fhir.matches_values import references
from app.fhir.ordering import in_order
from app.fhir.outcome import Fault
from app.fhir.query import Include, Query
from app.fhir.registry import TYPES, followed
from app.fhir.search import parse
from app.policy.grant import Everything, Grant
from app.storage import resources, search
from app.storage.engine import Store, Tx
from tests.properties import store_strategies as make
from tests.properties.search_strategies import BASE

NOW = 1_773_000_000_000_000
VALUESETS = {"http://values": [("http://s", "a"), ("http://s", "b c"), (None, "A")]}


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def world_store(request: pytest.FixtureRequest, module_database: Callable[[str], str]) -> Iterator[Store]:
    ticks = iter(range(NOW, NOW * 2, 1_000_000))
    store = Store(module_database(request.param), clock=lambda: next(ticks), base_url=BASE)
    yield store
    store.close()


class TakenBack(Exception):
    pass


class World:
    """What was stored, as far as it may be seen: the oracle's side. `made` is in the order of making."""

    def __init__(self, made: list[dict[str, Any]], hidden: frozenset[str]) -> None:
        self.made = [one for one in made if one["resourceType"] not in hidden]

    def resource(self, type: str, id: str) -> dict[str, Any] | None:
        return next((one for one in self.all(type) if one["id"] == id), None)

    def all(self, type: str) -> Iterable[dict[str, Any]]:
        return [one for one in self.made if one["resourceType"] == type]

    def found(self, query: Query) -> list[str]:
        """Ids in the order asked for; ties as the first key goes, newest first without any."""
        falling = query.sort[0].descending if query.sort else True
        ties = list(self.all(query.type))[:: -1 if falling else 1]
        ordered = in_order(ties, query.sort, base_url=BASE)
        return [one["id"] for one in ordered if matches(one, query.where, self, base_url=BASE)]

    def included(self, query: Query, ids: list[str]) -> set[tuple[str, str]]:
        start = {(query.type, id) for id in ids}
        found: set[tuple[str, str]] = set()
        for include in query.includes:
            found |= self._reverse(include, start) if include.reverse else self._forward(include, start)
        return found - start

    def _forward(self, include: Include, start: set[tuple[str, str]]) -> set[tuple[str, str]]:
        wanted = {include.target} if include.target else set(followed(include.param))
        here = [one for kind, id in start if kind == include.source and (one := self.resource(kind, id))]
        named = {(kind, id) for one in here for kind, id, *_ in references(one, include.param, BASE) if kind and id}
        return {(kind, id) for kind, id in named if kind in wanted and self.resource(kind, id)}

    def _reverse(self, include: Include, start: set[tuple[str, str]]) -> set[tuple[str, str]]:
        return {
            (include.source, one["id"])
            for one in self.all(include.source)
            if any((kind, id) in start for kind, id, *_ in references(one, include.param, BASE))
        }


def stored(tx: Tx, world: list[dict[str, Any]], grant: Grant) -> list[dict[str, Any]]:
    made = []
    for resource in world:
        tx.at += 1_000_000
        made.append(orjson.loads(resources.create(tx, grant, resource, resource["id"]).content))
    return made


def pages(tx: Tx, grant: Grant, query: Query, count: int) -> list[list[str]]:
    found, cursor = [], None
    while True:
        page = search.run(tx, grant, replace(query, count=count, cursor=cursor, includes=()))
        found.append([entry.id for entry in page.entries])
        cursor = page.next
        if cursor is None:
            return found


@settings(max_examples=120)
@given(st.data())
def test_the_database_finds_orders_counts_and_includes_what_the_resources_say(
    world_store: Store, data: st.DataObject
) -> None:
    world = data.draw(make.worlds())
    hidden = frozenset(data.draw(st.lists(st.sampled_from(make.OFTEN), max_size=1)))
    everything = Grant("d", NOW, {name: (Everything(),) for name in TYPES})
    seen = Grant("d", NOW, {name: (Everything(),) for name in TYPES if name not in hidden})
    kinds = sorted({one["resourceType"] for one in world})
    asked = []
    for _ in range(6):
        kind = data.draw(st.sampled_from(kinds))
        pairs = data.draw(make.searches(kind, world))
        within = ("Patient", "a") if TYPES[kind].compartment and data.draw(st.integers(0, 4)) == 0 else None
        try:
            asked.append(parse(kind, pairs, base_url=BASE, at=NOW, valuesets=VALUESETS, compartment=within))
        except Fault:
            continue
    with suppress(TakenBack), world_store.begin() as tx:
        oracle = World(stored(tx, world, everything), hidden)
        for query in asked:
            agree(tx, seen, oracle, query)
        raise TakenBack


def agree(tx: Tx, grant: Grant, oracle: World, query: Query) -> None:
    expected = oracle.found(query)
    whole = search.run(tx, grant, replace(query, total="accurate", count=50))
    assert [entry.id for entry in whole.entries] == expected, query.applied
    assert whole.total == len(expected), query.applied
    found = {(entry.type, entry.id) for entry in whole.included}
    assert found == oracle.included(query, expected), query.applied
    assert [id for page in pages(tx, grant, query, 2) for id in page] == expected, query.applied
