"""What the privacy desk does with a request. Everyone here is a subject of the privacy role (`Asked.subject`); each step
is refused (Fault `forbidden`) for another role or another organisation, and a request that the officer may not see does
not exist (`not-found`).

A step that does not follow from the state is refused as `unprocessable` (422); one on a version that has changed
(`version`, from `Request.version`) as `version-conflict` (412): so the back button does nothing twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from app.access import audit, permissions
from app.fhir.outcome import Fault
from app.fhir.temporal import format_instant, interval
from app.interactions import Asked, Services
from app.interactions.carrying import carry
from app.pathways.choice import clocks, filed, force, requests
from app.pathways.choice.filed import Filed
from app.pathways.choice.form import Form
from app.pathways.choice.model import LETTERS, OPEN, REASONS, Request
from app.pathways.choice.response import CODES, fingerprint
from app.pathways.making import concept
from app.policy.grant import Grant
from app.storage import resources
from app.storage.engine import Tx
from app.storage.resources import Stored

Json = dict[str, Any]
LONGEST = 2000


def worklist(services: Services, asked: Asked, states: tuple[str, ...] = OPEN, most: int = 200) -> list[Request]:
    """The requests in these states: overdue ones first, then by the next clock that runs out."""

    def work(tx: Tx) -> list[Request]:
        tasks = _visible(services, tx, asked, ("status", ",".join(states)), ("_sort", "period"), most=most)
        found = [filed.request(services, tx, one) for one in filed.load(services, tx, tasks)]
        _record(tx, asked, "search-type", tasks, "worklist of requests")
        return sorted(found, key=lambda one: (not one.overdue, _next(one), one.id))

    return carry(services, asked, "search-type", "Task", work)


def _next(one: Request) -> int:
    return one.acknowledge_by if one.acknowledged is None else one.decide_by


def find(services: Services, asked: Asked, id: str) -> Request:
    """One request by the id of its Task, or by its reference number."""

    def work(tx: Tx) -> Request:
        one = _one(services, tx, asked, id)
        _record(tx, asked, "read", [one.task, one.answers, *one.letters], f"request {one.reference}")
        return filed.request(services, tx, one, whole=True)

    return carry(services, asked, "read", "Task", work)


def record(services: Services, asked: Asked, form: Form, *, received: str = "", submission: str = "") -> Request:
    """A form that came on paper; `received` is the date (YYYY-MM-DD) from which the clocks run, today if left out.

    Raises Fault `duplicate` (409) where the same choice of the same person is open already."""
    clean = requests.checked(services, form)

    def work(tx: Tx) -> Request:
        _officer(services, tx, asked)
        at = _received(received, tx)
        id = f"choice-{requests.digest(submission) if submission else secrets.token_hex(16)}"
        print = fingerprint(clean)
        resources.lock_match_keys(tx, sorted(requests.key(one) for one in (id, print)))
        grant = filed.sight(services, tx)
        if again := resources.get(tx, grant, "Task", id):
            return filed.request(services, tx, filed.load(services, tx, [again])[0], whole=True)
        requests.check_trusts(services, tx, clean)
        patient = filed.certain(services, tx, clean)
        if patient:
            resources.lock_match_keys(tx, [requests.key(f"{patient} {clean.choice}")])
        _unlike_any(services, tx, grant, clean.choice, patient, print)
        made = requests.open_request(
            services, tx, asked, clean, id, print, received=at, channel="paper", patient=patient, by=_by(asked)
        )
        return filed.request(services, tx, made, whole=True)

    return carry(services, asked, "operation", "QuestionnaireResponse", work)


def _received(text: str, tx: Tx) -> int:
    try:
        at = interval(text, tx.zone)[0] if text else tx.at
    except ValueError:
        raise Fault("value", "not a date; expected the day on which the form came", "received") from None
    if not tx.at - 366 * 24 * requests.HOUR <= at <= tx.at:
        raise Fault("value", "not in the last year; expected the day on which the form came", "received")
    return at


def _unlike_any(services: Services, tx: Tx, grant: Grant, choice: str, patient: str | None, print: str) -> None:
    pairs = [("identifier", f"{filed.PRINTS}|{print}")]
    if patient:
        pairs.append(("patient", patient))
    for pair in pairs:
        for task in filed.found(services, tx, grant, pair, ("status", ",".join(OPEN))):
            one = filed.load(services, tx, [task])[0]
            if one.form.choice == choice:
                text = f"the same is asked for by {one.reference}, which is open; expected it to be decided first"
                raise Fault("duplicate", text)


# Steps -------------------------------------------------------------------------------------------------------------


def receive(services: Services, asked: Asked, id: str, *, version: int | None = None) -> Request:
    """requested → received: somebody has it in hand."""
    return _step(services, asked, id, "received", version, lambda tx, grant, one: ({}, one))


def accept(
    services: Services, asked: Asked, id: str, *, patient: str | None = None, version: int | None = None
) -> Request:
    """received → accepted: who it is about (`patient`, "Patient/id", where it was not certain) and, on behalf of
    somebody, the authority were confirmed."""

    def work(tx: Tx, grant: Grant, one: Filed) -> tuple[Json, Filed]:
        if patient and one.patient and patient != one.patient:
            text = "the form is about another patient for certain; expected that one, or a new request"
            raise Fault("unprocessable", text, "patient")
        named = one.patient or (requests.held(tx, patient) if patient else None)
        if named is None and (patient or one.form.choice != "contact"):
            raise Fault("unprocessable", "the patient is not known; expected one who is", "patient")
        return ({"for": {"reference": named}} if named else {}), one

    return _step(services, asked, id, "accepted", version, work)


def confirm(services: Services, asked: Asked, id: str, *, version: int | None = None) -> Request:
    """accepted → in-progress: the choice is in force, older ones of the person are superseded, and a confirmation is
    to be sent."""
    return _step(services, asked, id, "in-progress", version, lambda tx, grant, one: ({}, one))


def reject(
    services: Services, asked: Asked, id: str, reason: str, note: str = "", *, version: int | None = None
) -> Request:
    """Any state before in-progress → rejected, for one of REASONS, in words where it is "other"."""
    note = note.strip()
    if reason not in REASONS:
        raise Fault("value", f"not a reason; expected one of {', '.join(REASONS)}", "reason")
    if reason == "other" and not note:
        raise Fault("required", "missing; expected the reason in words", "note")
    if len(note) > LONGEST:
        raise Fault("value", f"too long; expected at most {LONGEST} characters", "note")

    def work(tx: Tx, grant: Grant, one: Filed) -> tuple[Json, Filed]:
        _record(tx, asked, "update", force.rejected(tx, grant, one), f"request {one.reference}")
        period = one.said["executionPeriod"] | {"end": format_instant(tx.at)}
        return {"statusReason": concept(CODES, reason, note or None), "executionPeriod": period}, one

    return _step(services, asked, id, "rejected", version, work)


def _step(
    services: Services, asked: Asked, id: str, to: str, version: int | None,
    act: Callable[[Tx, Grant, Filed], tuple[Json, Filed]],
) -> Request:  # fmt: skip
    def work(tx: Tx) -> Request:
        one = _one(services, tx, asked, id)
        _expect(one, to in filed.STEPS.get(one.state, ()), version, to)
        services.enforcement.permit_write(tx, asked.subject, "update", one.said, one.task)
        grant = filed.sight(services, tx)
        if to == "in-progress":
            one = requests.in_force(services, tx, asked, grant, one, _by(asked))
        else:
            changes, one = act(tx, grant, one)
            one = filed.changed(services, tx, grant, one, changes | {"status": to}, to, _by(asked))
        if to == "accepted":
            one = force.proposed(services, tx, grant, one)
        elif to == "rejected":
            one = filed.written(services, tx, grant, one, "rejection")
            clocks.stop(tx, one)
        _record(tx, asked, "update", [one.task], f"request {one.reference}: {to}")
        return filed.request(services, tx, one, whole=True)

    return carry(services, asked, "update", "Task", work)


def _expect(one: Filed, follows: bool, version: int | None, to: str) -> None:
    if version is not None and version != one.task.version:
        raise Fault("version-conflict", "the request has changed meanwhile; expected its current version")
    if not follows:
        able = ", ".join(filed.STEPS.get(one.state, ())) or "none"
        raise Fault("unprocessable", f"{to} does not follow {one.state}; expected one of {able}", "Task.status")


def sent(services: Services, asked: Asked, id: str, kind: str, *, version: int | None = None) -> Request:
    """A letter has been sent. The confirmation completes the request: in-progress → completed. One that was sent before
    stays as it is."""
    if kind not in LETTERS:
        raise Fault("value", f"not a letter; expected one of {', '.join(LETTERS)}", "kind")

    def work(tx: Tx) -> Request:
        one = _one(services, tx, asked, id)
        _expect(one, True, version, "")
        services.enforcement.permit_write(tx, asked.subject, "update", one.said, one.task)
        letter = next((held for held in one.letters if held.id.endswith(f"-{kind}")), None)
        if letter is None:
            raise Fault("unprocessable", f"there is no {kind} yet; expected it to be written first", "kind")
        said = filed.content(letter)
        if said["status"] == "completed":
            return filed.request(services, tx, one, whole=True)
        grant = filed.sight(services, tx)
        resources.update(tx, grant, letter, said | {"status": "completed", "sent": format_instant(tx.at)})
        changes = {"status": "completed"} if kind == "confirmation" and one.state == "in-progress" else {}
        filed.changed(services, tx, grant, one, changes, f"{kind} sent", _by(asked))
        if kind == "acknowledgement":
            clocks.acknowledged(tx, one)
        elif kind == "confirmation":
            clocks.stop(tx, one)
        one = _one(services, tx, asked, id)
        _record(tx, asked, "update", [one.task, *one.letters], f"request {one.reference}: {kind} sent")
        return filed.request(services, tx, one, whole=True)

    return carry(services, asked, "update", "Task", work)


# Who may -----------------------------------------------------------------------------------------------------------


def _officer(services: Services, tx: Tx, asked: Asked) -> None:
    services.enforcement.check_writer(asked.subject, "create", "Task")
    tree = services.enforcement.requester(tx, asked.subject).tree
    if not permissions.reads_privacy(asked.subject) or filed.desk_of(services) not in tree:
        text = "requests are recorded by the privacy desk alone; expected an officer of its organisation"
        raise Fault("forbidden", text, detail="ACCESS_DENIED")


def _visible(services: Services, tx: Tx, asked: Asked, *pairs: tuple[str, str], most: int) -> list[Stored]:
    query = filed.query_of(services, tx, *pairs, most=most)
    grant = services.enforcement.permit(tx, asked.subject, "search-type", "Task", query=query)
    return filed.run(tx, grant, query)


def _one(services: Services, tx: Tx, asked: Asked, id: str) -> Filed:
    if id.startswith("IMG-"):
        tasks = _visible(services, tx, asked, ("identifier", f"{filed.NUMBERS}|{id}"), most=1)
    else:
        # A recorder that is no person reads no Task but those that it keeps.
        reads = "read" if permissions.reads_privacy(asked.subject) else "update"
        grant = services.enforcement.permit(tx, asked.subject, reads, "Task", id=id)
        found = resources.get(tx, grant, "Task", id)
        tasks = [found] if found is not None and not found.deleted and id.startswith("choice-") else []
    loaded = filed.load(services, tx, tasks)
    if not loaded:
        raise Fault("not-found", "no such request here; expected the id of one", detail="RESOURCE_NOT_FOUND")
    return loaded[0]


def _by(asked: Asked) -> Json:
    who = asked.subject.practitioner
    return {"authorReference": {"reference": who}} if who else {"authorString": asked.subject.client_id}


def _record(tx: Tx, asked: Asked, interaction: str, shown: list[Stored], detail: str) -> None:
    audit.record(
        tx, asked.subject, None, interaction, "Task", status=200, disclosed=shown, detail=detail,
        request_id=asked.request_id,
    )  # fmt: skip
