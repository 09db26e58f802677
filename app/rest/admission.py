"""Admission: how many requests are at work at once, who waits, and who is asked to come again.

A process does not become slower for everybody when more is asked of it than it can do: as many requests as it has threads for
are at work, a bounded number waits, and the rest is refused at once, before anything of it is read. Whose turn is next goes
round among those who ask, each by its verified client and organisation, or by its address: one that asks much waits behind
itself, and when there is no room, it is the one that is refused.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from app import observability
from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.rest import errors, negotiate
from app.rest.call import Call

PATIENCE_SECONDS = 5.0  # that a request waits for its turn at most; whoever asked has often gone by then
RETRY_SECONDS = 1
EXEMPT = ("/health/", "/metrics")
URGENT = ("$break-glass", "$emergency-access")
RESERVE = 1  # that may be at work besides, for an emergency alone

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Refusal(Enum):
    """Why a request is not admitted."""

    SHARE = "who asks has more waiting than its share"
    FULL = "all who ask have their share, and there is room for no more"
    PATIENCE = "its turn did not come in time"


@dataclass(slots=True, eq=False)
class _Waiting:
    """One that waits. `verdict`: True for admitted; None while it is open."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    verdict: Literal[True] | Refusal | None = None


class Turnstile:
    """Lets `most` through at once and `room` wait; for any number of threads. Every `enter` that returned None is followed
    by one `leave`."""

    def __init__(self, most: int, room: int, patience: float = PATIENCE_SECONDS) -> None:
        self.most, self.room, self.patience = most, room, patience
        self.at_work = 0
        self.waiting = 0
        self._lock = threading.Lock()
        self._queues: OrderedDict[str, deque[_Waiting]] = OrderedDict()  # by who asks, the next in turn first

    def enter(self, who: Callable[[], str], *, urgent: bool = False) -> Refusal | None:
        """None once it may go to work; else why not. `who` asks is found out only where that matters."""
        most = self.most + RESERVE if urgent else self.most
        with self._lock:
            if self.at_work < most and not self.waiting:
                self.at_work += 1
                return None
        name = who()
        with self._lock:
            if self.at_work < most:
                self.at_work += 1
                return None
            if self.waiting >= self.room and (refused := self._make_room(name)) is not None:
                return refused
            one = _Waiting()
            one.turn.acquire()
            self._queues.setdefault(name, deque()).append(one)
            self.waiting += 1
        one.turn.acquire(timeout=self.patience)
        with self._lock:
            if one.verdict is None:
                self._forget(name, one)
                one.verdict = Refusal.PATIENCE
        return None if one.verdict is True else one.verdict

    def leave(self) -> None:
        """Done; whoever is next goes to work."""
        with self._lock:
            self.at_work -= 1
            if self._queues and self.at_work < self.most:
                who, queue = next(iter(self._queues.items()))
                one = queue.popleft()
                if queue:
                    self._queues.move_to_end(who)
                else:
                    del self._queues[who]
                self.waiting -= 1
                self.at_work += 1
                one.verdict = True
                one.turn.release()

    def _make_room(self, who: str) -> Refusal | None:
        """Refuse the newest of whoever has most waiting; if that is `who` itself, say which refusal is theirs."""
        mine = len(self._queues.get(who, ()))
        greediest, queue = max(self._queues.items(), key=lambda one: len(one[1]), default=(who, deque()))
        if len(queue) <= mine + 1:
            return Refusal.SHARE if mine > self.room / max(1, len(self._queues)) else Refusal.FULL
        one = queue[-1]
        self._forget(greediest, one)
        one.verdict = Refusal.SHARE
        one.turn.release()
        return None

    def _forget(self, who: str, one: _Waiting) -> None:
        queue = self._queues[who]
        queue.remove(one)
        if not queue:
            del self._queues[who]
        self.waiting -= 1


class Admission:
    """WSGI before everything else. `known`: the subject of a token that this process has verified before, asked of no
    database; nobody can use up another's share with a token that is none."""

    def __init__(self, after: Wsgi, turnstile: Turnstile, known: Callable[[str], Subject | None]) -> None:
        self.after = after
        self.turnstile = turnstile
        self.known = known

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(EXEMPT):
            return self.after(environ, start_response)
        refused = self.turnstile.enter(lambda: self._who(environ), urgent=path.endswith(URGENT))
        if refused is not None:
            return _refuse(environ, start_response, refused)
        try:
            return self.after(environ, start_response)
        finally:
            self.turnstile.leave()

    def _who(self, environ: dict[str, Any]) -> str:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        subject = self.known(token.strip()) if scheme.lower() == "bearer" else None
        if subject is None:
            return f"address {environ.get('REMOTE_ADDR', '')}"
        return f"client {subject.client_id} {subject.organisation}"


def _refuse(environ: dict[str, Any], start_response: Callable[..., Any], refused: Refusal) -> Iterable[bytes]:
    """Not a byte of the body is read, and nothing is asked of the database: there is no record of it but the count."""
    observability.turned_away(refused.name.lower())
    text = (
        "this client has more requests waiting than its share; expected fewer at once"
        if refused is Refusal.SHARE
        else "the registry has more to do than it can; expected to succeed when tried again"
    )
    call = Call(environ, "", "", {})
    fault = Fault(
        "throttled" if refused is Refusal.SHARE else "transient", text, headers={"Retry-After": str(RETRY_SECONDS)}
    )
    reply = errors.rendered(call, fault)
    negotiate.finish(call, reply.headers)
    start_response(*reply.wsgi())
    return [reply.body]
