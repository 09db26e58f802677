"""Three times what the server can do, from one greedy client and one polite: whatever is answered is right, the rest is told to
come again, and the polite one never is."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from app.demo import story
from tests.support.server import Running

CONNECTIONS = 12  # one is at work and three wait: three times as many as there is room for
EACH = 25


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Running]:
    """A server that does one thing at a time."""
    running = Running(tmp_path, REGISTRY_WORKERS="1", REGISTRY_THREADS="1", REGISTRY_WAITING="3")
    running.start()
    yield running
    running.close()


def asked(server: Running, token: str, times: int, answers: list[tuple[int, str | None, bytes]]) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    for _ in range(times):
        connection.request("GET", f"/fhir{story.SEARCH_PATH}", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answers.append((answer.status, answer.getheader("Retry-After"), answer.read()))
    connection.close()


def test_at_three_times_the_capacity_answers_are_right_refusals_are_told_and_the_polite_are_served(
    narrow: Running,
) -> None:
    greedy, polite = (
        narrow.flask("token", "--client", client).strip() for client in (story.STORY_CLIENT, "demo-steward")
    )
    first: list[tuple[int, str | None, bytes]] = []
    asked(narrow, polite, 1, first)  # who this is has been verified from here on
    asked(narrow, greedy, 1, first)
    assert [status for status, _, _ in first] == [200, 200]
    by_greedy: list[tuple[int, str | None, bytes]] = []
    by_polite: list[tuple[int, str | None, bytes]] = []
    threads = [threading.Thread(target=asked, args=(narrow, greedy, EACH, by_greedy)) for _ in range(CONNECTIONS)]
    threads.append(threading.Thread(target=asked, args=(narrow, polite, EACH, by_polite)))
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    statuses = Counter(status for status, _, _ in by_greedy)
    assert sum(statuses.values()) == CONNECTIONS * EACH and statuses.keys() <= {200, 429, 503}
    assert statuses[200] and statuses.total() > statuses[200]
    for status, retry_after, body in by_greedy:
        said = json.loads(body)
        if status == 200:
            assert {one["resource"]["resourceType"] for one in said["entry"]} == {"ImagingStudy", "Endpoint"}
        else:
            assert retry_after == "1" and said["issue"][0]["code"] in ("throttled", "transient")
    assert Counter(status for status, _, _ in by_polite) == {200: EACH}
    connection = HTTPConnection("127.0.0.1", narrow.port, timeout=60)
    connection.request("GET", "/metrics")
    told = connection.getresponse().read().decode()
    connection.close()
    counted = sum(
        float(line.split()[-1]) for line in told.splitlines() if line.startswith("registry_turned_away_total{")
    )
    assert counted == statuses.total() - statuses[200]
