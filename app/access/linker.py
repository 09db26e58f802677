"""The linker: it runs behind the requests of a web server process, and wherever a command calls for it."""

from __future__ import annotations

import json
import os
import threading
import time

from app import observability
from app.access.checkpoints import Checkpoints, Key
from app.config import Settings
from app.policy.switches import Switches
from app.storage import chain, policies
from app.storage.engine import Store

EVERY_SECONDS = 1.0
STATED_SECONDS = 30.0


class Linker:
    """Links audit rows to the chain and keeps the signed statements. Safe to run in any number of processes."""

    def __init__(self, store: Store, checkpoints: Checkpoints, switches: Switches) -> None:
        self.store = store
        self.checkpoints = checkpoints
        self.switches = switches
        self._process: int | None = None
        self._stated = 0.0
        self._kept = False

    @classmethod
    def of(cls, store: Store, settings: Settings, switches: Switches) -> Linker:
        """A linker with the key and the folder that the settings name."""
        return cls(store, Checkpoints(settings.checkpoints_dir, Key.of_directory(settings.keys_dir)), switches)

    def keep_policy(self) -> None:
        """Keep the choices in force, so that what they decided can be decided again."""
        if not self._kept:
            said = self.switches.as_json()
            chosen = json.dumps({name: choice["value"] for name, choice in said["choices"].items()}, sort_keys=True)
            self.store.retry(lambda tx: policies.keep(tx, said["hash"], said["version"], chosen))
            self._kept = True

    def run(self) -> int:
        """Link everything that is there and state how things stand; the number of rows linked."""
        self.keep_policy()
        linked = chain.link_all(self.store)
        self._state()
        return linked

    def _state(self) -> None:
        with self.store.begin(reads=True) as tx:
            self.checkpoints.keep(chain.heads(tx), tx.at)
        self._stated = time.monotonic()

    def start(self) -> None:
        """Begin to run behind this process, unless it has begun. Called at a request, so that a fork starts its own."""
        if self._process != os.getpid():
            self._process = os.getpid()
            threading.Thread(target=self._forever, name="audit-linker", daemon=True).start()

    def _forever(self) -> None:
        unstated = True
        while True:
            time.sleep(EVERY_SECONDS)
            try:
                self.keep_policy()
                unstated = chain.link_all(self.store) > 0 or unstated
                if unstated and time.monotonic() - self._stated > STATED_SECONDS:
                    self._state()
                    unstated = False
            except Exception as error:  # the next turn tries again: what is not linked yet is not lost
                observability.event("audit_not_linked", error=type(error).__name__, place=observability.place_of(error))
                time.sleep(5 * EVERY_SECONDS)
