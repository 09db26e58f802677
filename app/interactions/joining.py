"""One ImagingStudy for one study UID, whichever archives send it: each adds its own Endpoint and what it holds.

The archive learns nothing of the others: it is told where the study is, and no more of it than policy lets it read.
What would show one person's images as another's is refused, with an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app import observability
from app.access import audit
from app.fhir import merging
from app.fhir.identifier import DICOM_UID, OID
from app.fhir.outcome import Fault, Issue
from app.fhir.query import Query
from app.fhir.resource import load
from app.fhir.search import parse
from app.fhir.study import uid_of
from app.interactions import Answer, Asked, Services
from app.interactions.writing import written
from app.storage import resources, search
from app.storage.engine import Tx
from app.storage.projection import resolver
from app.storage.resources import Stored

SEVERAL = "the study uid is registered more than once; expected once, to be put right by the region's operator"
SHARED = "another archive holds this study too; expected its own endpoint to be taken away instead"
WITHDRAWING = ("cancelled", "entered-in-error")
WITHDRAWN = "the study was withdrawn as wrong and is not taken again; expected it to be reviewed first"


def known(services: Services, tx: Tx, asked: Asked, resource: dict[str, Any]) -> Stored | None:
    """The study in store with the UID of this one, whoever may see it; its UID is held until the transaction ends."""
    uid = uid_of(resource)
    if uid is None:
        return None
    query = _by_uid(tx, uid)
    resources.lock_match_keys(tx, resources.match_keys(query))
    found = search.run(tx, services.enforcement.for_joining(tx, asked.subject), query).entries
    if len(found) > 1:
        raise Fault("conflict", SEVERAL)
    return found[0] if found else None


def keys(tx: Tx, resource: dict[str, Any]) -> set[bytes]:
    """What a study is held by while it is joined."""
    uid = uid_of(resource)
    return resources.match_keys(_by_uid(tx, uid)) if uid else set()


def _by_uid(tx: Tx, uid: str) -> Query:
    return parse("ImagingStudy", [("identifier", f"{DICOM_UID}|{OID}{uid}"), ("_count", "2")], at=tx.at)


def join(
    services: Services, tx: Tx, asked: Asked, resource: dict[str, Any], warnings: list[Issue], interaction: str
) -> Answer | None:
    """Add what this archive says to the study that is in store already, and answer; None where there is none. The
    writer's right to write `resource` has been decided. Raises Fault "conflict" where they cannot be one study."""
    found = known(services, tx, asked, resource)
    if found is None:
        return None
    grant = services.enforcement.for_joining(tx, asked.subject, found)
    before = load(found.content)
    own = found.owner in services.enforcement.requester(tx, asked.subject).tree or asked.subject.kind == "steward"
    mine = [*_mine(services, tx, asked, merging.named(resource.get("endpoint")))]
    if resource.get("status") in WITHDRAWING:
        after = _withdrawn(before, resource["status"], _mine(services, tx, asked, merging.held_by(before)), own)
    else:
        after = _merged(tx, found, before, resource, mine, asked)
    stored = found if after == before else resources.update(tx, grant, found, after)
    if own:
        return written(services, tx, asked, "update", grant, stored, 200, warnings)
    audit.record(
        tx,
        asked.subject,
        grant,
        interaction,
        "ImagingStudy",
        status=201,
        disclosed=[stored],
        request_id=asked.request_id,
    )
    location = {"Location": f"{services.settings.base_url}/{stored.ref}"}
    there = set(mine) <= set(merging.named(before.get("endpoint"))) or resource.get("status") in WITHDRAWING
    return Answer(200 if there else 201, None, location)


def keep_others(services: Services, tx: Tx, asked: Asked, found: Stored, sent: dict[str, Any]) -> dict[str, Any]:
    """What a writer sends in place of the study `found`, with all that other organisations' archives hold of it."""
    before = load(found.content)
    return merging.keeping(before, sent, _others(services, tx, asked, before))


def check_sole(services: Services, tx: Tx, asked: Asked, found: Stored) -> None:
    """Raises Fault "conflict" where another organisation's archive holds the study that is to be deleted."""
    if _others(services, tx, asked, load(found.content)):
        raise Fault("conflict", SHARED)


def _others(services: Services, tx: Tx, asked: Asked, study: dict[str, Any]) -> set[str]:
    held = merging.held_by(study)
    return held - set(_mine(services, tx, asked, held))


def _withdrawn(before: dict[str, Any], status: str, mine: Iterable[str], own: bool) -> dict[str, Any]:
    """The study without the writer's archives. That it is wrong is its origin's to say, whoever else holds it."""
    if before.get("status") in WITHDRAWING and not merging.held_by(before):
        return before | {"status": status} if own else before
    after = before
    for endpoint in mine:
        after = merging.withdrawn(after, endpoint, status)
    return after | {"status": status} if own and status == "entered-in-error" else after


def _merged(
    tx: Tx, found: Stored, before: dict[str, Any], resource: dict[str, Any], mine: list[str], asked: Asked
) -> dict[str, Any]:
    if before.get("status") == "entered-in-error":
        raise Fault("conflict", WITHDRAWN)
    stated = str(resource["subject"].get("reference", ""))
    if resources.same_person(tx, stated, found.patient):
        resource = resource | {"subject": before["subject"]}
    whole = all(one.get("instance") for one in resource.get("series") or ())
    try:
        after = before
        for endpoint in mine or [""]:
            after = merging.merged(after, resource, endpoint, whole=whole)
        return after if mine else before
    except merging.Collision as collision:
        observability.event("identity_collision", request_id=asked.request_id, organisation=asked.subject.organisation)
        raise Fault("conflict", str(collision), detail="IDENTITY_COLLISION") from None


def _mine(services: Services, tx: Tx, asked: Asked, endpoints: Iterable[str]) -> list[str]:
    """Those of the endpoints that are the writer's own to speak for."""
    tree, owner = services.enforcement.requester(tx, asked.subject).tree, resolver(tx)
    return [name for name in endpoints if asked.subject.kind == "steward" or owner(name) in tree]
