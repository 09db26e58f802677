"""What policy reads, derived when a resource is written: its patient, owner and facts, consents as rules,
relationships, identity groups, organisations. Never derived on the way of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from app.fhir.index import Index
from app.fhir.registry import TYPES
from app.policy import directive, organisation
from app.policy.care import compile_relationships
from app.policy.model import Relationship
from app.policy.study import compile_study
from app.storage.engine import Tx
from app.storage.indexing import when
from app.storage.keys import code_hash, facts_column, param_number, words

if TYPE_CHECKING:
    from app.storage.resources import Stored

INDETERMINATE, DECEASED, RESTRICTED = 1, 2, 4

# Where a resource names its patient.
PATIENT_ELEMENT = {
    "ImagingStudy": "subject",
    "DiagnosticReport": "subject",
    "EpisodeOfCare": "patient",
    "CareTeam": "subject",
    "ServiceRequest": "subject",
    "Consent": "patient",
    "Task": "for",
    "QuestionnaireResponse": "subject",
    "Communication": "subject",
}

# Where a resource names the organisation that answers for it.
OWNER_ELEMENT = {
    "EpisodeOfCare": "managingOrganization",
    "CareTeam": "managingOrganization",
    "Endpoint": "managingOrganization",
    "Location": "managingOrganization",
    "Patient": "managingOrganization",
    "Group": "managingEntity",
    "Consent": "organization",
    "PractitionerRole": "organization",
}

RELATING = ("EpisodeOfCare", "Appointment", "CareTeam", "ServiceRequest")
STUDIES = ("ImagingStudy", "DiagnosticReport")


@dataclass(frozen=True, slots=True)
class Derived:
    patient: int
    owner: str | None
    status: str | None
    when: tuple[int | None, int | None]
    marks: str | None
    directive: str | None = None
    relationships: tuple[Relationship, ...] = ()


def read(
    tx: Tx, resource: dict[str, Any], type_name: str, id: str, rid: int, writer: str | None, extracted: Index
) -> Derived:
    """Everything derived from one resource. `writer` is the organisation of the client that wrote it."""
    resolve = resolver(tx)
    patient = rid if type_name == "Patient" else _patient(tx, resource, type_name)
    status = resource.get("status") if isinstance(resource.get("status"), str) else None
    resource = resource | {"id": id}
    marks: str | None = None
    body: str | None = None
    relationships: tuple[Relationship, ...] = ()
    owner = owner_of(tx, resource, writer)
    if type_name in STUDIES:
        study = compile_study(resource, resolve, writer, tx.zone)
        marks = facts_column(study)
    elif type_name == "Consent":
        body = orjson.dumps(directive.compile_consent(resource, resolve, tx.zone).as_json()).decode()
    elif type_name in RELATING:
        relationships = tuple(compile_relationships(resource, resolve, tx.zone))
    return Derived(patient, owner, status, when(type_name, extracted), marks, body, relationships)


def owner_of(tx: Tx, resource: dict[str, Any], writer: str | None) -> str | None:
    """The organisation that answers for a resource: the one it names, else the one that wrote it."""
    type_name = resource["resourceType"]
    if type_name == "Organization":
        return organisation.key_of(resource)
    if type_name in STUDIES:
        origins = compile_study(resource, resolver(tx), writer, tx.zone).origins
        return writer if writer in origins else (min(origins) if origins else writer)
    named = resource.get(OWNER_ELEMENT.get(type_name, ""))
    first = named[0] if isinstance(named, list) and named else named
    return (_organisation(tx, first) if isinstance(first, dict) else None) or writer


def _organisation(tx: Tx, reference: dict[str, Any]) -> str | None:
    resolve = resolver(tx)
    for asked in organisation.questions(reference):
        if found := resolve(asked):
            return found
    return None


def _patient(tx: Tx, resource: dict[str, Any], type_name: str) -> int:
    reference = resource.get(PATIENT_ELEMENT.get(type_name, ""))
    names: list[Any] = [reference] if isinstance(reference, dict) else []
    if type_name == "Appointment":
        names = [p.get("actor") for p in resource.get("participant") or () if isinstance(p, dict)]
    for name in names:
        text = name.get("reference") if isinstance(name, dict) else None
        if isinstance(text, str) and text.startswith("Patient/"):
            row = tx.one(
                "SELECT rid FROM identity WHERE type = ? AND id = ?", TYPES["Patient"].code, text.split("/")[1]
            )
            return int(row[0]) if row else 0
    return 0


def resolver(tx: Tx) -> Callable[[str], str | None]:
    """Answers what a reference stands for, from the rows in store: never by asking the network."""
    known: dict[str, str | None] = tx.memory

    def resolve(reference: str) -> str | None:
        if reference not in known:
            known[reference] = _resolve(tx, reference)
        return known[reference]

    return resolve


def _resolve(tx: Tx, reference: str) -> str | None:
    if reference.startswith("identifier:"):
        return _by_identifier(tx, reference.removeprefix("identifier:"))
    if reference.startswith("parent:"):
        row = tx.one("SELECT parent FROM organisation WHERE key = ?", reference.removeprefix("parent:"))
        return row[0] if row else None
    if reference.startswith("owner:"):
        return _owner_of(tx, reference.removeprefix("owner:"))
    type_name, _, rest = reference.partition("/")
    id = rest.split("/")[0]
    if type_name == "Organization":
        row = tx.one("SELECT key FROM organisation WHERE id = ?", id)
        return str(row[0]) if row else f"Organization/{id}"
    if type_name not in TYPES or not id:
        return None
    row = tx.one(
        "SELECT r.owner, r.content, r.deleted FROM identity i JOIN resource r ON r.patient = i.patient AND r.rid = i.rid"
        " WHERE i.type = ? AND i.id = ?",
        TYPES[type_name].code,
        id,
    )
    if row is None or row[2]:
        return None
    if type_name == "Endpoint":
        return row[0]  # type: ignore[no-any-return]
    if type_name == "PractitionerRole":
        named = orjson.loads(row[1]).get("practitioner", {}).get("reference", "")
        return named if named.startswith("Practitioner/") else None
    return f"{type_name}/{id}"


def _owner_of(tx: Tx, reference: str) -> str | None:
    """The organisation that answers for a resource in store."""
    type_name, _, id = reference.partition("/")
    if type_name not in TYPES:
        return None
    row = tx.one(
        "SELECT r.owner FROM identity i JOIN resource r ON r.patient = i.patient AND r.rid = i.rid"
        " WHERE i.type = ? AND i.id = ?",
        TYPES[type_name].code,
        id,
    )
    return row[0] if row else None


def _by_identifier(tx: Tx, text: str) -> str | None:
    system, _, value = text.partition("|")
    if key := organisation.key_from(system, value):
        return key
    row = tx.one(
        "SELECT r.type, r.id FROM identifier x JOIN resource r ON r.patient = x.patient AND r.rid = x.rid"
        " WHERE x.value = ? AND x.system = ? AND x.param IN (?, ?, ?) AND NOT r.deleted",
        value,
        code_hash(system),
        *(param_number(f"{name}.identifier") for name in ("Organization", "Practitioner", "Patient")),
    )
    if row is None:
        return None
    name = next(name for name, definition in TYPES.items() if definition.code == row[0])
    return _resolve(tx, f"{name}/{row[1]}")


def write(tx: Tx, now: Stored, resource: dict[str, Any], derived: Derived, moved_from: int | None) -> None:
    """Lay down the rows that policy reads; `moved_from` is where the former version's rows stand, if there was one."""
    tx.memory.clear()
    if moved_from is not None:
        _clear(tx, now.type, moved_from, now.rid)
    if now.type == "Patient":
        _person(tx, now, resource)
    elif now.type == "Organization":
        _organisation_row(tx, now, resource)
    elif now.type == "Consent" and derived.directive is not None:
        if now.patient:
            tx.many(
                "INSERT INTO directive (patient, rid, id, version, body) VALUES (?, ?, ?, ?, ?)",
                [(now.patient, now.rid, now.id, now.version, derived.directive)],
            )
    elif now.type in RELATING and now.patient:
        tx.many(
            "INSERT INTO relationship (patient, rid, source, version, kind, status, org, members, low, high)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (now.patient, now.rid, now.ref, now.version, r.kind, r.status, org, words(r.members), r.start, r.end)
                for r in derived.relationships
                for org in (sorted(r.orgs) or [""])
            ],
        )


def remove(tx: Tx, gone: Stored) -> None:
    """Take away the rows that policy reads of a resource that was deleted."""
    _clear(tx, gone.type, gone.patient, gone.rid)
    if gone.type == "Organization":
        tx.many("DELETE FROM organisation WHERE rid = ?", [(gone.rid,)])
        bump(tx, "organisation")


def _clear(tx: Tx, type_name: str, patient: int, rid: int) -> None:
    if type_name == "Consent":
        tx.many("DELETE FROM directive WHERE patient = ? AND rid = ?", [(patient, rid)])
    elif type_name in RELATING:
        tx.many("DELETE FROM relationship WHERE patient = ? AND rid = ?", [(patient, rid)])


def bump(tx: Tx, name: str) -> None:
    """Make every cache that carries this epoch's number stale."""
    tx.many(
        "INSERT INTO epoch (name, number) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET number = epoch.number + 1",
        [(name,)],
    )


def _organisation_row(tx: Tx, now: Stored, resource: dict[str, Any]) -> None:
    entry = organisation.entry_of(resource | {"id": now.id}, resolver(tx))
    tx.many("DELETE FROM organisation WHERE rid = ?", [(now.rid,)])
    tx.many(
        "INSERT INTO organisation (rid, id, key, parent, kinds, successor) VALUES (?, ?, ?, ?, ?, ?)",
        [(now.rid, now.id, entry.key, entry.parent, words(entry.kinds), entry.successor)],
    )
    bump(tx, "organisation")


# Identity groups -------------------------------------------------------------------------------------------------


def _person(tx: Tx, now: Stored, resource: dict[str, Any]) -> None:
    flags = (DECEASED if _deceased(resource) else 0) | (RESTRICTED if _restricted(resource) else 0)
    row = tx.one("SELECT grp FROM person WHERE patient = ?", now.rid)
    links = _links(resource)
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
        _regroup(tx, {now.rid} | {rid for (rid,) in pointed_at} | (_members(tx, row[0]) if row else set()))


def _members(tx: Tx, group: int) -> set[int]:
    return {rid for (rid,) in tx.rows("SELECT patient FROM person WHERE grp = ?", group)}


def _regroup(tx: Tx, start: set[int]) -> None:
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
    row = tx.one("SELECT content, id FROM resource WHERE patient = ? AND rid = ?", rid, rid)
    resource = orjson.loads(row[0]) if row and row[0] else {}
    found: dict[str, set[int]] = {"out": set(), "in": set(), "back": set()}
    faulty = False
    for kind, id in _links(resource):
        target = tx.one("SELECT rid FROM identity WHERE type = ? AND id = ?", TYPES["Patient"].code, id)
        if target is None:
            faulty = True
        else:
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
            and any(id == row[1] for _, id in _links(orjson.loads(linked[0])))
        }
    return found, faulty


def _links(resource: dict[str, Any]) -> list[tuple[str, str]]:
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


# What else must be derived again ---------------------------------------------------------------------------------


def dependents(tx: Tx, now: Stored, *, existing: bool) -> list[int]:
    """Resources whose derived rows rest on this one: waiting for a patient, or naming an organisation or role."""
    if now.type == "Patient" and not existing:
        return [
            rid
            for (rid,) in tx.rows(
                "SELECT DISTINCT rid FROM reference WHERE patient = 0 AND target = ? AND target_type = ?",
                now.id,
                TYPES["Patient"].code,
            )
        ]
    if now.type in ("Organization", "PractitionerRole", "Endpoint"):
        if now.type == "Endpoint" and not (existing and _owner_changed(tx, now)):
            return []
        return [
            rid
            for (rid,) in tx.rows(
                "SELECT DISTINCT rid FROM reference WHERE target = ? AND target_type = ? AND rid <> ?",
                now.id,
                TYPES[now.type].code,
                now.rid,
            )
        ]
    return []


def _owner_changed(tx: Tx, now: Stored) -> bool:
    row = tx.one("SELECT owner FROM history WHERE rid = ? AND version = ?", now.rid, now.version - 1)
    return row is None or row[0] != now.owner
