"""A request as it is stored: a Task, and by the Task's id the form, the Consent and the letters that belong to it.

Task: `executionPeriod` from when the request was received to when it was decided, `restriction.period.end` by when it is
to be, `note` each step, `input` the form, by what channel it came and whether a log-in proved who it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import orjson

from app.fhir import patient_match
from app.fhir.identifier import NHS_NUMBER
from app.fhir.outcome import Fault
from app.fhir.query import Query
from app.fhir.search import parse
from app.fhir.search_values import escaped
from app.fhir.temporal import format_instant, interval
from app.interactions import Services
from app.pathways.choice.form import Form
from app.pathways.choice.letters import address_of, paragraphs
from app.pathways.choice.model import LETTERS, Candidate, Event, Letter, Request
from app.pathways.choice.response import CODES, form_of, response
from app.pathways.clocks import ACKNOWLEDGE_DAYS, CONFIRM_DAYS, birthday, local_date, one_month, working_days
from app.pathways.making import BASE, code_of, concept, organization
from app.policy.grant import Grant
from app.storage import resources, search
from app.storage.engine import Tx
from app.storage.resources import Stored

Json = dict[str, Any]

NUMBERS = f"{BASE}/Id/choice-request"
PRINTS = f"{BASE}/Id/choice-form"
KINDS = ("opt-out", "opt-in", "contact")
TYPES = ("Task", "QuestionnaireResponse", "Communication", "Consent", "Provenance", "Patient")
BUSINESS = {
    "requested": "new",
    "received": "being-checked",
    "accepted": "checked",
    "in-progress": "in-force",
    "completed": "confirmed",
    "rejected": "rejected",
}
# What may follow each state.
STEPS = {
    "requested": ("received", "rejected"),
    "received": ("accepted", "rejected"),
    "accepted": ("in-progress", "rejected"),
    "in-progress": ("completed",),
}


@dataclass(frozen=True, slots=True)
class Filed:
    """What is in store of one request. `said` is the Task's content."""

    task: Stored
    said: Json
    answers: Stored
    form: Form
    letters: tuple[Stored, ...] = ()

    @property
    def state(self) -> str:
        return str(self.said["status"])

    @property
    def patient(self) -> str | None:
        found = self.said.get("for", {}).get("reference")
        return found if isinstance(found, str) else None

    @property
    def reference(self) -> str:
        return next((one["value"] for one in self.said["identifier"] if one["system"] == NUMBERS), "")

    def told(self, name: str) -> Any:
        """An input of the Task by the name of its kind."""
        for one in self.said.get("input", ()):
            if code_of(one["type"]) == name:
                return next(value for key, value in one.items() if key.startswith("value"))
        return None


def desk_of(services: Services) -> str:
    """The key of the organisation whose privacy desk handles the requests. Raises Fault where the region has none."""
    ods = services.settings.desk_ods
    if not ods:
        raise Fault("not-supported", "this region takes no requests by form; expected one made to a hospital")
    return f"ods:{ods}"


def sight(services: Services, tx: Tx) -> Grant:
    """What the pathway itself reads and writes, in the name of the desk. What is shown to whom is decided before."""
    return replace(services.enforcement.for_deciding(tx, "CHOICE", *TYPES), writer=desk_of(services))


def instant(text: object, zone: str) -> int | None:
    return interval(text, zone)[0] if isinstance(text, str) else None


# Making ------------------------------------------------------------------------------------------------------------


def opened(
    services: Services, tx: Tx, grant: Grant, form: Form, id: str, number: str, print: str, *, received: int,
    channel: str, proven: str | None, patient: str | None, by: Json,
) -> Filed:  # fmt: skip
    """Put down the form, its Task and the acknowledgement that is to be sent."""
    answers = response(form, tx.at) | {"identifier": {"system": NUMBERS, "value": number}}
    subject = {"reference": patient} if patient else None
    if subject:
        answers["subject"] = subject
    task: Json = {
        "resourceType": "Task",
        "identifier": [{"system": NUMBERS, "value": number}, {"system": PRINTS, "value": print}],
        "status": "requested",
        "businessStatus": concept(CODES, BUSINESS["requested"]),
        "intent": "order",
        "priority": "routine",
        "code": concept(CODES, form.choice),
        "authoredOn": format_instant(tx.at),
        "lastModified": format_instant(tx.at),
        "executionPeriod": {"start": format_instant(received)},
        "owner": organization(grant.writer or ""),
        "restriction": {"period": {"end": format_instant(one_month(received, tx.zone))}},
        "input": [
            {"type": concept(CODES, "form"), "valueReference": {"reference": f"QuestionnaireResponse/{id}-form"}},
            {"type": concept(CODES, "channel"), "valueCode": channel},
            {"type": concept(CODES, "proven"), "valueBoolean": proven is not None},
        ],
        "note": [by | {"time": format_instant(tx.at), "text": "requested"}],
    } | ({"for": subject} if subject else {})
    stored = [_create(services, tx, grant, one, name) for one, name in ((answers, f"{id}-form"), (task, id))]
    filed = Filed(stored[1], task, stored[0], form)
    return written(services, tx, grant, filed, "acknowledgement")


def written(services: Services, tx: Tx, grant: Grant, filed: Filed, kind: str) -> Filed:
    """The same with a letter of the kind, still to be sent."""
    received = instant(filed.said["executionPeriod"]["start"], tx.zone) or tx.at
    decide_by = instant(filed.said["restriction"]["period"]["end"], tx.zone) or tx.at
    said = paragraphs(
        kind, filed.form, filed.reference, local_date(received, tx.zone), local_date(decide_by - 1, tx.zone),
        reason=code_of(filed.said.get("statusReason")), note=str(filed.said.get("statusReason", {}).get("text", "")),
    )  # fmt: skip
    letter: Json = {
        "resourceType": "Communication",
        "basedOn": [{"reference": filed.task.ref}],
        "status": "preparation",
        "category": [concept(CODES, kind)],
        "payload": [{"contentString": one} for one in said],
        "note": [{"time": format_instant(tx.at), "text": "written"}],
    }
    if filed.patient:
        letter |= {"subject": {"reference": filed.patient}}
        letter |= {} if filed.form.on_behalf else {"recipient": [{"reference": filed.patient}]}
    stored = _create(services, tx, grant, letter, f"{filed.task.id}-{kind}")
    return replace(filed, letters=(*filed.letters, stored))


def _create(services: Services, tx: Tx, grant: Grant, resource: Json, id: str) -> Stored:
    services.validator.check(resource)
    return resources.create(tx, grant, resource, id, "PUT")


def changed(services: Services, tx: Tx, grant: Grant, filed: Filed, changes: Json, what: str, by: Json) -> Filed:
    """The Task with changes, and a note of what was done."""
    at = format_instant(tx.at)
    said = filed.said | changes | {"lastModified": at}
    said["note"] = [*filed.said.get("note", ()), by | {"time": at, "text": what}]
    if "status" in changes:
        said["businessStatus"] = concept(CODES, BUSINESS[changes["status"]])
    services.validator.check(said)
    task = resources.update(tx, grant, filed.task, said)
    return replace(filed, task=task, said=orjson.loads(task.content))


# Finding -----------------------------------------------------------------------------------------------------------


def found(services: Services, tx: Tx, grant: Grant, *pairs: tuple[str, str], most: int = 50) -> list[Stored]:
    """Tasks of requests by search parameters."""
    return run(tx, grant, query_of(services, tx, *pairs, most=most))


def content(one: Stored) -> Json:
    return orjson.loads(one.content)  # type: ignore[no-any-return]


def run(tx: Tx, grant: Grant, query: Query) -> list[Stored]:
    return search.run(tx, grant, query).entries


def query_of(services: Services, tx: Tx, *pairs: tuple[str, str], most: int) -> Query:
    return parse(
        "Task", [("code", ",".join(f"{CODES}|{one}" for one in KINDS)), *pairs, ("_count", str(most))],
        base_url=services.settings.base_url, zone=tx.zone, at=tx.at,
    )  # fmt: skip


def load(services: Services, tx: Tx, tasks: Sequence[Stored]) -> list[Filed]:
    """The tasks with their forms and letters."""
    grant = sight(services, tx)
    forms = _many(services, tx, grant, "QuestionnaireResponse", [f"{one.id}-form" for one in tasks])
    letters = _many(services, tx, grant, "Communication", [f"{one.id}-{kind}" for one in tasks for kind in LETTERS])
    loaded = []
    for task in tasks:
        answers = forms.get(f"{task.id}-form")
        if answers is not None:
            own = tuple(letters[name] for kind in LETTERS if (name := f"{task.id}-{kind}") in letters)
            loaded.append(Filed(task, orjson.loads(task.content), answers, form_of(orjson.loads(answers.content)), own))
    return loaded


def _many(services: Services, tx: Tx, grant: Grant, type_name: str, ids: Iterable[str]) -> dict[str, Stored]:
    named = list(ids)
    held: dict[str, Stored] = {}
    for start in range(0, len(named), 200):
        pairs = [("_id", ",".join(named[start : start + 200])), ("_count", "200")]
        query = parse(type_name, pairs, base_url=services.settings.base_url, zone=tx.zone, at=tx.at)
        held |= {one.id: one for one in search.run(tx, grant, query).entries}
    return held


def candidates(services: Services, tx: Tx, form: Form) -> list[Candidate]:
    """The records that the form may be about, the likeliest first."""
    wanted: Json = {"name": [{"family": form.family, "given": form.given.split()}], "birthDate": form.birth_date}
    ways = [[("family", escaped(form.family)), ("birthdate", escaped(form.birth_date))]]
    if form.nhs_number:
        wanted["identifier"] = [{"system": NHS_NUMBER, "value": form.nhs_number}]
        ways.append([("identifier", f"{NHS_NUMBER}|{escaped(form.nhs_number)}")])
    met: dict[str, Candidate] = {}
    for way in ways:
        query = parse("Patient", [*way, ("_count", "20")], base_url="", zone=tx.zone, at=tx.at)
        for one in search.run(tx, sight(services, tx), query).entries:
            patient = orjson.loads(one.content)
            if grade := patient_match.grade(wanted, patient):
                met[one.ref] = _candidate(one.ref, patient, grade)
    return sorted(met.values(), key=lambda one: (-patient_match.SCORES[one.grade], one.patient))


def _candidate(ref: str, patient: Json, grade: str) -> Candidate:
    name = next((one for one in patient.get("name", ()) if isinstance(one, dict)), {})
    words = [*name.get("given", ()), name.get("family", "")]
    numbers = [one.get("value", "") for one in patient.get("identifier", ()) if one.get("system") == NHS_NUMBER]
    number = numbers[0] if numbers else ""
    return Candidate(ref, " ".join(filter(None, words)), patient.get("birthDate", ""), number, grade)


def certain(services: Services, tx: Tx, form: Form) -> str | None:
    """The one record that the form is about for certain."""
    sure = [one.patient for one in candidates(services, tx, form) if one.grade == "certain"]
    return sure[0] if len(sure) == 1 else None


# Telling -----------------------------------------------------------------------------------------------------------


def request(services: Services, tx: Tx, filed: Filed, *, whole: bool = False) -> Request:
    """The request for the desk; `whole` with letters, candidates and history."""
    said, zone = filed.said, tx.zone
    received = instant(said["executionPeriod"]["start"], zone) or 0
    decided = instant(said["executionPeriod"].get("end"), zone)
    letters = tuple(_letter(one, filed.form, zone) for one in filed.letters)
    by_kind = {one.kind: one for one in letters}
    acknowledged = by_kind["acknowledgement"].sent if "acknowledgement" in by_kind else None
    acknowledge_by = working_days(received, ACKNOWLEDGE_DAYS, zone)
    decide_by = instant(said["restriction"]["period"]["end"], zone) or 0
    open_ = filed.state in ("requested", "received", "accepted")
    late = {
        "acknowledge": open_ and acknowledged is None and tx.at >= acknowledge_by,
        "decide": open_ and tx.at >= decide_by,
        "confirm": filed.state == "in-progress" and tx.at >= working_days(decided or received, CONFIRM_DAYS, zone),
    }
    consent = next(
        (one["valueReference"]["reference"] for one in said.get("output", ()) if "valueReference" in one), None
    )
    reason = said.get("statusReason")
    known = filed.patient is not None
    return Request(
        id=filed.task.id,
        version=filed.task.version,
        reference=filed.reference,
        state=filed.state,
        form=filed.form,
        channel=str(filed.told("channel")),
        received=received,
        acknowledge_by=acknowledge_by,
        decide_by=decide_by,
        acknowledged=acknowledged,
        decided=decided,
        overdue=tuple(name for name, is_late in late.items() if is_late),
        patient=filed.patient,
        consent=consent,
        proven=filed.told("proven") is True,
        checks=_checks(filed, local_date(tx.at, zone).isoformat()) if open_ else (),
        reason=code_of(reason) or None,
        note=str(reason.get("text", "")) if isinstance(reason, dict) else "",
        letters=letters,
        candidates=tuple(candidates(services, tx, filed.form)) if whole and not known else (),
        history=tuple(_event(one, zone) for one in said.get("note", ())) if whole else (),
    )


def _checks(filed: Filed, today: str) -> tuple[str, ...]:
    form = filed.form
    asked = [] if filed.told("proven") else ["identity"]
    if form.on_behalf:
        asked.append("authority")
        if _is_young(form.birth_date, today):
            asked.append("young-person")
    return tuple(asked)


def _is_young(born: str, today: str) -> bool:
    """13 to 15: old enough to be asked."""
    day = date.fromisoformat(born)
    return birthday(day, 13).isoformat() <= today < birthday(day, 16).isoformat()


def _letter(one: Stored, form: Form, zone: str) -> Letter:
    said = orjson.loads(one.content)
    return Letter(
        id=one.id,
        kind=code_of(said["category"][0]),
        to=address_of(form),
        paragraphs=tuple(part["contentString"] for part in said["payload"]),
        written=instant(said["note"][0]["time"], zone) or 0,
        sent=instant(said.get("sent"), zone),
    )


def _event(note: Json, zone: str) -> Event:
    who = note.get("authorReference", {}).get("reference") or note.get("authorString", "")
    return Event(instant(note.get("time"), zone) or 0, str(who), str(note.get("text", "")))
