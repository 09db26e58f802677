"""The hosts on which an organisation lets its Endpoints be: its own list, else its nearest parent's."""

from __future__ import annotations

import orjson

from app.storage.engine import Tx

HOST = "https://imaging-registry.example/fhir/StructureDefinition/registry-endpoint-host"
HIGHEST = 16  # organisations above each other


def listed(tx: Tx, *, key: str | None = None, id: str | None = None) -> frozenset[str] | None:
    """The hosts listed for the organisation of a key (`ods:RXB`) or an id; None where neither it nor one above lists any."""
    column, value = ("o.id", id) if id is not None else ("o.key", key)
    for _ in range(HIGHEST):
        row = tx.one(
            "SELECT r.content, o.parent FROM organisation o JOIN resource r ON r.patient = 0 AND r.rid = o.rid"
            f" WHERE {column} = ?",
            value,
        )
        if row is None:
            return None
        extensions = orjson.loads(row[0]).get("extension") or ()
        hosts = frozenset(one.get("valueString", "") for one in extensions if one.get("url") == HOST)
        if hosts or row[1] is None:
            return hosts or None
        column, value = "o.key", row[1]
    return None
