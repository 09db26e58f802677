"""Key sets that others publish, fetched and kept. Only from addresses that were registered, never from one in a token.

A set is fetched anew every five minutes; for a key that it does not hold, at most once a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests

from app.smart.jose import BadToken, Key, key_set

KEPT_SECONDS = 300
AGAIN_SECONDS = 60
TIMEOUT_SECONDS = 3
LARGEST = 1_000_000


@dataclass
class _Known:
    keys: list[Key]
    fetched: float


@dataclass
class Fetched:
    """The sets known so far, by address. `clock` in seconds, rising."""

    clock: Callable[[], float] = time.monotonic
    known: dict[str, _Known] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keys(self, address: str, kid: object) -> list[Key]:
        """The keys at the address, with the one named if it is there now. Raises BadToken where they cannot be had."""
        known = self.known.get(address)
        if known is not None and self._serves(known, kid):
            return known.keys
        with self.lock:
            known = self.known.get(address)
            if known is None or not self._serves(known, kid):
                known = self.known[address] = self._renewed(address, known)
            return known.keys

    def _serves(self, known: _Known, kid: object) -> bool:
        age = self.clock() - known.fetched
        held = kid is None or any(key.kid == kid for key in known.keys)
        return age < (KEPT_SECONDS if held else AGAIN_SECONDS)

    def _renewed(self, address: str, known: _Known | None) -> _Known:
        """What is there now; where it cannot be fetched, what was there, for another minute."""
        try:
            return _Known(key_set(fetch(address)), self.clock())
        except BadToken:
            if known is None:
                raise
            return _Known(known.keys, self.clock() - KEPT_SECONDS + AGAIN_SECONDS)


def fetch(address: str, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON at an address that was registered. Raises BadToken; follows no redirect."""
    return _asked("GET", address, headers=headers)


def post(address: str, form: Mapping[str, str], proof: tuple[str, str] | None = None) -> Any:
    """The JSON that a form sent there is answered with; `proof` is a name and a secret. Raises BadToken."""
    return _asked("POST", address, data=form, auth=proof)


def _asked(method: str, address: str, **options: Any) -> Any:
    try:
        with requests.request(
            method, address, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True, **options
        ) as answer:
            if answer.status_code != 200:
                raise BadToken("what is published there cannot be fetched")
            return _json(answer)
    except (requests.RequestException, ValueError) as error:
        raise BadToken("what is published there cannot be fetched") from error


def _json(answer: requests.Response) -> Any:
    body = b""
    for part in answer.iter_content(65_536):
        body += part
        if len(body) > LARGEST:
            raise BadToken("what is published there is too large")
    return orjson.loads(body)
