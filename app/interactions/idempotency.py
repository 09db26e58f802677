"""Idempotency-Key on POST: within 24 hours the same request gets its first answer, and changes nothing again.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header. The key belongs to the client (and its user),
and the answer is kept in the transaction of the change. A request that was refused has changed nothing and keeps
nothing. Another request under a key that is taken is refused with 422. Reads inside a Bundle are asked again each time:
a first answer is no permission to see a study that may no longer be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from app.access import audit
from app.fhir.outcome import Fault
from app.fhir.resource import dump
from app.interactions import Answer, Asked, Services
from app.interactions.writing import current
from app.storage import idempotency
from app.storage.engine import Tx

HEADER = "Idempotency-Key"
LONGEST = 255


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given first. `ref` is the resource ("Type/id") that its body shows, if it shows one."""

    answer: Answer
    ref: str | None


def fingerprint(asked: Asked, what: str, resource: dict[str, Any]) -> bytes:
    """What makes a request the same: the address, the condition and the resource, whatever format it came in."""
    said = (what, asked.if_none_exist or "", dump(resource).decode())
    return blake2b("\x1f".join(said).encode(), digest_size=16).digest()


def first(tx: Tx, asked: Asked, request: bytes, part: int = 0) -> dict[int, Kept] | None:
    """The answers that were given first, by place; None where there are none, or the request has no key.

    Raises Fault "invalid" for a key that is none, "unprocessable" for one that was used for something else.
    """
    if asked.idempotency_key is None:
        return None
    found = idempotency.claim(tx, _holder(asked), _key(asked.idempotency_key), part, request)
    if not found.same:
        raise Fault(
            "unprocessable",
            "the key was used for another request; expected a new key, or the same request again",
            HEADER,
        )
    return None if found.answer is None else _loaded(found.answer)


def keep(tx: Tx, asked: Asked, answers: Mapping[int, Answer], part: int = 0) -> dict[int, Kept]:
    """Keep the answers, in the transaction that is open; those that are kept."""
    kept = {index: Kept(answer, _shown(answer)) for index, answer in answers.items()}
    if asked.idempotency_key is None:
        return kept
    rows = [
        [index, one.answer.status, dict(one.answer.headers), (one.answer.body or b"").decode(), one.ref]
        for index, one in kept.items()
    ]
    return _loaded(idempotency.keep(tx, _holder(asked), asked.idempotency_key, part, orjson.dumps(rows)))


def again(services: Services, tx: Tx, asked: Asked, interaction: str, type_name: str, kept: Kept) -> Answer:
    """The first answer once more: to whom may still write it, and recorded like any other."""
    answer, found = kept.answer, None
    if kept.ref is not None:
        kind, id = kept.ref.split("/")
        found = current(services, tx, asked, kind, id, interaction)
        if found is None:
            answer = Answer(answer.status, None, answer.headers)
    elif answer.status < 400 and type_name:
        services.enforcement.check_writer(asked.subject, interaction, type_name)
    audit.record(
        tx,
        asked.subject,
        None,
        interaction,
        type_name,
        status=answer.status,
        disclosed=[found] if found is not None else [],
        detail="the first answer again, by its Idempotency-Key",
        request_id=asked.request_id,
    )
    return answer


def _loaded(content: bytes) -> dict[int, Kept]:
    return {
        index: Kept(Answer(status, body.encode() or None, headers), ref)
        for index, status, headers, body, ref in orjson.loads(content)
    }


def _shown(answer: Answer) -> str | None:
    if answer.body is None or answer.status >= 400:
        return None
    said = orjson.loads(answer.body)
    return f"{said['resourceType']}/{said['id']}" if "id" in said else None


def _key(text: str) -> str:
    if not 0 < len(text) <= LONGEST or not text.isascii() or not text.isprintable():
        raise Fault("invalid", f"the key cannot be used; expected 1 to {LONGEST} printable ASCII characters", HEADER)
    return text


def _holder(asked: Asked) -> bytes:
    who = asked.subject
    parts = (who.client_id, who.practitioner or "", who.organisation or "", who.patient or "")
    return blake2b("\x1f".join(parts).encode(), digest_size=16).digest()
