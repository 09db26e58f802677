"""One subscription's turn: what is due is decided, numbered and recorded, then sent, then settled.

The decision, the number and the audit row commit before anything is sent (no audit, no answer); what was sent is settled
after. A process that is killed between the two sends the same events with the same numbers again.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from app import tracing
from app.fhir import notification
from app.fhir.notification import Event
from app.interactions import Services
from app.interactions.notifying import WITHDRAWN, event_of
from app.interactions.subscribing import Subscriber, load, signing_key, tell
from app.notifications.endpoint import Sender, Undeliverable, signature
from app.notifications.matching import Matcher
from app.storage import oauth, subscriptions, telling
from app.storage.engine import Tx
from app.storage.subscriptions import SENT, SUPPRESSED, Notice, Standing

SECOND = 1_000_000
LEASE_SECONDS = 120
TURN = 20  # events that one turn decides together
FIRST_WAIT = 0.5
LONGEST_WAIT = 600.0
PATIENCE_HOURS = 72


@dataclass(frozen=True)
class Due:
    """What a turn is to send: notices in order, each with the event as its receiver may know it."""

    subscriber: Subscriber
    events: list[tuple[Notice, Event, str | None]]
    handshake: bool = False


@dataclass
class Deliverer:
    """Sends for one thread. `hours` is how long a receiver that fails is tried, `wait` the seconds between."""

    services: Services
    sender: Sender
    matcher: Matcher
    hours: float
    wait: Callable[[int], float]
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def turn(self) -> bool:
        """Serve the subscription that has been due the longest; False where none is."""
        holder = f"{self.name}-{uuid.uuid4().hex[:8]}"
        due = self.services.store.retry(lambda tx: self._prepared(tx, holder))
        if due is None:
            return False
        if isinstance(due, Standing):
            return True  # it had nothing to send after all, and was settled
        problem = None
        sent: list[Notice] = []
        try:
            for batch in self._batches(due):
                self._send(due.subscriber, batch, handshake=due.handshake)
                sent += [notice for notice, *_ in batch]
        except Undeliverable as error:
            problem = str(error)
        self.services.store.retry(lambda tx: self._settled(tx, due, holder, sent, problem))
        return True

    # Before it is sent -------------------------------------------------------------------------------------------

    def _prepared(self, tx: Tx, holder: str) -> Due | Standing | None:
        standing = subscriptions.claim(tx, holder, LEASE_SECONDS)
        if standing is None:
            return None
        client = oauth.find(tx, standing.client)
        subscriber = load(self.services, tx, standing, client)
        if subscriber is None:
            return self._ended(
                tx, standing, holder, "the client of this subscription is disabled, or it cannot be read"
            )
        if subscriber.watch.end is not None and subscriber.watch.end <= tx.at:
            return self._ended(tx, standing, holder, "", "off")
        if standing.state == "requested":
            return Due(subscriber, [], handshake=True)
        events = self._decided(
            tx, subscriber, subscriptions.pending(tx, standing.rid, max(TURN, subscriber.watch.most))
        )
        if not events and not self._beats(tx, standing):
            self._release(tx, standing, holder, due=self._next_beat(tx, standing, standing.spoke))
            return standing
        return Due(subscriber, events)

    def _decided(self, tx: Tx, subscriber: Subscriber, notices: list[Notice]) -> list[tuple[Notice, Event, str | None]]:
        """Each event as it may be told now. What may not be told is settled and recorded; one that was numbered before
        keeps its number, and says nothing else."""
        found: list[tuple[Notice, Event, str | None]] = []
        sent, numbers, suppressed = subscriber.standing.sent, [], []
        for notice in notices:
            event, nhs_number = event_of(
                self.services, tx, subscriber.subject, subscriber.watch, subscriber.ref, notice
            )
            if event is None:
                if notice.number is None:
                    suppressed.append(notice.seq)
                    continue
                event = Event(0, notice.at, None)
            number = notice.number
            if number is None:
                sent = number = sent + 1
                numbers.append((notice.seq, number))
            self._remember(tx, subscriber, notice, event)
            found.append((notice, event._replace(number=number), nhs_number))
        if numbers:
            subscriptions.number(tx, subscriber.standing.rid, numbers, sent)
        subscriptions.settle(tx, suppressed, SUPPRESSED)
        return found

    @staticmethod
    def _remember(tx: Tx, subscriber: Subscriber, notice: Notice, event: Event) -> None:
        """What the client knows from now on."""
        if notice.topic == WITHDRAWN:
            telling.forgotten(tx, notice.rid, subscriber.subject.client_id)
        elif event.focus is not None:
            telling.shown(tx, notice.rid, subscriber.subject.client_id)

    # Sending -----------------------------------------------------------------------------------------------------

    def _batches(self, due: Due) -> list[list[tuple[Notice, Event, str | None]]]:
        watch = due.subscriber.watch
        size = watch.most if watch.topic is not None and not watch.cloud else 1
        events = due.events
        return [events[start : start + size] for start in range(0, len(events), size)] or [[]]

    def _send(
        self, subscriber: Subscriber, batch: list[tuple[Notice, Event, str | None]], *, handshake: bool = False
    ) -> None:
        """One request. Raises Undeliverable. Only topics know of handshakes and heartbeats."""
        if not batch and subscriber.watch.topic is None:
            return
        watch, base, at = subscriber.watch, self.services.settings.base_url, self.services.store.clock()
        method, url, body, kind = "POST", watch.endpoint, b"", notification_type(subscriber)
        events = [event for _, event, _ in batch]
        if watch.cloud and events:
            name = watch.topic.name if watch.topic else watch.type
            source = self.services.settings.origin
            body = notification.cloud_event(base, subscriber.ref, name, events[0], subject=batch[0][2], source=source)
        elif watch.topic is not None or not events:
            said = notification.status(
                base,
                subscriber.ref,
                state="requested" if handshake else "active",
                kind="handshake" if handshake else ("event-notification" if events else "heartbeat"),
                sent=events[-1].number if events else subscriber.standing.sent,
                topic=watch.topic.url if watch.topic else None,
                events=events,
                focused=watch.content != "empty",
            )
            shown = [] if watch.content == "empty" else events
            body, kind = notification.bundle(base, subscriber.ref, said, shown, at=at), "application/fhir+json"
        elif events[0].focus is not None and watch.content != "empty":
            method = "DELETE" if events[0].method == "DELETE" else "PUT"
            url, body = f"{watch.endpoint.rstrip('/')}/{events[0].focus}", events[0].content or b""
        headers = {**dict(watch.headers), "X-Request-Id": str(uuid.uuid4()), **tracing.onward()}
        if events:
            headers["X-Registry-Event-Number"] = str(events[-1].number)
        if body:
            headers["Content-Type"] = kind
        headers["X-Registry-Signature"] = signature(signing_key(self.services, subscriber.ref), at, body)
        self.sender.send(method, url, body, headers, watch.timeout)

    # After it was sent -------------------------------------------------------------------------------------------

    def _settled(self, tx: Tx, due: Due, holder: str, sent: list[Notice], problem: str | None) -> None:
        standing = due.subscriber.standing
        tx.begin()
        subscriptions.settle(tx, [one.seq for one in sent], SENT)
        if problem is not None:
            self._failed(tx, due, holder, problem, progressed=bool(sent))
        elif due.handshake:
            self.matcher.begin(tx, due.subscriber)
            self._release(tx, standing, holder, state="active", due=self._next_beat(tx, standing, tx.at))
            tell(self.services, tx, standing.id, "active", None)
        else:
            self._release(tx, standing, holder, due=self._next_beat(tx, standing, tx.at))

    def _failed(self, tx: Tx, due: Due, holder: str, problem: str, *, progressed: bool) -> None:
        standing = due.subscriber.standing
        failing = tx.at if standing.failing is None or progressed else standing.failing
        attempts = 1 if progressed else standing.attempts + 1
        # A receiver that cannot be reached when it subscribes is told so at once, and asks again.
        given_up = due.handshake or tx.at - failing >= self.hours * 3600 * SECOND
        if given_up:
            subscriptions.bury(tx, standing.rid)
            self._release(
                tx, standing, holder, state="error", due=None, attempts=attempts, failing=failing, problem=problem
            )
            tell(self.services, tx, standing.id, "error", problem)
            return
        again = tx.at + int(self.wait(attempts) * SECOND)
        self._release(tx, standing, holder, due=again, attempts=attempts, failing=failing, problem=problem)

    def _ended(self, tx: Tx, standing: Standing, holder: str, problem: str, state: str = "error") -> Standing:
        subscriptions.bury(tx, standing.rid)
        self._release(tx, standing, holder, state=state, due=None, attempts=1, problem=problem)
        tell(self.services, tx, standing.id, state, problem or None)
        return standing

    @staticmethod
    def _release(
        tx: Tx,
        standing: Standing,
        holder: str,
        *,
        due: int | None,
        state: str | None = None,
        attempts: int = 0,
        failing: int | None = None,
        problem: str = "",
    ) -> None:
        kept = subscriptions.release(
            tx,
            standing,
            holder,
            state=state or standing.state,
            due=due,
            attempts=attempts,
            failing=failing,
            problem=problem,
        )
        if not kept:
            raise LeaseLost

    def _beats(self, tx: Tx, standing: Standing) -> bool:
        return standing.heartbeat is not None and standing.spoke + standing.heartbeat <= tx.at

    @staticmethod
    def _next_beat(tx: Tx, standing: Standing, spoke: int) -> int | None:
        return None if standing.heartbeat is None else max(spoke + standing.heartbeat, tx.at + SECOND)


class LeaseLost(Exception):
    """Another worker took the subscription over meanwhile: what this one did is not kept."""


def notification_type(subscriber: Subscriber) -> str:
    """The media type of what is sent."""
    return "application/cloudevents+json" if subscriber.watch.cloud else "application/fhir+json"


def waiting_time(attempts: int) -> float:
    """Seconds until the next try: twice as long each time, within bounds, and spread by chance."""
    return float(min(FIRST_WAIT * 2 ** (attempts - 1), LONGEST_WAIT) * random.uniform(0.75, 1.25))
