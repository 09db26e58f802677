"""A form on its way, until it is sent: kept here under encryption, for one browser, and gone after a day.

The page carries a copy of its own, sealed too, from which an answer that comes after the kept one has gone begins anew:
so a long pause costs nothing.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

from app.interactions import Services
from app.storage import drafts

Answers = dict[str, Any]
LIFE = 24 * 3_600 * 1_000_000  # µs
MARK = "draft of a choice"


def keep(services: Services, id: str, browser: str, answers: Answers) -> None:
    """`id` and `browser` are random texts of which only hashes are kept."""
    body = services.seal(orjson.dumps(answers))
    services.store.retry(lambda tx: drafts.put(tx, _hash(id), _hash(browser), body, tx.at + LIFE))


def find(services: Services, id: str, browser: str) -> Answers | None:
    """The answers so far; None for another browser's, one that is too old, or none."""
    with services.store.begin(reads=True) as tx:
        body = drafts.find(tx, _hash(id), _hash(browser))
    return _opened(services, body) if body is not None else None


def copy(services: Services, id: str, answers: Answers) -> str:
    """What the page carries along."""
    held = {"mark": MARK, "id": id, "at": services.store.clock(), "answers": answers}
    return services.seal(orjson.dumps(held))


def restored(services: Services, id: str, text: str) -> Answers | None:
    """The answers that a page carried along; None for anything but a copy of this draft that is not a day old."""
    held = _opened(services, text)
    if held is None or held.get("mark") != MARK or held.get("id") != id:
        return None
    return held["answers"] if services.store.clock() - held["at"] < LIFE else None


def _opened(services: Services, text: str) -> Answers | None:
    try:
        found = orjson.loads(services.open_seal(text))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=24, person=b"draft").hexdigest()
