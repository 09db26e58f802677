"""The worker: matches what has changed, delivers what is due, announces what time brings. Any number may run at once.

One thread matches and wakes the others, which deliver. It wakes with the commit (LISTEN on PostgreSQL, a cheap poll on
SQLite) and looks by itself every half second all the same. When the database is away it waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app import observability
from app.interactions import Services
from app.notifications.deliver import PATIENCE_HOURS, Deliverer, LeaseLost, waiting_time
from app.notifications.endpoint import Sender
from app.notifications.flushing import Flusher
from app.notifications.matching import Matcher
from app.notifications.scheduled import announce
from app.pathways.choice.questionnaire import publish
from app.pathways.scheduled import begin, carry_out
from app.storage.engine import unavailable

LOOK_SECONDS = 0.5
SCHEDULE_SECONDS = 5.0
PAUSE_SECONDS = 1.0


@dataclass
class Worker:
    """`threads` deliver at once: a receiver that hangs holds one of them, and only until its time is up. `hours` is how
    long one that fails is tried, `wait` the seconds until the next try by the number of tries so far."""

    services: Services
    threads: int = 4
    hours: float = PATIENCE_HOURS
    wait: Callable[[int], float] = waiting_time
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stopping` is set; what is being sent is finished first."""
        self._awake = threading.Condition()
        deliverers = [threading.Thread(target=self._deliver, name=f"deliver-{n}") for n in range(self.threads)]
        flusher = Flusher(self.services, self._safely, self.stopping)
        others = [*deliverers, threading.Thread(target=flusher.run, name="flush")]
        for one in others:
            one.start()
        try:
            self._match()
        finally:
            self.stopping.set()
            self._wake()
            for one in others:
                one.join()

    def _match(self) -> None:
        self._safely(lambda: self.services.store.retry(lambda tx: publish(self.services, tx)))
        self._safely(lambda: begin(self.services))
        matcher, listener = Matcher(self.services), self.services.store.listener()
        scheduled = 0.0
        while not self.stopping.is_set():
            matched = self._safely(matcher.turn)
            if matched:
                self._wake()
                continue
            if time.monotonic() >= scheduled:
                scheduled = time.monotonic() + SCHEDULE_SECONDS
                self._safely(lambda: announce(self.services))
                self._safely(lambda: carry_out(self.services))
                if self._safely(matcher.recheck):
                    self._wake()
            if self._safely(lambda: listener.wait(LOOK_SECONDS)):
                self._wake()
        listener.close()

    def _deliver(self) -> None:
        sender = Sender(self.services.settings)
        deliverer = Deliverer(self.services, sender, Matcher(self.services), self.hours, self.wait)
        while not self.stopping.is_set():
            if not self._safely(deliverer.turn):
                with self._awake:
                    if not self.stopping.is_set():
                        self._awake.wait(LOOK_SECONDS)
        sender.close()

    def _wake(self) -> None:
        with self._awake:
            self._awake.notify_all()

    def _safely(self, work: Callable[[], object]) -> object:
        """A fault of one turn ends none of the others; what was not settled is done again."""
        try:
            return work()
        except LeaseLost:
            return True
        except Exception as error:
            if unavailable(error):
                observability.event("database_unavailable", request_id="worker")
            else:
                observability.event(
                    "notification_failed", error=type(error).__name__, place=observability.place_of(error)
                )
            self.stopping.wait(PAUSE_SECONDS)
            return False
