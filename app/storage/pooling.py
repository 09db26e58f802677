"""Connections that are lent and given back: the last one first, for it is the warmest. Nobody waits for one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from app.storage.links import Link

IDLE = 16  # that are kept
LIFE_SECONDS = 1800.0


class Pool:
    """As many links as are wanted at once; those given back are kept for the next, up to IDLE and for half an hour."""

    def __init__(self, make: Callable[[], Link]) -> None:
        self._make = make
        self._idle: deque[Link] = deque()

    def take(self) -> Link:
        """A link of one's own. Raises what the database's driver raises where none can be made."""
        while True:
            try:
                link = self._idle.pop()
            except IndexError:
                link = self._make()
                link.until = time.monotonic() + LIFE_SECONDS
                return link
            if time.monotonic() < link.until:
                return link
            link.close()

    def give(self, link: Link) -> None:
        """Back, for the next."""
        if len(self._idle) < IDLE:
            self._idle.append(link)
        else:
            link.close()

    def close(self) -> None:
        """Close all that are not lent."""
        while self._idle:
            self._idle.pop().close()
