"""The lease of a source: of several processes that harvest, one reads an archive at a time.

It is renewed from beside the round, so that an archive that answers slowly costs nobody the lease. Whoever lost it all the
same (stopped for long, and taken for dead) keeps nothing of the position any more; the studies that it wrote are right.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from dataclasses import replace

from app.storage import sources
from app.storage.engine import Store
from app.storage.sources import State

LEASE_SECONDS = 30  # without a word, after which another process may read the source
BEAT_SECONDS = 8


class Lost(Exception):
    """Another process reads the source now."""


class Held:
    """A source that is this process's to read, and its state as it was kept last."""

    def __init__(self, store: Store, holder: str, state: State) -> None:
        self.store = store
        self.holder = holder
        self.state = state
        self._lost, self._over = threading.Event(), threading.Event()
        self._beating = threading.Thread(target=self._beat, name=f"lease {state.name}", daemon=True)
        self._beating.start()

    @classmethod
    def claim(cls, store: Store, began: State) -> Held | None:
        """The source with how far it has been read, `began` where it was not; None while another process reads it."""
        holder = uuid.uuid4().hex
        found = store.retry(lambda tx: sources.claim(tx, began, holder, LEASE_SECONDS))
        if found is None:
            return None
        same = (found.endpoint, found.kind) == (began.endpoint, began.kind)
        return cls(store, holder, replace(found, patience=began.patience) if same else began)

    def save(self, state: State) -> None:
        """Raises Lost."""
        if not self.store.retry(lambda tx: sources.save(tx, state, self.holder)):
            raise Lost
        self.state = state

    def check(self) -> None:
        """Raises Lost."""
        if self._lost.is_set():
            raise Lost

    def release(self) -> None:
        self._over.set()
        self._beating.join()
        self._renew(0)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with contextlib.suppress(Exception):  # the database is away: it is asked again, and at the next save
                if not self._renew(LEASE_SECONDS):
                    self._lost.set()

    def _renew(self, seconds: int) -> bool:
        return self.store.retry(lambda tx: sources.renew(tx, self.state.name, self.holder, seconds))
