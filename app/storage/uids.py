"""Which studies hold a DICOM series or instance, whoever may see them: to notice that a UID is used twice, or asked for
under another study."""

from __future__ import annotations

from collections.abc import Sequence

from app.fhir.identifier import DICOM_UID
from app.fhir.registry import TYPES
from app.policy.grant import Everything, Grant
from app.storage.engine import Tx
from app.storage.indexing import UID_PARAMS, uid_hash
from app.storage.keys import code_hash, param_number, short
from app.storage.resources import COLUMNS, Stored, stored

# A study given up as wrong does not keep its instances from being sent again under the right one.
GIVEN_UP = ("cancelled", "entered-in-error")


def studies_holding(tx: Tx, uids: Sequence[str], level: str = "instance") -> set[str]:
    """Ids of the studies in force that hold any of these instances, or `series`."""
    which = UID_PARAMS["ImagingStudy"].index(level)
    condition, bound = tx.in_list("u.value", [uid_hash(which, uid) for uid in uids])
    rows = tx.rows(
        "SELECT DISTINCT r.id FROM uid u JOIN resource r ON r.patient = u.patient AND r.rid = u.rid"
        f" WHERE {condition} AND r.type = ? AND NOT r.deleted AND r.status NOT IN (?, ?)",
        bound,
        TYPES["ImagingStudy"].code,
        *GIVEN_UP,
    )
    return {id for (id,) in rows}


def elsewhere(tx: Tx, level: str, uid: str, rid: int) -> bool:
    """Whether another study than `rid` holds this `series` or `instance`."""
    which = UID_PARAMS["ImagingStudy"].index(level)
    row = tx.one("SELECT 1 FROM uid u WHERE u.value = ? AND u.rid <> ? LIMIT 1", uid_hash(which, uid), rid)
    return row is not None


def study(tx: Tx, grant: Grant, uid: str) -> Stored | None:
    """The one study with this UID, for a grant without bounds: what is decided about, and shown to nobody by this."""
    if not any(isinstance(rule, Everything) for rule in grant.rows.get("ImagingStudy", ())):
        return None
    rows = tx.rows(
        f"SELECT {COLUMNS.format('r')} FROM identifier x JOIN resource r ON r.patient = x.patient AND r.rid = x.rid"
        " WHERE x.value = ? AND x.param = ? AND x.system = ? AND r.type = ? AND NOT r.deleted LIMIT 2",
        *identifying(uid),
        TYPES["ImagingStudy"].code,
    )
    return stored(rows[0]) if len(rows) == 1 else None


def identifying(uid: str) -> tuple[str, int, int]:
    """Value, parameter and system of the row by which a study is found by its UID."""
    return short(f"urn:oid:{uid}"), param_number("ImagingStudy.identifier"), code_hash(DICOM_UID)
