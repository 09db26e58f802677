"""Many new resources at once: what each would look up by itself is looked up for all, and their rows go out together.

Nothing else is different: `resources.create` makes the rows, so that what comes in bulk cannot be told from what came
one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.fhir.registry import TYPES
from app.storage import persons, projection
from app.storage.engine import Tx
from app.storage.keys import param_number
from app.storage.outbox import XID
from app.storage.resources import COLUMNS, stored

PATIENT = TYPES["Patient"].code

# What others' rows are derived from, once it is there: looked after one by one.
LOOKED_AFTER = frozenset({"Organization", "PractitionerRole", "Practitioner", "Group", "CareTeam"})


def begin(tx: Tx, named: Iterable[str]) -> dict[str, int]:
    """Begin, and learn what each of the references ("Type/id") stands for; the versions of those that are in store."""
    tx.begin()
    by_type: dict[str, list[str]] = {}
    for reference in named:
        type_name, _, id = reference.partition("/")
        by_type.setdefault(type_name, []).append(id)
    versions: dict[str, int] = {}
    columns = COLUMNS.format("r").replace("r.content", "CAST('' AS TEXT)")
    for type_name, ids in by_type.items():
        text, param = tx.in_list("i.id", ids)
        rows = tx.rows(
            f"SELECT {columns} FROM identity i JOIN resource r ON r.patient = i.patient AND r.rid = i.rid"
            f" WHERE i.type = ? AND {text}",
            TYPES[type_name].code,
            param,
        )
        found = [stored((*row[:6], b"", *row[7:])) for row in rows]
        for one in found:
            if type_name == "Patient":
                tx.memory["patient", one.id] = one.rid
                tx.memory["name", one.rid] = one.ref
            if not one.deleted and type_name != "Organization":
                projection.learn(tx, one)
            elif not one.deleted:
                tx.memory["there", one.ref] = True
        versions.update((one.ref, one.version) for one in found)
        for id in ids:
            if f"{type_name}/{id}" not in versions and type_name not in LOOKED_AFTER:
                tx.memory["means", f"{type_name}/{id}"] = None
                if type_name == "Patient":
                    tx.memory["patient", id] = 0
    row = tx.one(f"SELECT {XID[tx.dialect]}")
    tx.memory["xid"] = row[0] if row else None
    return versions


def awaited(tx: Tx, patients: Iterable[str]) -> set[str]:
    """Those of the patients' ids that something in store refers to already."""
    text, param = tx.in_list("x.target", list(patients))
    rows = tx.rows(
        f"SELECT DISTINCT x.target FROM reference x WHERE {text} AND x.target_type = ? AND (x.patient = 0 OR x.param = ?)",
        param,
        PATIENT,
        param_number("Patient.link"),
    )
    return {id for (id,) in rows}


def alone(resource: dict[str, Any], awaited: set[str]) -> bool:
    """Whether a new resource can be stored without a look at others (`resources.create`)."""
    type_name = resource["resourceType"]
    if type_name == "Patient":
        return resource.get("id") not in awaited and not persons.links_of(resource)
    return type_name not in LOOKED_AFTER
