"""The first page of a long search, and the thousandth reached by following its links: paging by key costs the same."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.harness.table import Bench, Row, Target, measured

PAGES = 1_000
SIZE = 10
TURNS = 30
TARGET = Target("≤ 1.5 ×", lambda row: row.value is not None and row.value <= 1.5)


class Reader:
    """One kept connection of the region's steward, who sees all."""

    def __init__(self, bench: Bench) -> None:
        parts = urlsplit(bench.site.address)
        self.http = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        self.headers = {"Authorization": f"Bearer {bench.site.tokens['steward']}"}

    def page(self, address: str) -> tuple[dict[str, Any], float]:
        """A page, and the milliseconds it took."""
        began = time.perf_counter()
        self.http.request("GET", address, headers=self.headers)
        answer = self.http.getresponse()
        body = answer.read()
        took = (time.perf_counter() - began) * 1000
        assert answer.status == 200, body[:500]
        return json.loads(body), took


def following(page: dict[str, Any]) -> str | None:
    found = [link["url"] for link in page["link"] if link["relation"] == "next"]
    return urlsplit(found[0])._replace(scheme="", netloc="").geturl() if found else None


@measured("deep page", "p50 of page 1,000 ÷ p50 of page 1", TARGET)
def deep_page(bench: Bench) -> Row:
    reader, first, seen = Reader(bench), f"/fhir/ImagingStudy?_count={SIZE}", set()
    address, number = first, 0
    while True:
        page, _ = reader.page(address)
        number += 1
        found = {entry["resource"]["id"] for entry in page["entry"]}
        assert len(found) == SIZE or following(page) is None
        assert not found & seen, "a study came on two pages"
        seen |= found
        onward = following(page)
        if onward is None or number == PAGES:
            break
        address = onward
    times: dict[str, list[float]] = {first: [], address: []}
    for _ in range(TURNS):  # in turns, so that what else the machine does concerns both
        for one, found_times in times.items():
            found_times.append(reader.page(one)[1])
    reader.http.close()
    early, late = (statistics.median(found_times) for found_times in times.values()) if address != first else (1.0, 1.0)
    return Row(
        "deep page",
        f"p50 of page {number:,} ÷ p50 of page 1",
        value=round(late / early, 3),
        unit="×",
        number=2 * TURNS,
        notes={"page 1 ms": round(early, 3), f"page {number} ms": round(late, 3), "studies passed": len(seen)},
    )
