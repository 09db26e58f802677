"""The clock jumps, back and forth, while resources change: versions stay in order, and the feed misses nothing."""

from __future__ import annotations

import random
from pathlib import Path

import orjson

from app.storage.engine import microseconds
from tests.faults.common import Found, person, region, sound

HOUR = 3_600_000_000


def run(dburl: str, folder: Path, size: int) -> Found:
    """`size` versions of ten patients, each written at another time of up to an hour before or after the real one."""
    found, chance = Found(), random.Random(1)
    with region(dburl, folder) as (app, steward):
        store = app.extensions["services"].store
        written = 0
        for number in range(size):
            jump = chance.randint(-HOUR, HOUR)
            store.clock = lambda jump=jump: microseconds() + jump
            answer = steward.put(
                f"/Patient/c{number % 10}", person(f"c{number % 10}", birthDate=f"19{number % 90 + 10}")
            )
            written += answer.status_code in (200, 201)
        store.clock = microseconds
        found.counters |= {"versions": written, "asked for": size}
        found.must(written == size, "every version is stored")
        unordered = told = 0
        for id in range(min(10, size)):
            page = steward.get(f"/Patient/c{id}/_history?_count=500").json["entry"]
            instants = [one["resource"]["meta"]["lastUpdated"] for one in page]
            told += len(instants)
            unordered += instants != sorted(instants, reverse=True) or len(set(instants)) != len(instants)
        feed = 0
        path = "/Patient/_history?_since=2020-01-01T00:00:00Z&_count=100"
        while path:
            page = orjson.loads(steward.get(path).data)
            feed += sum("/Patient/c" in one["fullUrl"] for one in page.get("entry", ()))
            following = [link["url"] for link in page["link"] if link["relation"] == "next"]
            path = following[0].partition("/fhir")[2] if following and page.get("entry") else ""
        found.counters |= {"in the histories": told, "in the feed": feed, "out of order": unordered}
        found.must(told == size, "every version is in its history")
        found.must(feed == size, "the feed has every version once")
        found.must(not unordered, "a later version has a later instant")
        sound(app, found)
    return found
