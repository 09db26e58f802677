"""Which records are one person: the groups joined by replaced-by and replaces, kept when a Patient is written.

A record that was deleted stays in its group, with all that was said on it; a link to one, or to nobody, or in a circle
marks the group as one that nobody can be sure of (README.md of app/policy, 4.2; P18).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from app.fhir.query import Token
from app.fhir.registry import TYPES
from app.policy import organisation
from app.storage.engine import Tx
from app.storage.keys import code_hash, param_number

if TYPE_CHECKING:
    from app.storage.resources import Stored

INDETERMINATE, DECEASED, RESTRICTED = 1, 2, 4


def written(tx: Tx, now: Stored, resource: dict[str, Any], alone: bool) -> None:
    """Keep the groups as a Patient is written; `alone`: a new one, with no link from it or to it."""
    flags = (DECEASED if _deceased(resource) else 0) | (RESTRICTED if _restricted(resource) else 0)
    if alone:
        tx.many("INSERT INTO person (patient, id, grp, flags) VALUES (?, ?, ?, ?)", [(now.rid, now.id, now.rid, flags)])
        return
    row = tx.one("SELECT grp FROM person WHERE patient = ?", now.rid)
    links = links_of(resource)
    tx.run(
        "INSERT INTO person (patient, id, grp, flags) VALUES (?, ?, ?, ?) ON CONFLICT (patient) DO UPDATE SET flags = excluded.flags",
        now.rid,
        now.id,
        row[0] if row else now.rid,
        flags,
    )
    pointed_at = tx.rows(
        "SELECT patient FROM reference WHERE target = ? AND target_type = ? AND param = ?",
        now.id,
        TYPES["Patient"].code,
        param_number("Patient.link"),
    )
    grouped = row is not None and len(tx.rows("SELECT 1 FROM person WHERE grp = ?", row[0])) > 1
    if links or pointed_at or grouped:
        regroup(tx, {now.rid} | {rid for (rid,) in pointed_at} | (members(tx, row[0]) if row else set()))


def members(tx: Tx, group: int) -> set[int]:
    return {rid for (rid,) in tx.rows("SELECT patient FROM person WHERE grp = ?", group)}


def regroup(tx: Tx, start: set[int]) -> None:
    """Find again the groups of every patient that is or was linked with those in `start`."""
    pending, seen, broken = set(start), set(), set()
    edges: dict[int, set[int]] = {}
    while pending:
        rid = pending.pop()
        seen.add(rid)
        replaced_by, faulty = _edges(tx, rid)
        edges.setdefault(rid, set()).update(replaced_by["out"])
        for other in replaced_by["in"]:
            edges.setdefault(other, set()).add(rid)
        broken |= {rid} if faulty else set()
        pending |= (replaced_by["out"] | replaced_by["in"] | replaced_by["back"]) - seen
    for group in organisation.components(edges):
        faulty = bool(group & broken) or organisation.has_cycle({rid: edges.get(rid, set()) for rid in group})
        leader = min(group)
        for rid in group:
            tx.run(
                "UPDATE person SET grp = ?, flags = (flags - (flags & 1)) + ? WHERE patient = ?",
                leader,
                INDETERMINATE if faulty else 0,
                rid,
            )


def _edges(tx: Tx, rid: int) -> tuple[dict[str, set[int]], bool]:
    row = tx.one("SELECT content, id, deleted FROM resource WHERE patient = ? AND rid = ?", rid, rid)
    if row and row[2]:  # a record that was deleted is still the same person's, with all that stands on it
        where = "patient = ? AND rid = ? AND NOT deleted ORDER BY version DESC LIMIT 1"
        last = tx.one(f"SELECT content FROM history WHERE {where}", rid, rid)
        row = (last[0] if last else b"", row[1])
    resource = orjson.loads(row[0]) if row and row[0] else {}
    found: dict[str, set[int]] = {"out": set(), "in": set(), "back": set()}
    faulty = False
    for kind, id in links_of(resource):
        target = tx.one(
            "SELECT i.rid, r.deleted FROM identity i JOIN resource r ON r.patient = i.patient AND r.rid = i.rid"
            " WHERE i.type = ? AND i.id = ?",
            TYPES["Patient"].code,
            id,
        )
        if target is None or (target[1] and kind == "replaced-by"):
            faulty = True
        if target is not None:
            found["out" if kind == "replaced-by" else "in"].add(target[0])
    if row:
        found["back"] = {
            other
            for (other,) in tx.rows(
                "SELECT patient FROM reference WHERE target = ? AND target_type = ? AND param = ?",
                row[1],
                TYPES["Patient"].code,
                param_number("Patient.link"),
            )
            if (linked := tx.one("SELECT content FROM resource WHERE patient = ? AND rid = ?", other, other))
            and linked[0]
            and any(id == row[1] for _, id in links_of(orjson.loads(linked[0])))
        }
    return found, faulty


def links_of(resource: dict[str, Any]) -> list[tuple[str, str]]:
    """(type, id) of the links that join records: only replaced-by and replaces do."""
    found = []
    for link in resource.get("link") or ():
        target = str((link.get("other") or {}).get("reference", "")) if isinstance(link, dict) else ""
        if link.get("type") in ("replaced-by", "replaces"):
            found.append((link["type"], target.removeprefix("Patient/").split("/")[0]))
    return found


def _deceased(resource: dict[str, Any]) -> bool:
    return resource.get("deceasedBoolean") is True or "deceasedDateTime" in resource


def _restricted(resource: dict[str, Any]) -> bool:
    labels = (resource.get("meta") or {}).get("security") or ()
    return any(isinstance(label, dict) and label.get("code") in ("R", "V") for label in labels)


def patient_ids(tx: Tx, rid: int) -> tuple[str, ...]:
    """The id of the patient with this rid, if there is one."""
    return tuple(id for (id,) in tx.rows("SELECT id FROM person WHERE patient = ?", rid))


def patients_by(tx: Tx, identifier: Token) -> tuple[str, ...]:
    """The ids of the patients with this identifier."""
    rows = tx.rows(
        "SELECT DISTINCT p.id FROM identifier x JOIN person p ON p.patient = x.rid WHERE x.param = ? AND x.value = ?"
        " AND x.system = ?",
        param_number("Patient.identifier"),
        identifier.code,
        code_hash(identifier.system or ""),
    )
    return tuple(sorted(id for (id,) in rows))
