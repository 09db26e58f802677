"""/desk/reviews: what somebody has to look at: uses of emergency access, conflicting choices, records that cannot be
understood, and children who come of age. Each is a Task, and is settled once, in words.
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request, url_for

from app.access.duties import CODES
from app.fhir.outcome import Fault
from app.interactions import Asked
from app.interactions.read import read
from app.interactions.search import search
from app.interactions.update import update
from app.pathways import break_glass_review
from app.web.desk.room import Room, go, problems, refused
from app.web.fields import Choice, Lines, Questions, at_most, needed

Json = dict[str, Any]
KINDS = {
    "REVIEW_WORKLIST": "Emergency access",
    "BREAK_GLASS_BURST": "Emergency access closed",
    "ALERT_PRIVACY": "Emergency access without a grant",
    "CONFLICT_TASK": "Conflicting choices",
    "ALERT_DQ": "Data quality",
    "MINOR_REVIEW": "Comes of age",
}
OF_EMERGENCIES = ("REVIEW_WORKLIST", "BREAK_GLASS_BURST")
OPEN = "requested,received,accepted,ready,in-progress,on-hold"
OUTCOMES = {
    "justified": "There was reason to",
    "not-justified": "There was no reason to: it ends at once",
    "unclear": "It cannot be told",
}


class Review(Questions):
    outcome = Choice("What came of the review?", list(OUTCOMES.items()), "Choose what came of the review.")
    note = Lines("Reasons", [at_most(5000, "The text")], hint="Needed where there was no reason to.")


class Settle(Questions):
    note = Lines("What was done?", [needed("Say what was done about it."), at_most(5000, "The text")])


class Reopen(Questions):
    note = Lines("What was found?", [needed("Say what was found."), at_most(5000, "The text")])


def listed(room: Room, status: str = OPEN, kinds: tuple[str, ...] = tuple(KINDS)) -> list[Json]:
    """The tasks of these kinds, the oldest first."""
    codes = ",".join(f"{CODES}|{one}" for one in kinds)
    pairs = [("code", codes), ("status", status), ("_sort", "authored-on"), ("_count", "200")]
    return [_shown(one, room) for one in _found(room, "Task", pairs)]


def _found(room: Room, type_name: str, pairs: list[tuple[str, str]]) -> list[Json]:
    bundle = orjson.loads(search(room.services, room.asked, type_name, pairs).body or b"{}")
    return [one["resource"] for one in bundle.get("entry", []) if one.get("search", {}).get("mode") != "outcome"]


def add(room: Room) -> None:
    """The worklist, and one task."""
    pages, services = room.pages, room.services

    @pages.get("/reviews")
    def reviews() -> Response:
        closed = request.args.get("shown") == "closed"
        kind = request.args.get("kind", "")
        kinds = (kind,) if kind in KINDS else tuple(KINDS)
        found = listed(room, "completed,failed,rejected" if closed else OPEN, kinds)
        return room.show("reviews", found=found, closed=closed, kind=kind, kinds=KINDS)

    @pages.route("/reviews/<id>", methods=["GET", "POST"])
    def one_review(id: str) -> Response:
        task = orjson.loads(read(services, room.asked, "Task", id).body or b"{}")
        shown = _shown(task, room)
        if shown["kind"] not in KINDS:
            raise Fault("not-found", "no such review", None)
        form = (
            Review if shown["kind"] == "REVIEW_WORKLIST" else Reopen if shown["kind"] in OF_EMERGENCIES else Settle
        )()
        wrong = []
        if form.validate_on_submit():
            try:
                _settle(room, task, shown["kind"], form)
                return go(url_for("desk.reviews"))
            except Fault as fault:
                if not refused(fault):
                    raise
                wrong = problems(fault, {"note": "note", "outcome": "outcome"})
        wrong = form.problems + wrong
        return room.show(
            "review", 400 if wrong else 200, one=shown, form=form, wrong=wrong, kinds=KINDS, outcomes=OUTCOMES
        )


def _settle(room: Room, task: Json, kind: str, form: Questions) -> None:
    given = request.form.get("version", "")
    if given != task["meta"]["versionId"]:
        raise Fault("version-conflict", "the task has changed meanwhile; expected its current version")
    note = form["note"].data or ""
    if kind in OF_EMERGENCIES:
        outcome = form["outcome"].data if kind == "REVIEW_WORKLIST" else break_glass_review.REOPEN
        break_glass_review.review(room.services, room.asked, task["id"], outcome, note, version=int(given))
        return
    if task.get("status") not in OPEN.split(","):
        raise Fault("unprocessable", "it was settled before")
    who = room.asked.subject.practitioner
    said: Json = {"text": note} | ({"authorReference": {"reference": who}} if who else {})
    changed = task | {"status": "completed", "note": [*task.get("note", []), said]}
    asked = Asked(room.asked.subject, if_match=f'W/"{given}"')
    update(room.services, asked, "Task", task["id"], changed)


def _shown(task: Json, room: Room) -> Json:
    """What the pages say of a task."""
    codes = [one.get("code") for one in task.get("code", {}).get("coding", []) if one.get("system") == CODES]
    reason = task.get("reasonCode", {})
    basis = [one["valueReference"].get("reference", "") for one in task.get("input", []) if "valueReference" in one]
    focus = task.get("focus", {}).get("reference")
    late = any(one.get("code") == "overdue" for one in task.get("businessStatus", {}).get("coding", []))
    outcome = next((one.get("code") for one in task.get("businessStatus", {}).get("coding", [])), "")
    return {
        "id": task["id"],
        "version": task["meta"]["versionId"],
        "kind": codes[0] if codes else "",
        "status": task.get("status", ""),
        "open": task.get("status") in OPEN.split(","),
        "says": task.get("description", ""),
        "patient": task.get("for", {}).get("reference", ""),
        "who": task.get("requester", {}).get("reference", ""),
        "reason": next((one.get("display") or one.get("code") for one in reason.get("coding", [])), ""),
        "words": reason.get("text", ""),
        "opened": task.get("authoredOn", "")[:10],
        "due": task.get("restriction", {}).get("period", {}).get("end", "")[:10],
        "late": late,
        "outcome": OUTCOMES.get(outcome, ""),
        "basis": ([focus] if focus else []) + basis,
        "notes": [one.get("text", "") for one in task.get("note", [])],
    }
