"""The audit as NDJSON that proves itself: a head with the public key, each record with its place in the chain, then the
signed statements. Nothing else is needed to verify it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from app.access.checkpoints import Checkpoint, Checkpoints, Key, written
from app.access.linker import Linker
from app.storage import chain
from app.storage.audit import ENVELOPE
from app.storage.chain import Link
from app.storage.engine import Store

FORMAT = 1
EPOCH = date(1970, 1, 1)


def lines(store: Store, linker: Linker) -> Iterator[bytes]:
    """Everything that is linked now, in order, one line each."""
    linker.run()
    key, checkpoints = linker.checkpoints.key, linker.checkpoints
    with store.begin(reads=True) as tx:
        heads = chain.heads(tx)
        yield _line({"kind": "head", "format": FORMAT, "key": key.public})
        for link in chain.links(tx, ENVELOPE, heads[-1] if heads else None):
            said = {"kind": "record", "day": written(link.day), "n": link.n, "seq": link.seq, "hash": link.hash.hex()}
            yield _line(said | {"record": orjson.Fragment(link.record or b"null")})
    yield from _statements(checkpoints, heads)


def _statements(checkpoints: Checkpoints, heads: list[chain.Head]) -> Iterator[bytes]:
    kept = checkpoints.statements()
    days = [written(head.day) for head in heads]
    for day in days[:-1]:
        if day in kept:
            yield _line({"kind": "checkpoint", "name": day, "statement": kept[day].strip()})
    if heads:
        standing = checkpoints.key.open(kept["standing"].strip()) or {}
        said = Checkpoint.of(heads[-1], standing.get("previous", "")).as_json()
        yield _line({"kind": "checkpoint", "name": "standing", "statement": checkpoints.key.sign(said)})


def _line(said: dict[str, Any]) -> bytes:
    return orjson.dumps(said) + b"\n"


@dataclass
class Export:
    """An export that is being read. `statements` and `key` are whole once `links` has run to its end."""

    source: Iterable[bytes]
    statements: dict[str, str] = field(default_factory=dict)
    key: Key | None = None

    def links(self) -> Iterator[Link]:
        """The records' places. Raises ValueError, naming the line, for what is not an export."""
        for number, line in enumerate(self.source, 1):
            try:
                said = orjson.loads(line)
                match said["kind"]:
                    case "head":
                        self.key = Key.of_json(said["key"])
                    case "record":
                        yield self._link(line, said)
                    case "checkpoint":
                        self.statements[said["name"]] = said["statement"]
                    case _:
                        raise ValueError("another kind")
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"line {number} is not one of an export; expected what `audit export` writes"
                ) from error

    @staticmethod
    def _link(line: bytes, said: dict[str, Any]) -> Link:
        day = (date.fromisoformat(said["day"]) - EPOCH).days
        record = None if said["record"] is None else line[line.index(b'"record":') + 9 : line.rindex(b"}")]
        return Link(day, said["n"], said["seq"], bytes.fromhex(said["hash"]), record)
