"""What gates of archives are to forget: permissions that what has just committed may have ended.

Read from the feed of changes as soon as it is committed, in whatever order: a change is not kept waiting for a long
transaction that began before it. What no resource holds (a token revoked, a client disabled, emergency access ended) moves
a number of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from app.fhir.identifier import DICOM_UID
from app.fhir.registry import TYPES
from app.policy.grant import Grant
from app.storage import telling
from app.storage.engine import Tx
from app.storage.keys import code_hash, param_number
from app.storage.outbox import OLDEST

EPOCH = "permissions"
MOST = 500  # changes in one look; beyond that everything is forgotten
# Of these, and of a study or patient that is no longer new, a change is one about its patient alone.
OF_PATIENT = ("Consent", "EpisodeOfCare", "ServiceRequest", "CareTeam", "Appointment")
# Of these any change may be about anybody.
OF_ANYBODY = ("Organization", "Practitioner", "PractitionerRole", "Group")
STUDY, PATIENT = TYPES["ImagingStudy"].code, TYPES["Patient"].code
WATCHED = (STUDY, PATIENT, *(TYPES[name].code for name in (*OF_PATIENT, *OF_ANYBODY)))
ANYBODYS = frozenset(TYPES[name].code for name in OF_ANYBODY)


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate that is told. `url` is its flush address."""

    id: str
    url: str


@dataclass
class Feed:
    """How far the feed has been read: every transaction below `floor` has been seen whole, of later ones the rows in
    `seen`."""

    floor: int
    seq: int
    epoch: int
    seen: dict[int, int] = field(default_factory=dict)


def gates(tx: Tx) -> list[Gate]:
    rows = tx.rows(
        "SELECT id, flush_url FROM oauth_client WHERE kind = 'gate' AND flush_url IS NOT NULL AND NOT disabled"
    )
    return [Gate(id, url) for id, url in rows]


def forget(tx: Tx) -> None:
    """Permissions may have ended in a way that no resource shows: every gate is to forget what it keeps."""
    tx.told = True
    tx.many(
        "INSERT INTO epoch (name, number) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET number = epoch.number + 1",
        [(EPOCH,)],
    )


def begin(tx: Tx) -> Feed:
    """From now on."""
    row = tx.rows(f"SELECT {OLDEST[tx.dialect]}, (SELECT COALESCE(max(seq), 0) FROM change)")[0]
    return Feed(int(row[0]), int(row[1]), _epoch(tx))


def take(tx: Tx, grant: Grant, feed: Feed) -> list[str] | None:
    """The UIDs of the studies that what has committed since is about; None for any study at all. `feed` moves on.

    `grant` is one without bounds: what is read here is shown to nobody."""
    oldest = int(tx.rows(f"SELECT {OLDEST[tx.dialect]}")[0][0])
    kinds, codes = tx.in_list("c.type", WATCHED)
    after = ("c.xid >= ?", feed.floor) if tx.postgresql else ("c.seq > ?", feed.seq)
    rows = tx.rows(
        f"SELECT c.seq, c.xid, c.patient, c.rid, c.version, c.type FROM change c WHERE {after[0]} AND {kinds}"
        f" AND NOT (c.version = 1 AND c.type IN ({STUDY}, {PATIENT})) ORDER BY c.xid, c.seq LIMIT {MOST + 1}",
        after[1],
        codes,
    )
    epoch = _epoch(tx)
    everything = epoch != feed.epoch or len(rows) > MOST
    new = [row for row in rows if row[0] not in feed.seen]
    feed.epoch = epoch
    if len(rows) > MOST:  # too many to tell apart: on from the end
        ahead = begin(tx)
        feed.floor, feed.seq, feed.seen = ahead.floor, ahead.seq, {}
    else:
        feed.seen = {seq: xid for seq, xid, *_ in rows if xid >= oldest}
        feed.floor = max(feed.floor, oldest)
        feed.seq = max((row[0] for row in rows), default=feed.seq)
    if everything or any(_of_anybody(tx, grant, *row[2:]) for row in new):
        return None
    patients = {row[2] for row in new}
    studies = {row[3] for row in new if row[5] == STUDY}
    return sorted(_uids_of(tx, sorted(patients)) | {uid for rid in studies for uid in _uids(tx, grant, rid)})


def _of_anybody(tx: Tx, grant: Grant, patient: int, rid: int, version: int, type_code: int) -> bool:
    """Whether a change may be about anybody. Of a patient it is where records are joined, or were."""
    if type_code != PATIENT:
        return type_code in ANYBODYS or not patient
    versions = (telling.version(tx, grant, rid, number) for number in (version, version - 1))
    return any(one is None or one.deleted or b'"link"' in one.content for one in versions)


def _uids_of(tx: Tx, patients: Sequence[int]) -> set[str]:
    """The studies of these people, whichever of their records they are under."""
    if not patients:
        return set()
    text, param = tx.in_list("a.patient", patients)
    rows = tx.rows(
        "SELECT x.value FROM person a JOIN person b ON b.grp = a.grp JOIN identifier x ON x.patient = b.patient"
        f" WHERE {text} AND x.param = ? AND x.system = ?",
        param,
        param_number("ImagingStudy.identifier"),
        code_hash(DICOM_UID),
    )
    return {str(value).removeprefix("urn:oid:") for (value,) in rows}


def _uids(tx: Tx, grant: Grant, rid: int) -> list[str]:
    """The UID of a study by its last content: one that was deleted is in no index."""
    last = telling.version(tx, grant, rid, None)
    named = orjson.loads(last.content).get("identifier", ()) if last is not None else ()
    return [str(one.get("value", "")).removeprefix("urn:oid:") for one in named if one.get("system") == DICOM_UID]


def _epoch(tx: Tx) -> int:
    row = tx.one("SELECT number FROM epoch WHERE name = ?", EPOCH)
    return int(row[0]) if row else 0
