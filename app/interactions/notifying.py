"""What a subscriber may be told of an event, decided at the moment at which it is told, and recorded with it."""

from __future__ import annotations

from app.access import audit
from app.access.subject import Subject
from app.fhir.identifier import NHS_NUMBER
from app.fhir.notification import Event
from app.fhir.outcome import Fault
from app.fhir.registry import BY_CODE
from app.fhir.subscription import Watch
from app.fhir.topics import BY_NAME
from app.interactions import Services, prefetch
from app.interactions.presenting import content
from app.storage import resources, telling
from app.storage.engine import Tx
from app.storage.resources import OPERATIONS
from app.storage.subscriptions import Notice

DUE = tuple(BY_NAME[name].url for name in ("prefetch-due", "appointment-prefetch-due"))
WITHDRAWN = BY_NAME["imaging-study-withdrawn"].url


def event_of(
    services: Services, tx: Tx, subject: Subject, watch: Watch, ref: str, notice: Notice, request_id: str = ""
) -> tuple[Event | None, str | None]:
    """The event (its number still 0), and the patient's NHS number where a CloudEvent names it; None where nothing of it
    may be told now. The audit row, of the disclosure or of the refusal, is in this transaction."""
    type_name, method = BY_CODE[notice.type].name, OPERATIONS[notice.op]
    enforcement = services.enforcement
    try:
        grant = enforcement.permit(tx, subject, "read", type_name, id=notice.focus)
        found = resources.get(tx, grant, type_name, notice.focus)
    except Fault:
        grant, found = None, None
    says = f"notification of {ref}"
    if notice.topic == WITHDRAWN and (found is not None or telling.was_shown(tx, notice.rid, subject.client_id)):
        # Its receiver knows of it: that it is not to be used any more is all that is said.
        audit.record(
            tx,
            subject,
            grant,
            "operation",
            type_name,
            status=200,
            detail=f"{says}: {notice.ref} is withdrawn",
            request_id=request_id,
        )
        return Event(0, notice.at, notice.ref, "DELETE"), None
    nothing = notice.topic in DUE and found is not None and not prefetch.anything(services, tx, subject, found)
    if found is None or grant is None or (found.deleted and method != "DELETE") or nothing:
        detail = f"{says}: {notice.ref} is suppressed"
        audit.record(tx, subject, None, "operation", type_name, status=403, detail=detail, request_id=request_id)
        return None, None
    audit.record(
        tx, subject, grant, "operation", type_name, status=200, disclosed=[found], detail=says, request_id=request_id
    )
    full = watch.content == "full-resource" and not found.deleted
    event = Event(0, notice.at, notice.ref, method, content(grant, found) if full else None)
    if not watch.cloud or not found.patient:
        return event, None
    return event, telling.identifier_of(tx, grant, found.patient, NHS_NUMBER)
