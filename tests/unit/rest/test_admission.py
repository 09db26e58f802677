"""Admission: never more at work than there is room for, turns that go round, and nobody refused for what another asks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.subject import Subject
from app.rest.admission import RESERVE, Admission, Refusal, Turnstile


class Crowd:
    """Asks from a thread for each, and says what came of them. Nothing is left to chance: a step ends when it has settled."""

    def __init__(self, most: int, room: int, patience: float = 60.0) -> None:
        self.turnstile = Turnstile(most, room, patience)
        self.admitted: list[str] = []
        self.refused: list[tuple[str, Refusal]] = []
        self.asked = 0
        self.threads: list[threading.Thread] = []

    def ask(self, who: str, *, urgent: bool = False) -> None:
        def go() -> None:
            verdict = self.turnstile.enter(lambda: who, urgent=urgent)
            if verdict is None:
                self.admitted.append(who)
            else:
                self.refused.append((who, verdict))

        self.asked += 1
        self.threads.append(threading.Thread(target=go))
        self.threads[-1].start()
        self.settle()

    def finish(self) -> None:
        self.turnstile.leave()
        self.settle()

    def settle(self) -> None:
        end = time.monotonic() + 30
        while len(self.admitted) + len(self.refused) + self.turnstile.waiting != self.asked:
            assert time.monotonic() < end
            time.sleep(0.0005)

    def empty(self) -> None:
        while self.turnstile.at_work:
            self.finish()
        for one in self.threads:
            one.join(30)


@pytest.fixture
def crowd() -> Iterator[Callable[..., Crowd]]:
    made: list[Crowd] = []

    def make(*given: Any) -> Crowd:
        made.append(Crowd(*given))
        return made[-1]

    yield make
    for one in made:
        one.empty()


@given(
    most=st.integers(1, 3),
    room=st.integers(1, 5),
    steps=st.lists(st.sampled_from(["a", "b", "c", "urgent", "done"]), max_size=40),
)
@settings(max_examples=40, deadline=None)
def test_bounds_hold_whatever_comes_and_nothing_is_left_over(most: int, room: int, steps: list[str]) -> None:
    crowd = Crowd(most, room)
    for step in steps:
        if step == "done":
            if crowd.turnstile.at_work:
                crowd.finish()
        else:
            crowd.ask(step, urgent=step == "urgent")
        assert crowd.turnstile.at_work <= most + RESERVE
        assert crowd.turnstile.waiting <= room
        assert crowd.turnstile.at_work >= most or not crowd.turnstile.waiting
    crowd.empty()
    assert (crowd.turnstile.at_work, crowd.turnstile.waiting) == (0, 0)
    assert len(crowd.admitted) + len(crowd.refused) == crowd.asked


def test_turns_go_round_among_those_who_ask(crowd: Callable[..., Crowd]) -> None:
    here = crowd(1, 8)
    here.ask("at work")
    for who in ("greedy", "greedy", "greedy", "polite", "greedy", "other"):
        here.ask(who)
    for _ in range(6):
        here.finish()
    assert here.admitted == ["at work", "greedy", "polite", "other", "greedy", "greedy", "greedy"]


def test_who_asks_most_is_refused_for_want_of_room_and_not_who_comes_later(crowd: Callable[..., Crowd]) -> None:
    here = crowd(1, 4)
    for _ in range(5):
        here.ask("greedy")
    here.ask("polite")
    here.ask("polite")
    assert here.refused == [("greedy", Refusal.SHARE)] * 2
    here.ask("greedy")
    assert here.refused[2:] == [("greedy", Refusal.FULL)]  # it has its half, and so has the other
    here.empty()
    assert Counter(here.admitted) == {"greedy": 3, "polite": 2}


def test_one_alone_who_asks_too_much_is_told_that_there_is_no_room(crowd: Callable[..., Crowd]) -> None:
    here = crowd(1, 2)
    for _ in range(5):
        here.ask("alone")
    assert here.refused == [("alone", Refusal.FULL)] * 2


def test_an_emergency_finds_a_place_that_nobody_else_may_take(crowd: Callable[..., Crowd]) -> None:
    here = crowd(1, 1)
    here.ask("a")
    here.ask("b")
    here.ask("emergency", urgent=True)
    assert here.admitted == ["a", "emergency"]
    here.finish()
    assert here.admitted == ["a", "emergency"]  # its place is not given to another
    here.finish()
    assert here.admitted == ["a", "emergency", "b"]


def test_nobody_waits_for_ever() -> None:
    here = Turnstile(1, 4, patience=0.05)
    assert here.enter(lambda: "a") is None
    assert here.enter(lambda: "b") is Refusal.PATIENCE
    assert (here.at_work, here.waiting) == (1, 0)


def asked(app: Admission, path: str, authorization: str = "") -> tuple[str, dict[str, str], bytes]:
    said: list[Any] = []
    environ = {
        "PATH_INFO": path,
        "REQUEST_METHOD": "GET",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_AUTHORIZATION": authorization,
    }
    body = b"".join(app(environ, lambda status, headers: said.extend((status, dict(headers)))))
    return said[0], said[1], body


def inside(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError
    start("200 OK", [])
    return [b"done"]


def test_a_full_server_says_so_and_when_to_come_again_but_is_still_alive() -> None:
    turnstile = Turnstile(1, 1, patience=0.01)
    app = Admission(inside, turnstile, lambda token: None)
    assert turnstile.enter(lambda: "at work") is None
    status, headers, body = asked(app, "/fhir/Patient")
    assert status == "503 SERVICE UNAVAILABLE"
    assert headers["Retry-After"] == "1" and headers["Content-Type"].startswith("application/fhir+json")
    assert b"expected to succeed when tried again" in body
    assert asked(app, "/health/live")[0] == "200 OK"
    assert asked(app, "/fhir/Patient/p1/$break-glass")[0] == "200 OK"
    turnstile.leave()
    assert asked(app, "/fhir/Patient")[0] == "200 OK"


def test_a_place_is_given_back_whatever_happens_in_it() -> None:
    turnstile = Turnstile(1, 1)
    app = Admission(inside, turnstile, lambda token: None)
    with pytest.raises(RuntimeError):
        asked(app, "/broken")
    assert turnstile.at_work == 0


def test_only_a_token_that_was_verified_counts_for_its_client() -> None:
    app = Admission(inside, Turnstile(1, 1), {"good": Subject("epr", "backend", "ods:RXA")}.get)
    who = [
        app._who({"HTTP_AUTHORIZATION": one, "REMOTE_ADDR": "192.0.2.1"}) for one in ("Bearer good", "Bearer bad", "")
    ]
    assert who == ["client epr ods:RXA", "address 192.0.2.1", "address 192.0.2.1"]
