"""Pages: links that are opaque, short and one's own; decided anew each time; none missed and none twice while others write.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import orjson
import pytest
from flask import Flask

from app.fhir.registry import TYPES
from app.fhir.search import parse
from app.policy.grant import Everything, Grant
from app.storage import resources, search
from app.storage.engine import Store, Tx
from tests.support.region import Caller, caller, consent, patient, study

EVERYTHING = Grant("d", 0, {name: (Everything(),) for name in TYPES})


def link(page: Any, relation: str = "next") -> str | None:
    """The address of a link below the FHIR base."""
    urls = [one["url"] for one in page.json["link"] if one["relation"] == relation]
    if not urls:
        return None
    parts = urlsplit(urls[0])
    return f"{parts.path.removeprefix('/fhir')}?{parts.query}"


def cursor(address: str) -> str:
    return parse_qs(urlsplit(address).query)["_cursor"][0]


def walk(who: Caller, address: str) -> Iterator[str]:
    """Ids of all matches, page by page."""
    following: str | None = address
    while following is not None:
        page = who.get(following)
        assert page.status_code == 200, page.text
        yield from (entry["resource"]["id"] for entry in page.json.get("entry", ()))
        following = link(page)


@pytest.fixture
def many(app: Flask, steward: Caller) -> list[str]:
    """Endpoints of B, with long names."""
    store: Store = app.extensions["services"].store
    grant = Grant("d", 0, {"Endpoint": (Everything(),)}, writer="ods:RXB")
    with store.begin() as tx:
        return [
            resources.create(
                tx, grant, {"resourceType": "Endpoint", "status": "active", "name": f"{'名' * 300} {n}"}, f"e{n:03d}"
            ).id
            for n in range(60)
        ]


def test_a_page_link_is_opaque_short_and_leads_on(steward: Caller, many: list[str]) -> None:
    orders = ["", "name", "-name,status,identifier,connection-type,_profile,_tag,organization,-_lastUpdated"]
    for order in orders:
        path = f"/Endpoint?name=%E5%90%8D&_count=7{f'&_sort={order}' if order else ''}"
        page = steward.get(path)
        following = link(page)
        assert following is not None
        sealed = cursor(following)
        assert len(sealed) <= 512
        assert "Endpoint" not in sealed and "%" not in quote(sealed)
        found = list(walk(steward, path))
        assert sorted(found) == many
        assert len(found) == len(set(found))


@pytest.mark.attack(44)
def test_a_page_link_serves_nobody_else_no_other_search_and_no_damage(
    app: Flask, steward: Caller, many: list[str]
) -> None:
    following = link(steward.get("/Endpoint?status=active&_count=5"))
    assert following is not None
    sealed = cursor(following)
    other = caller(app, "steward", "ZZZ", role="other", purpose=None)
    for who, path, said in (
        (other, following, "the page link belongs to another search or requester; expected one's own"),
        (
            steward,
            f"/Endpoint?{urlencode({'status': 'off', '_count': 5, '_cursor': sealed})}",
            "the page link belongs to another search or requester; expected one's own",
        ),
        (
            steward,
            f"/Location?{urlencode({'status': 'active', '_count': 5, '_cursor': sealed})}",
            "the page link belongs to another search or requester; expected one's own",
        ),
        (
            steward,
            f"/Endpoint?{urlencode({'status': 'active', '_count': 5, '_cursor': sealed[:-8] + 'AAAAAAAA'})}",
            "the page link is damaged; expected a link as the server gave it",
        ),
        (
            steward,
            f"/Endpoint?{urlencode({'status': 'active', '_count': 5, '_cursor': 'A' * 600})}",
            'in "_cursor": "_cursor" is not one that this server made: expected a link of a Bundle, as it was given',
        ),
    ):
        answer = who.get(path)
        assert answer.status_code == 400, answer.text
        assert answer.json["issue"][0]["details"]["text"].endswith(said.removeprefix('in "_cursor": '))


@pytest.mark.attack(44)
def test_every_page_is_decided_anew(steward: Caller, treating: Caller) -> None:
    for number in range(4):
        made = study(f"more-{number}", f"1.2.826.0.1.3680043.8.498.5.{number}")
        assert steward.put(f"/ImagingStudy/more-{number}", made).status_code == 201
    page = treating.get("/ImagingStudy?modality=CT&_count=2")
    assert len(page.json["entry"]) == 2
    following = link(page)
    assert following is not None
    assert len(treating.get(following).json["entry"]) == 2
    assert steward.put("/Consent/c1", consent()).status_code == 201
    answer = treating.get(following)
    assert (answer.status_code, answer.json.get("entry", [])) == (200, [])


@pytest.mark.parametrize("order", ["name", "-name"])
def test_a_page_goes_on_where_it_ended_though_its_last_row_is_gone_or_is_called_something_else(
    app: Flask, steward: Caller, many: list[str], order: str
) -> None:
    """A long name does not fit into a link: where the row that had it has changed, its history tells."""
    store: Store = app.extensions["services"].store
    grant = Grant("d", 0, {"Endpoint": (Everything(),)}, writer="ods:RXB")
    for change in ("gone", "renamed"):
        first = steward.get(f"/Endpoint?_count=6&name=%E5%90%8D&_sort={order}")
        shown = [entry["resource"]["id"] for entry in first.json["entry"]]
        with store.begin() as tx:
            last = resources.get(tx, EVERYTHING, "Endpoint", shown[-1])
            assert last is not None
            if change == "gone":
                resources.delete(tx, grant, last)
            else:
                resources.update(tx, grant, last, orjson.loads(last.content) | {"name": "another"})
        following = link(first)
        assert following is not None
        rest = list(walk(steward, following))
        assert set(shown).isdisjoint(rest)
        assert len(rest) == len(set(rest)) == {"gone": 54, "renamed": 53}[change]


@pytest.mark.parametrize("order", ["", "&_sort=_id", "&_sort=name"])
def test_while_others_write_nothing_that_stays_is_missed_or_comes_twice(
    app: Flask, steward: Caller, many: list[str], order: str
) -> None:
    store: Store = app.extensions["services"].store
    grant = Grant("d", 0, {"Endpoint": (Everything(),)}, writer="ods:RXB")
    kept, going = many[::2], many[1::4]
    stop = threading.Event()

    def change(tx: Tx, id: str, turn: int) -> None:
        current = resources.get(tx, EVERYTHING, "Endpoint", id)
        assert current is not None
        body = orjson.loads(current.content) | {"status": ["active", "suspended"][turn % 2]}
        resources.update(tx, grant, current, body)

    def remove(tx: Tx, id: str) -> None:
        current = resources.get(tx, EVERYTHING, "Endpoint", id)
        if current is not None and not current.deleted:
            resources.delete(tx, grant, current)

    def write() -> None:
        turn = 0
        while not stop.is_set() and turn < 90:
            turn += 1
            store.retry(lambda tx, turn=turn: change(tx, kept[turn % len(kept)], turn))  # type: ignore[misc]
            made = {"resourceType": "Endpoint", "status": "active", "name": f"名 new {turn}"}
            store.retry(lambda tx, made=made: resources.create(tx, grant, made))  # type: ignore[misc]
            if turn % 3 == 0 and going:
                store.retry(lambda tx, id=going.pop(): remove(tx, id))  # type: ignore[misc]

    writers = [threading.Thread(target=write) for _ in range(1)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            found = list(walk(steward, f"/Endpoint?_count=6&name=%E5%90%8D{order}"))
            assert len(found) == len(set(found))
            assert set(kept) <= set(found)
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def test_included_resources_are_capped_and_the_bundle_says_so(
    app: Flask, steward: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_INCLUDED", 3)
    for number in range(5):
        assert steward.put(f"/Patient/q{number}", patient(f"q{number}", f"99900000{26 + number}")).status_code in (
            201,
            422,
        )
    store: Store = app.extensions["services"].store
    with store.begin() as tx:
        for number in range(5):
            made = {"resourceType": "EpisodeOfCare", "status": "active", "patient": {"reference": "Patient/p1"}}
            resources.create(tx, EVERYTHING, made, f"many-{number}")
    page = steward.get("/Patient?_id=p1&_revinclude=EpisodeOfCare:patient").json
    modes = [entry["search"]["mode"] for entry in page["entry"]]
    assert modes.count("include") == 3
    (outcome,) = [entry["resource"] for entry in page["entry"] if entry["search"]["mode"] == "outcome"]
    said = outcome["issue"][0]["details"]["text"]
    assert said == "more was to be included than is taken; 3 resources are here"


def test_get_and_post_are_one_search(steward: Caller, many: list[str]) -> None:
    asked = {"status": "active", "_sort": "-_id", "_count": "4", "_elements": "name"}
    got = steward.get(f"/Endpoint?{urlencode(asked)}")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    posted = steward.send("POST", "/Endpoint/_search", urlencode(asked), **form)
    mixed = steward.send("POST", "/Endpoint/_search?status=active&_sort=-_id", "_count=4&_elements=name", **form)
    for answer in (posted, mixed):
        assert answer.status_code == 200, answer.text
        assert answer.json["entry"] == got.json["entry"]
        following = link(answer)
        assert following is not None
        assert steward.get(following).json["entry"] == steward.get(str(link(got))).json["entry"]


def rows_read(tx: Tx, statement: str, params: tuple[Any, ...]) -> int:
    """How many rows all steps of a plan produced."""
    (plan,) = tx.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *params)
    total, steps = 0, [plan[0][0]["Plan"]]
    while steps:
        step = steps.pop()
        total += int(step["Actual Rows"] * step["Actual Loops"]) + int(step.get("Rows Removed by Filter", 0))
        steps += step.get("Plans", [])
    return total


def test_page_600_reads_what_page_1_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.begin() as tx:
        for number in range(1200):
            resources.create(tx, EVERYTHING, {"resourceType": "Patient", "active": True}, f"p{number}")
            resources.create(tx, EVERYTHING, {"resourceType": "Location", "status": "active"}, f"l{number}")
    with store.begin() as tx:
        tx.run("ANALYZE")
    asked: list[tuple[str, tuple[Any, ...]]] = []
    ask = Tx.rows

    def noted(self: Tx, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        asked.append((statement, params))
        return ask(self, statement, *params)

    monkeypatch.setattr(Tx, "rows", noted)
    for order in ("", "_lastUpdated"):
        pairs = [("_count", "2"), *([("_sort", order)] if order else [])]
        query = parse("Patient", pairs, at=0)
        with store.begin() as tx:
            pages = 0
            following: str | None = ""
            while following is not None:
                page = search.run(tx, EVERYTHING, parse_at(query, following))
                pages, following = pages + 1, page.next
                if pages == 1:
                    first = asked[-1]
                last = asked[-1]
            assert pages == 600
            if store.dialect == "postgresql":
                assert rows_read(tx, *last) <= rows_read(tx, *first) <= 16
            else:
                for statement, params in (first, last):
                    said = " ".join(row[3] for row in ask(tx, f"EXPLAIN QUERY PLAN {statement}", *params))
                    assert "SEARCH r USING INDEX" in said, said
                    assert "TEMP B-TREE" not in said, said


def parse_at(query: Any, key: str) -> Any:
    from dataclasses import replace

    return replace(query, cursor=key or None)
