"""Gates of archives are told at once what to forget: each by a thread of its own, so that one that hangs delays no other.

A gate that cannot be reached asks again by itself when the permissions that it keeps have run out (REGISTRY_GATE_SECONDS).
The addresses are the operator's, who registered the gates; no redirect is followed.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import certifi
import orjson
import urllib3
from urllib3.exceptions import HTTPError

from app.interactions import Services
from app.interactions.flush_key import flush_key
from app.storage import flushing
from app.storage.engine import Tx
from app.storage.flushing import Feed, Gate

SECONDS = 2.0
LOOK_SECONDS = 0.5
AGAIN_SECONDS = (0.2, 1.0, 5.0)


class Line(threading.Thread):
    """What one gate is still to be told. `pending` None: everything."""

    def __init__(self, gate: Gate, key: bytes) -> None:
        super().__init__(name=f"flush-{gate.id}", daemon=True)
        self.gate, self._key = gate, key
        self._pending: set[str] | None = set()
        self._changed = threading.Condition()
        self._over = False
        self._pool = urllib3.PoolManager(num_pools=1, timeout=SECONDS, retries=False, ca_certs=certifi.where())
        self.start()

    def tell(self, studies: Iterable[str] | None) -> None:
        """Returns at once."""
        with self._changed:
            self._pending = None if studies is None or self._pending is None else self._pending | set(studies)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self.join(SECONDS + 1)

    def run(self) -> None:
        failed = 0
        while True:
            with self._changed:
                if failed:
                    self._changed.wait_for(lambda: self._over, AGAIN_SECONDS[min(failed, len(AGAIN_SECONDS)) - 1])
                else:
                    self._changed.wait_for(lambda: self._over or self._pending is None or bool(self._pending))
                if self._over:
                    break
                telling, self._pending = self._pending, set()
            if self._sent(telling):
                failed = 0
            else:
                failed += 1
                self.tell(telling)
        self._pool.clear()

    def _sent(self, studies: set[str] | None) -> bool:
        body = orjson.dumps({"studies": None if studies is None else sorted(studies)})
        signature = hmac.new(self._key, body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Registry-Signature": signature}
        try:
            answer = self._pool.request("POST", self.gate.url, body=body, headers=headers, redirect=False)
        except HTTPError:
            return False
        return 200 <= answer.status < 300


@dataclass
class Flusher:
    """Reads what has committed and hands it to the lines. For one thread."""

    services: Services
    safely: Callable[[Callable[[], object]], object]
    stopping: threading.Event
    lines: dict[Gate, Line] = field(default_factory=dict)
    feed: Feed | None = None

    def run(self) -> None:
        """Until `stopping` is set."""
        listener = self.services.store.listener()
        while not self.stopping.is_set():
            self.safely(self.turn)
            self.safely(lambda: listener.wait(LOOK_SECONDS))
        listener.close()
        for line in self.lines.values():
            line.close()

    def turn(self) -> None:
        """Tell every gate what has changed since the last turn; a gate that was not told before, to forget everything."""
        with self.services.store.begin(reads=True) as tx:
            gates = flushing.gates(tx)
            studies = self._changed(tx) if gates else []
        if not gates:
            self.feed = None
        for gone in self.lines.keys() - set(gates):
            self.lines.pop(gone).close()
        for gate in gates:
            if gate not in self.lines:
                self.lines[gate] = Line(gate, flush_key(self.services, gate.id))
                self.lines[gate].tell(None)
            elif studies is None or studies:
                self.lines[gate].tell(studies)

    def _changed(self, tx: Tx) -> list[str] | None:
        if self.feed is None:
            self.feed = flushing.begin(tx)
            return None
        return flushing.take(tx, self.services.enforcement.for_matching(tx), self.feed)
