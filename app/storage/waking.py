"""Waking those who wait for changes: at once, and never instead of looking for oneself.

PostgreSQL's NOTIFY makes the commit that holds it wait for every other such commit, so it is not a part of the change's
transaction: a thread sends one after it, for all changes of the last moment. A waker that is lost costs a second, for
those who wait look again by themselves. Of SQLite, `data_version` tells cheaply that another connection has committed.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy import Connection, Engine

CHANNEL = "registry_changes"
GATHERING_SECONDS = 0.002
POLL_SECONDS = 0.02
CLOSING_SECONDS = 5.0  # that are given to what is still to be told


class Waker:
    """Tells those who wait that something has committed. For PostgreSQL; on SQLite they see it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._ringing = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def ring(self) -> None:
        """Returns at once."""
        self._ringing.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closed:
                    self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Tell of what has rung, and be done."""
        with self._lock:
            self._closed = True
        self._ringing.set()
        if self._thread is not None:
            self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        connection: Connection | None = None
        while not self._closed:
            self._ringing.wait()
            time.sleep(GATHERING_SECONDS)
            self._ringing.clear()
            try:
                if connection is None:
                    connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
            except Exception:  # the database is away: whoever waits looks again without being told
                if connection is not None:
                    connection.invalidate()
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()


class Listener:
    """Waits for changes of one database. For one thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.postgresql = engine.dialect.name == "postgresql"
        self._connection: Connection | None = None
        self._seen: Any = None

    def wait(self, seconds: float) -> bool:
        """Until something has committed, or `seconds` have passed; whether something has. Raises when the database is
        away."""
        try:
            driver = self._driver()
            return self._notified(driver, seconds) if self.postgresql else self._changed(driver, seconds)
        except Exception:
            self.close()
            raise

    def _driver(self) -> Any:
        if self._connection is None:
            self._connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if self.postgresql:
                self._connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        return self._connection.connection.driver_connection

    @staticmethod
    def _notified(driver: Any, seconds: float) -> bool:
        return any(True for _ in driver.notifies(timeout=seconds, stop_after=1))

    def _changed(self, driver: Any, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while True:
            now = driver.execute("PRAGMA data_version").fetchone()
            if now != self._seen:
                self._seen = now
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
