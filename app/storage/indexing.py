"""Index rows of a resource: what `app.fhir.index` extracts, hashed and laid into the tables by role."""

from __future__ import annotations

from functools import cache
from typing import Any

from app.fhir import index
from app.fhir.resource import load, referring
from app.storage.engine import Tx
from app.storage.keys import SHORT, code_hash, pair_hash, param_number, short, type_number

TABLES = ("token", "identifier", "reference", "date", "string", "number", "uid")

# The date parameter that the typed columns low and high of `resource` hold, for each type that has them.
WHEN = {
    "ImagingStudy": "started",
    "DiagnosticReport": "date",
    "EpisodeOfCare": "date",
    "Appointment": "date",
    "ServiceRequest": "authored",
    "CareTeam": "date",
    "Consent": "date",
    "Task": "authored-on",
}

# Parameters that mean the resource's own patient, answered from the `patient` column.
PATIENT_PARAMS = {
    "ImagingStudy": ("patient", "subject"),
    "DiagnosticReport": ("patient", "subject"),
    "EpisodeOfCare": ("patient",),
    "CareTeam": ("patient", "subject"),
    "ServiceRequest": ("patient", "subject"),
    "Consent": ("patient",),
    "Task": ("patient", "subject"),
    "QuestionnaireResponse": ("patient", "subject"),
    "Communication": ("patient", "subject"),
}

UID_PARAMS = {"ImagingStudy": ("series", "instance")}

STATUS = "status"  # answered from the column of that name, for every type that has it

_INSERT = {
    "token": "INSERT INTO token (patient, rid, param, code, system, word) VALUES (?, ?, ?, ?, ?, ?)",
    "identifier": "INSERT INTO identifier (patient, rid, param, value, system, kind) VALUES (?, ?, ?, ?, ?, ?)",
    "reference": "INSERT INTO reference (patient, rid, param, target_type, target) VALUES (?, ?, ?, ?, ?)",
    "date": "INSERT INTO date (patient, rid, param, low, high) VALUES (?, ?, ?, ?, ?)",
    "string": "INSERT INTO string (patient, rid, param, norm, exact, whole) VALUES (?, ?, ?, ?, ?, ?)",
    "number": "INSERT INTO number (patient, rid, param, low) VALUES (?, ?, ?, ?)",
    "uid": "INSERT INTO uid (patient, rid, value) VALUES (?, ?, ?)",
}

TEXT_SUFFIX = ":text"
WORD = 64  # characters of a code or URI that sorting looks at
EXTERNAL = 0  # target_type of an absolute reference to another server


def read(tx: Tx, resource: dict[str, Any], content: bytes) -> tuple[dict[str, Any], index.Index]:
    """The resource with its references to this server made relative, as all that is derived reads it, and its index."""
    if tx.base_url and f"{tx.base_url}/".encode() in content:
        resource = load(content, len(content))
        for reference in referring(resource):
            reference["reference"] = reference["reference"].removeprefix(f"{tx.base_url}/")
    return resource, index.extract(resource, base_url=tx.base_url, zone=tx.zone)


def texts(tx: Tx, resource: dict[str, Any], content: bytes) -> list[str]:
    """What results are ordered by in a resource's texts and identifiers, as the columns hold it."""
    extracted = read(tx, resource, content)[1]
    return [
        *(_string(text, "")[0] for _, text in extracted.strings),
        *(short(value) for _, _, value, _, _ in extracted.identifiers),
    ]


def when(type_name: str, extracted: index.Index) -> tuple[int | None, int | None]:
    """The [low, high) of the type's own date, for the typed columns."""
    name = WHEN.get(type_name)
    for param, low, high in extracted.dates:
        if param == name:
            return low, high
    return None, None


FOREVER = 2**62


def latest(low: int | None, high: int | None) -> int:
    """Where [low, high) stands in the order newest first: by its end, an open one beyond all, none at all last."""
    if high is None:
        return -FOREVER - 1 if low is None else FOREVER
    return high


def write(tx: Tx, type_name: str, extracted: index.Index, patient: int, rid: int) -> None:
    """Queue every index row of one resource."""
    uids = UID_PARAMS.get(type_name, ())
    own_patient = PATIENT_PARAMS.get(type_name, ()) if patient else ()
    number = _numbers(type_name)
    # As the keys of dictionaries: each row once, in the order of the resource.
    rows: dict[str, dict[tuple[Any, ...], None]] = {table: {} for table in TABLES}
    token, identifier, reference, date, string, numeric, uid = rows.values()
    for param, system, code, display in extracted.tokens:
        if param in uids:
            uid[patient, rid, uid_hash(uids.index(param), code or "")] = None
            continue
        if param == STATUS:
            continue
        if code is not None or system is not None:
            token[patient, rid, number[param], code_hash(code or ""), code_hash(system or ""), word(code)] = None
        if display:
            string[patient, rid, number[param + TEXT_SUFFIX], *_string(display, "")] = None
    for param, system, value, kind_system, kind_code in extracted.identifiers:
        kind = pair_hash(kind_system, kind_code) if kind_code else 0
        identifier[patient, rid, number[param], short(value), code_hash(system or ""), kind] = None
    for param, target_type, target, url, system, logical in extracted.references:
        if target_type and target:
            if not (param in own_patient and target_type == "Patient"):
                reference[patient, rid, number[param], type_number(target_type), target] = None
        elif url:
            reference[patient, rid, number[param], EXTERNAL, short(url)] = None
        if logical:
            identifier[patient, rid, number[param + ":identifier"], short(logical), code_hash(system or ""), 0] = None
    typed = WHEN.get(type_name)
    for param, low, high in extracted.dates:
        if param != typed:
            date[patient, rid, number[param], low, high] = None
    for param, text in extracted.strings:
        string[patient, rid, number[param], *_string(text, text)] = None
    for param, point, _ in extracted.numbers:
        numeric[patient, rid, number[param], point] = None
    for param, uri in extracted.uris:
        token[patient, rid, number[param], code_hash(uri), code_hash(""), word(uri)] = None
    for table, found in rows.items():
        if found:
            tx.many(_INSERT[table], list(found))


class _Numbers(dict[str, int]):
    """The number of each parameter of a type, by its name, looked up once."""

    def __init__(self, type_name: str) -> None:
        super().__init__()
        self._type = type_name

    def __missing__(self, param: str) -> int:
        self[param] = param_number(f"{self._type}.{param}")
        return self[param]


_numbers = cache(_Numbers)


def _string(text: str, exact: str) -> tuple[str, str, str | None]:
    norm = index.normalise(text)
    return norm[:SHORT], exact, norm if len(norm) > SHORT else None


def word(code: str | None) -> str:
    """What stands for a code or a URI when results are sorted by it."""
    return (code or "")[:WORD]


def uid_hash(which: int, uid: str) -> int:
    """A UID as its table holds it: the last bit says of which of the type's UID_PARAMS it is, the others are its hash."""
    return code_hash(bare_uid(uid)) & ~1 | which


def clear(tx: Tx, patient: int, rid: int) -> None:
    """Queue the removal of every index row of one resource."""
    for table in TABLES:
        tx.many(f"DELETE FROM {table} WHERE patient = ? AND rid = ?", [(patient, rid)])


def bare_uid(code: str) -> str:
    """A DICOM UID without the prefix of its URN."""
    return code.removeprefix("urn:oid:")
