"""What was on file at any time: every version of what decisions rest on, in the order in which it was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.fhir.registry import TYPES
from app.policy.grant import Grant
from app.storage.engine import Tx
from app.storage.resources import COLUMNS, Stored, stored

# Whom and what a decision may look at: who is who, and what is on file for a patient.
EVERYBODYS = ("Organization", "Practitioner", "PractitionerRole", "Location", "Endpoint", "Group", "CareTeam")
PERSONAL = ("Patient", "EpisodeOfCare", "Appointment", "ServiceRequest", "Consent")
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A record of the audit: its place, and its bytes."""

    seq: int
    body: bytes


def records(tx: Tx, grant: Grant, since: int) -> Iterator[Kept]:
    """The audit from an instant on, in the order of its instants."""
    at, seq = since - 1, -1
    while rows := tx.rows(
        f"SELECT a.at, a.seq, a.body FROM audit a WHERE (a.at, a.seq) > (?, ?) ORDER BY a.at, a.seq LIMIT {BATCH}",
        at,
        seq,
    ):
        for _, number, body in rows:
            yield Kept(number, bytes(body))
        at, seq = rows[-1][0], rows[-1][1]


def patients(tx: Tx, ids: Iterable[str]) -> set[int]:
    """The rids of these patients, of everybody joined with them now, and of every record that ever joined any."""
    text, param = tx.in_list("p.id", sorted(ids))
    rows = tx.rows(f"SELECT o.patient FROM person p JOIN person o ON o.grp = p.grp WHERE {text}", param)
    function, text = (
        ("strpos", "convert_from({0}.content, 'UTF8')") if tx.postgresql else ("instr", "CAST({0}.content AS TEXT)")
    )
    holds = f"{function}({text}, '\"replace') > 0"
    code = TYPES["Patient"].code
    for table, row in (("resource", "r"), ("history", "h")):
        rows += tx.rows(f"SELECT {row}.rid FROM {table} {row} WHERE {row}.type = ? AND {holds.format(row)}", code)
    return {rid for (rid,) in rows}


def versions(tx: Tx, grant: Grant, rids: set[int]) -> list[Stored]:
    """Every version of what is everybody's, and of what is these patients', the oldest first."""
    text, param = tx.in_list("{0}.patient", sorted(rids))
    everybodys, codes = tx.in_list("{0}.type", [TYPES[name].code for name in EVERYBODYS])
    personal, others = tx.in_list("{0}.type", [TYPES[name].code for name in PERSONAL])
    found: list[Stored] = []
    for table, row in (("resource", "r"), ("history", "h")):
        where = f"({everybodys} OR ({personal} AND {text}))".format(row)
        rows = tx.rows(f"SELECT {COLUMNS.format(row)} FROM {table} {row} WHERE {where}", codes, others, param)
        found += [stored(one) for one in rows]
    return sorted(found, key=lambda one: (one.updated, one.rid, one.version))


def version(tx: Tx, grant: Grant, reference: str) -> Stored | None:
    """One version, by its reference ("Type/id/_history/n")."""
    type_name, id, _, number = reference.split("/")
    for table, row in (("resource", "r"), ("history", "h")):
        found = tx.one(
            f"SELECT {COLUMNS.format(row)} FROM identity i JOIN {table} {row} ON {row}.rid = i.rid"
            f" WHERE i.type = ? AND i.id = ? AND {row}.version = ?",
            TYPES[type_name].code,
            id,
            int(number),
        )
        if found:
            return stored(found)
    return None


def emergency_grants(tx: Tx, patient: str, at: int) -> Sequence[tuple[Any, ...]]:
    """The emergency grants for a patient (an id) as they stood at an instant, as rows but for the patient: one that was
    revoked since is the version before."""
    return tx.rows(
        "SELECT e.id, CASE WHEN e.revoked_at > ? THEN e.version - 1 ELSE e.version END, e.practitioner, e.organisation,"
        " e.low, e.high, e.reason, e.note, e.revoked AND NOT coalesce(e.revoked_at > ?, FALSE)"
        " FROM emergency_grant e JOIN person p ON p.patient = e.patient WHERE p.id = ? AND e.low <= ?",
        at,
        at,
        patient,
        at,
    )


def put_emergency_grants(tx: Tx, patient: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Lay such rows down for the same patient in another database."""
    place = tx.one("SELECT patient FROM person WHERE id = ?", patient)
    if place is None:
        return
    tx.run("DELETE FROM emergency_grant WHERE patient = ?", place[0])
    for row in rows:
        tx.run(
            "INSERT INTO emergency_grant (patient, id, version, practitioner, organisation, low, high, reason, note, revoked)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            place[0],
            *row,
        )
