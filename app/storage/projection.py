"""What policy reads, derived when a resource is written: its patient, owner and facts, consents as rules,
relationships, identity groups, organisations. Never derived on the way of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from app.fhir.index import Index
from app.fhir.registry import TYPES
from app.policy import directive, organisation
from app.policy.care import compile_relationships, post_of
from app.policy.coding import listed
from app.policy.model import Relationship
from app.policy.study import compile_study, identifiers, origins_of
from app.storage import persons
from app.storage.engine import Tx
from app.storage.indexing import EXTERNAL, when
from app.storage.keys import code_hash, facts_column, param_number, words

if TYPE_CHECKING:
    from app.storage.resources import Stored

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

# Types that are found by identifier where a reference gives no more.
IDENTIFIED = ("Organization", "Practitioner", "Patient")

RELATING = ("EpisodeOfCare", "Appointment", "CareTeam", "Group", "ServiceRequest")
GROUPING = ("careteam", "group")  # kinds of relationship in which a requester has a place, whoever the patient is
ORGANISATIONS_WRITTEN = "organisations written"
PARENTS = "parents"  # of the organisations by key, where they have been read already

STUDIES = ("ImagingStudy", "DiagnosticReport")

# Rows of the reference table that serve no search: whom a Consent names, at any depth; and which studies any version of
# a report has named (one named by identifier, or elsewhere, has target_type EXTERNAL).
CONSENT_NAMES = param_number("Consent:names")
REPORT_NAMES = param_number("DiagnosticReport:names")


@dataclass(frozen=True, slots=True)
class Derived:
    patient: int
    owner: str | None
    status: str | None
    when: tuple[int | None, int | None]
    marks: str | None
    directive: str | None = None
    relationships: tuple[Relationship, ...] = ()
    names: tuple[tuple[int, int, str], ...] = ()  # (param, target type, target): rows of the reference table


def read(
    tx: Tx,
    resource: dict[str, Any],
    type_name: str,
    id: str,
    rid: int,
    writer: str | None,
    extracted: Index,
    *,
    fresh: bool = False,
) -> Derived:
    """Everything derived from one resource. `writer` is the organisation of the client that wrote it; `fresh`: no
    version of it is in store."""
    resolve = resolver(tx)
    patient = rid if type_name == "Patient" else _patient(tx, resource, type_name)
    status = resource.get("status") if isinstance(resource.get("status"), str) else None
    resource = resource | {"id": id}
    marks: str | None = None
    body: str | None = None
    relationships: tuple[Relationship, ...] = ()
    names: set[tuple[int, int, str]] = set()
    if type_name in STUDIES:
        study = compile_study(resource, resolve, writer, tx.zone)
        marks = facts_column(study)
        owner = _first_origin(study.origins, writer)
        if type_name == "DiagnosticReport":
            names = {*_studies_named(resource), *(() if fresh else _ever_named(tx, rid))}
    else:
        owner = owner_of(tx, resource, writer)
    if type_name == "Consent":

        def noting(asked: str) -> str | None:
            kind, _, rest = asked.partition("/")
            if kind in TYPES:
                names.add((CONSENT_NAMES, TYPES[kind].code, rest))
            return resolve(asked)

        body = orjson.dumps(directive.compile_consent(resource, noting, tx.zone).as_json()).decode()
    elif type_name in RELATING:
        relationships = tuple(compile_relationships(resource, resolve, tx.zone))
    return Derived(patient, owner, status, when(type_name, extracted), marks, body, relationships, tuple(sorted(names)))


def _studies_named(report: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    """The studies that a report names, as rows: by reference, by identifier, or in a way that leads nowhere."""
    for one in listed(report.get("imagingStudy")):
        text = one.get("reference") if isinstance(one, dict) else None
        kind, _, rest = (text if isinstance(text, str) else "").partition("/")
        value = (one.get("identifier") or {}).get("value") if isinstance(one, dict) else None
        if kind == "ImagingStudy":
            yield REPORT_NAMES, TYPES[kind].code, rest.split("/")[0]
        else:
            yield REPORT_NAMES, EXTERNAL, value if isinstance(value, str) and not text else f"?{text}"


def _ever_named(tx: Tx, rid: int) -> Iterator[tuple[int, int, str]]:
    """The studies that the versions in store of a report name: what one of them says must not show where it could not."""
    for table in ("resource", "history"):
        for (content,) in tx.rows(f"SELECT content FROM {table} WHERE rid = ?", rid):
            if content:
                yield from _studies_named(orjson.loads(content))


def owner_of(tx: Tx, resource: dict[str, Any], writer: str | None) -> str | None:
    """The organisation that answers for a resource: the one it names, else the one that wrote it."""
    type_name = resource["resourceType"]
    if type_name == "Organization":
        return organisation.key_of(resource)
    if type_name in STUDIES:
        return _first_origin(origins_of(resource, resolver(tx), writer), writer)
    named = resource.get(OWNER_ELEMENT.get(type_name, ""))
    first = named[0] if isinstance(named, list) and named else named
    return (_organisation(tx, first) if isinstance(first, dict) else None) or writer


def _first_origin(origins: frozenset[str], writer: str | None) -> str | None:
    return writer if writer in origins or not origins else min(origins)


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
        if text is None and isinstance(name, dict):
            found = (resolver(tx)(one) for one in identifiers({"identifier": name.get("identifier")}))
            text = next((one for one in found if one), None)
        if isinstance(text, str) and text.startswith("Patient/"):
            return patient_rid(tx, text.split("/")[1])
    return 0


def patient_rid(tx: Tx, id: str) -> int:
    """The rid of a Patient, 0 for one that is not known."""
    key = ("patient", id)
    if key not in tx.memory:
        row = tx.one("SELECT rid FROM identity WHERE type = ? AND id = ?", TYPES["Patient"].code, id)
        tx.memory[key] = int(row[0]) if row else 0
    return tx.memory[key]  # type: ignore[no-any-return]


def resolver(tx: Tx) -> Callable[[str], str | None]:
    """Answers what a reference stands for, from the rows in store: never by asking the network."""
    known = tx.memory

    def resolve(reference: str) -> str | None:
        key = ("means", reference)
        if key not in known:
            known[key] = _resolve(tx, reference)
        return known[key]  # type: ignore[no-any-return]

    return resolve


def forget(tx: Tx) -> None:
    """Find everything out anew, but for what this transaction has written."""
    written = tx.memory.get(ORGANISATIONS_WRITTEN, False)
    tx.memory.clear()
    tx.memory[ORGANISATIONS_WRITTEN] = written


def learn(tx: Tx, now: Stored) -> None:
    """Remember for this transaction what a resource stands for, as it has just been written or read."""
    if now.type == "Organization" or (now.type in IDENTIFIED and tx.memory.pop(IDENTIFIED, False)):
        forget(tx)  # more was found out through it than can be told
        return
    if now.type in RELATING:
        tx.memory.pop("requester", None)  # whose teams may be others now
    recall(tx, now.type, now.id, now.rid, now.owner)


def recall(tx: Tx, type_name: str, id: str, rid: int, owner: str | None) -> None:
    """Remember for this transaction what a resource in store stands for."""
    ref, memory = f"{type_name}/{id}", tx.memory
    memory["there", ref] = True
    memory["means", f"owner:{ref}"] = owner
    if type_name == "PractitionerRole":
        memory.pop(("means", ref), None)
        memory.pop(("means", f"post:{ref}"), None)
    elif type_name != "Organization":
        memory["means", ref] = owner if type_name == "Endpoint" else ref
    elif owner is not None:  # its own key
        memory["means", ref] = owner
    if type_name == "Patient":
        memory["patient", id] = rid
        memory["name", rid] = ref


def _resolve(tx: Tx, reference: str) -> str | None:
    if reference.startswith("identifier:"):
        return _by_identifier(tx, reference.removeprefix("identifier:"))
    if reference.startswith("parent:"):
        if (parents := tx.memory.get(PARENTS)) is not None and not tx.memory.get(ORGANISATIONS_WRITTEN):
            return parents.get(reference.removeprefix("parent:"))  # type: ignore[no-any-return]
        row = tx.one("SELECT parent FROM organisation WHERE key = ?", reference.removeprefix("parent:"))
        return row[0] if row else None
    if reference.startswith("owner:"):
        return _owner_of(tx, reference.removeprefix("owner:"))
    if reference.startswith("post:"):
        return _post(tx, reference.removeprefix("post:"))
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


def _post(tx: Tx, reference: str) -> str | None:
    """A PractitionerRole in store, as a Consent that names it needs it."""
    type_name, _, id = reference.partition("/")
    row = tx.one(
        "SELECT r.content FROM identity i JOIN resource r ON r.patient = i.patient AND r.rid = i.rid"
        " WHERE i.type = ? AND i.id = ? AND NOT r.deleted",
        TYPES[type_name].code,
        id,
    )
    return post_of(orjson.loads(row[0]), resolver(tx), tx.zone) if row else None


def _by_identifier(tx: Tx, text: str) -> str | None:
    system, _, value = text.partition("|")
    if key := organisation.key_from(system, value):
        return key
    tx.memory[IDENTIFIED] = True
    rows = tx.rows(
        "SELECT DISTINCT r.type, r.id FROM identifier x JOIN resource r ON r.patient = x.patient AND r.rid = x.rid"
        " WHERE x.value = ? AND x.system = ? AND x.param IN (?, ?, ?) AND NOT r.deleted",
        value,
        code_hash(system),
        *(param_number(f"{name}.identifier") for name in IDENTIFIED),
    )
    if len(rows) != 1:  # what two carry names neither
        return None
    name = next(name for name, definition in TYPES.items() if definition.code == rows[0][0])
    return _resolve(tx, f"{name}/{rows[0][1]}")


def write(
    tx: Tx, now: Stored, resource: dict[str, Any], derived: Derived, moved_from: int | None, *, alone: bool = False
) -> None:
    """Lay down the rows that policy reads; `moved_from` is where the former version's rows stand, if there was one.
    `alone`: see resources.create."""
    learn(tx, now)
    if moved_from is not None:
        _clear(tx, now.type, moved_from, now.rid)
    if now.type == "Patient":
        persons.written(tx, now, resource, alone)
    elif now.type == "Organization":
        _organisation_row(tx, now, resource)
    elif now.type == "Consent" and derived.directive is not None:
        if now.patient:
            tx.many(
                "INSERT INTO directive (patient, rid, id, version, body) VALUES (?, ?, ?, ?, ?)",
                [(now.patient, now.rid, now.id, now.version, derived.directive)],
            )
    elif now.type in RELATING:
        tx.many(
            "INSERT INTO relationship (patient, rid, source, version, kind, status, org, members, low, high)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (now.patient, now.rid, now.ref, now.version, r.kind, r.status, org, words(r.members), r.start, r.end)
                for r in derived.relationships
                if now.patient or r.kind in GROUPING
                for org in (sorted(r.orgs) or [""])
            ],
        )
    _name(tx, now, derived.names)


def _name(tx: Tx, now: Stored, names: Iterable[tuple[int, int, str]]) -> None:
    tx.many(
        "INSERT INTO reference (patient, rid, param, target_type, target) VALUES (?, ?, ?, ?, ?)",
        [(now.patient, now.rid, *one) for one in names],
    )


def remove(tx: Tx, gone: Stored) -> None:
    """Take away the rows that policy reads of a resource that was deleted, but for what decides who may learn of that."""
    forget(tx)
    _clear(tx, gone.type, gone.patient, gone.rid)
    if gone.type == "DiagnosticReport":
        _name(tx, gone, set(_ever_named(tx, gone.rid)))
    if gone.type == "Patient" and (row := tx.one("SELECT grp FROM person WHERE patient = ?", gone.rid)):
        persons.regroup(tx, persons.members(tx, row[0]))
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
    tx.memory[ORGANISATIONS_WRITTEN] = True
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
