"""What follows when the glass was broken: who is told, by reference and without identity; the review, its outcome, and
what the worker does when nobody has reviewed it in time (security.md, section 3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from app.access import audit
from app.access.duties import GRANTS
from app.access.information import Known
from app.fhir.outcome import Fault
from app.fhir.search import parse
from app.fhir.temporal import format_instant
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.pathways.clocks import working_days
from app.pathways.making import BASE, concept, notice, organization
from app.pathways.parameters import PLACE, read
from app.policy.duty import ASKS, Duty, broken_glass, duty
from app.policy.model import EmergencyGrant
from app.storage import agenda, attempts, emergencies, resources, search
from app.storage.agenda import Item
from app.storage.emergencies import Held
from app.storage.engine import Tx

Json = dict[str, Any]

DUTIES = f"{BASE}/CodeSystem/duty"
CODES = f"{BASE}/CodeSystem/registry-emergency-review"
HOLDERS = f"{BASE}/Id/emergency-holder"
REVIEW_DAYS, ALERT_DAYS = 3, 1
OUTCOMES = ("justified", "not-justified", "unclear")
REOPEN = "reopened"
REVIEW, BURST, ESCALATE = "REVIEW_WORKLIST", "BREAK_GLASS_BURST", "break-glass-review"
KIND = "break-glass"


def task_id(held: Held, known: Known) -> str:
    return _duties(held, known)[0].id


def _duties(held: Held, known: Known) -> tuple[Duty, ...]:
    """The same as those of the decisions that rely on the grant: whichever comes first makes them, once."""
    used = EmergencyGrant(held.id, 1, held.practitioner, held.organisation, held.patient, held.start, held.end)
    return broken_glass(used, known.groups[0].person.patients)


def opened(services: Services, tx: Tx, held: Held, known: Known) -> None:
    """The review, due in three working days, and a notice to the privacy officers of the clinician's organisation and of
    each that made studies of the patient."""
    duties = _duties(held, known)
    due = working_days(tx.at, REVIEW_DAYS, tx.zone)
    task = _task(REVIEW, tx.at, due, held.organisation, GRANTS, held.id) | {
        "for": {"reference": held.patient},
        "requester": {"reference": held.practitioner},
        "reasonCode": concept(f"{BASE}/CodeSystem/registry-emergency-reason", held.reason, held.note),
    }
    _write(services, tx, held.organisation, task, duties[0].id)
    agenda.put(tx, Item(ESCALATE, duties[0].id, due))
    services.enforcement.discharge(tx, duties)


def alerted(services: Services, tx: Tx, holder: str, organisation: str) -> None:
    """The function was closed for a person or an organisation: an alert for its privacy officers, due the next day."""
    one = duty(BURST, (), (), organisation, holder, tx.at)
    due = working_days(tx.at, ALERT_DAYS, tx.zone)
    task = _task(BURST, tx.at, due, organisation, HOLDERS, holder) | {"priority": "asap"}
    _write(services, tx, organisation, task, one.id)
    agenda.put(tx, Item(ESCALATE, one.id, due))
    said = notice(concept(CODES, "burst"), organisation, [f"Task/{one.id}"], ASKS[BURST], tx.at)
    _write(services, tx, organisation, said, f"{one.id}-{_slug(organisation)}")


def _task(code: str, at: int, due: int, owner: str, system: str, value: str) -> Json:
    return {
        "resourceType": "Task",
        "identifier": [{"system": system, "value": value}],
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "code": concept(DUTIES, code),
        "description": ASKS[code],
        "authoredOn": format_instant(at),
        "lastModified": format_instant(at),
        "owner": organization(owner),
        "restriction": {"period": {"end": format_instant(due)}},
    }


def _write(services: Services, tx: Tx, owner: str, resource: Json, id: str) -> None:
    services.validator.check(resource)
    grant = services.enforcement.for_deciding(tx, "BREAK_GLASS")
    resources.create(tx, replace(grant, writer=owner), resource, id, "PUT")


def _slug(key: str) -> str:
    return key.rpartition(":")[2].rpartition("/")[2].lower()


# The desk ----------------------------------------------------------------------------------------------------------


def reviews(services: Services, asked: Asked, states: tuple[str, ...] = ("requested",), most: int = 200) -> list[Json]:
    """The Tasks of reviews and alerts in these states that the privacy officer may see, the oldest first: `for` is the
    patient, `requester` the clinician, `reasonCode` why, `restriction.period.end` by when, `businessStatus` the outcome
    or `overdue`. Raises Fault forbidden for another role."""
    pairs = [
        ("code", f"{DUTIES}|{REVIEW},{DUTIES}|{BURST}"), ("status", ",".join(states)), ("_sort", "authored-on"),
        ("_count", str(most)),
    ]  # fmt: skip

    def work(tx: Tx) -> list[Json]:
        query = parse("Task", pairs, base_url=services.settings.base_url, zone=tx.zone, at=tx.at)
        grant = services.enforcement.permit(tx, asked.subject, "search-type", "Task", query=query)
        found = search.run(tx, grant, query).entries
        audit.record(
            tx, asked.subject, grant, "search-type", "Task", status=200, disclosed=found, detail="reviews",
            request_id=asked.request_id,
        )  # fmt: skip
        return [orjson.loads(one.content) for one in found]

    return carry(services, asked, "search-type", "Task", work)


def review(services: Services, asked: Asked, id: str, outcome: str, note: str = "", version: int | None = None) -> Json:
    """The Task with its outcome: one of OUTCOMES for a review, "reopened" for an alert, which opens the function again.

    An access that was not justified ends at once. Raises Fault not-found, forbidden, value, unprocessable where it was
    decided already, version-conflict."""
    return carry(
        services, asked, "operation", "Task", lambda tx: _reviewed(services, tx, asked, id, outcome, note, version)
    )


def _reviewed(services: Services, tx: Tx, asked: Asked, id: str, outcome: str, note: str, version: int | None) -> Json:
    grant = services.enforcement.permit(tx, asked.subject, "read", "Task", id=id)
    found = resources.get(tx, grant, "Task", id)
    task: Json = orjson.loads(found.content) if found is not None and not found.deleted else {}
    kind = next((one["code"] for one in task.get("code", {}).get("coding", ()) if one.get("system") == DUTIES), None)
    if found is None or kind not in (REVIEW, BURST):
        raise Fault("not-found", "no such review here; expected the id of one", detail="RESOURCE_NOT_FOUND")
    expected = OUTCOMES if kind == REVIEW else (REOPEN,)
    if outcome not in expected:
        raise Fault("value", f"the outcome is not known; expected one of {', '.join(expected)}", PLACE)
    if outcome == "not-justified" and not note.strip():
        raise Fault("required", "the note is missing; expected the reasons for an outcome of not-justified", PLACE)
    if len(note) > 5000:
        raise Fault("value", "the note is too long; expected at most 5000 characters", PLACE)
    if version is not None and version != found.version:
        raise Fault("version-conflict", "the review has changed meanwhile; expected its current version")
    if task["status"] not in ("requested", "received", "accepted", "in-progress"):
        raise Fault("unprocessable", "the review is decided already; expected one that is open")
    at = format_instant(tx.at)
    task |= {"status": "completed", "businessStatus": concept(CODES, outcome), "lastModified": at}
    if note.strip():
        author = {"authorReference": {"reference": asked.subject.practitioner}} if asked.subject.practitioner else {}
        task["note"] = [*task.get("note", ()), {"time": at, "text": note.strip()} | author]
    writing = services.enforcement.permit_write(tx, asked.subject, "update", task, found)
    services.validator.check(task)
    stored = resources.update(tx, writing, found, task)
    _follow(tx, task, kind, outcome)
    agenda.drop(tx, ESCALATE, id)
    audit.record(
        tx, asked.subject, writing, "update", "Task", status=200, disclosed=[stored],
        detail=f"$review-break-glass: {outcome}", request_id=asked.request_id,
    )  # fmt: skip
    return orjson.loads(stored.content)  # type: ignore[no-any-return]


def _follow(tx: Tx, task: Json, kind: str, outcome: str) -> None:
    named = {one.get("system"): one.get("value", "") for one in task.get("identifier", ())}
    if kind == BURST:
        emergencies.unlock(tx, named.get(HOLDERS, ""))
        attempts.forget(tx, KIND, named.get(HOLDERS, ""))
    elif outcome == "not-justified":
        emergencies.revoke(tx, named.get(GRANTS, ""))


def operation(services: Services, asked: Asked, id: str, parameters: Json) -> Answer:
    """Task/[id]/$review-break-glass: `outcome` and `note`. 200 with the Task."""
    given = read(parameters, {"outcome": ("valueCode",), "note": ("valueString",)}, ("outcome",))
    return Answer(200, orjson.dumps(review(services, asked, id, given["outcome"], given.get("note", ""))))


# The worker --------------------------------------------------------------------------------------------------------


def escalate(services: Services, tx: Tx, id: str) -> None:
    """A review that nobody made in time stands out, and its organisation is told again."""
    grant = services.enforcement.for_deciding(tx, "ESCALATION", "Task")
    found = resources.get(tx, grant, "Task", id)
    if found is None or found.deleted:
        return
    task = orjson.loads(found.content)
    if task.get("status") not in ("requested", "received", "accepted", "in-progress"):
        return
    changed = task | {"priority": "stat", "businessStatus": concept(CODES, "overdue")}
    resources.update(tx, replace(grant, writer=found.owner), found, changed)
    owner = found.owner or ""
    text = "a review of emergency access is overdue; the review named here says more to those who may read it"
    _write(services, tx, owner, notice(concept(CODES, "overdue"), owner, [found.ref], text, tx.at), f"{id}-overdue")
