"""/desk/mdt and /desk/emergency: a list of patients for the team that reviews them, and a referral that opens a patient's
images to another hospital at once. For clinicians and coordinators, who open something for others and never for themselves.
"""

from __future__ import annotations

import secrets
from typing import Any

import orjson
from flask import Response, request, url_for

from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.outcome import Fault
from app.interactions.search import search
from app.pathways import emergency, mdt
from app.web.desk.room import Problems, Room, go, problems, refused
from app.web.fields import Choice, Date, Lines, Questions, Several, Text, at_most, digits, needed
from app.web.hospitals import hospitals

PRIORITIES = {"stat": "At once", "asap": "As soon as can be", "urgent": "Urgent"}


class Reviewing(Questions):
    """Which trust reviews: its people are offered on the next page."""

    organisation = Choice("Which trust reviews the patients?", [], "Choose the trust that reviews the patients.")


class Convene(Questions):
    name = Text(
        "Name of the list",
        [needed("Enter a name for the list."), at_most(200, "The name")],
        hint="For example, Lung MDT of 3 March",
    )
    reviewers = Several(
        "Who reviews", [needed("Choose at least one reviewer.")], hint="The images open to these people alone."
    )
    coordinators = Several(
        "Who coordinates (may be left open)",
        hint="They are shown that a study exists, when it was, of what kind and from where.",
    )
    patients = Lines(
        "NHS numbers of the patients, one on each line",
        [needed("Enter the NHS number of at least one patient."), at_most(5000, "The list")],
        hint="Patients in the care of your organisation.",
    )
    starts = Date("First day (today if left open)", "the first day", future=True, required=False)
    ends = Date("Last day (the usual time if left open)", "the last day", future=True, required=False)


class Refer(Questions):
    patient = Text(
        "NHS number of the patient",
        [needed("Enter the NHS number of the patient."), at_most(40, "The number")],
        hint="A patient in the care of your organisation.",
        shown={"width": 10, "inputmode": "numeric", "spellcheck": False},
    )
    to = Choice("To which hospital?", [], "Choose the hospital that is to see the images.")
    priority = Choice("How urgent is it?", list(PRIORITIES.items()), "Say how urgent it is.")
    reason = Lines("Why?", [needed("Say why."), at_most(2000, "The reason")], hint="The team there reads it.", rows=3)


class Step(Questions):
    """The token of a step."""


def add(room: Room) -> None:
    """Both, with their lists."""
    _meetings(room)
    _referrals(room)


def _others(room: Room) -> dict[str, str]:
    own = (room.asked.subject.organisation or "").removeprefix("ods:")
    return {code: name for code, name in hospitals(room.services, room.asked).items() if code != own}


def _people(room: Room, organisation: str) -> dict[str, str]:
    """The practitioners of a trust, by reference."""
    pairs = [
        ("organization.identifier", f"{ODS_ORGANISATION}|{organisation}"),
        ("_include", "PractitionerRole:practitioner"),
    ]
    bundle = orjson.loads(
        search(room.services, room.asked, "PractitionerRole", [*pairs, ("_count", "200")]).body or b"{}"
    )
    found = {}
    for entry in bundle.get("entry", []):
        one: dict[str, Any] = entry["resource"]
        if one["resourceType"] == "Practitioner":
            name: dict[str, Any] = next(iter(one.get("name", [])), {})
            text = name.get("text") or " ".join(
                [*name.get("prefix", []), *name.get("given", []), name.get("family", "")]
            )
            found[f"Practitioner/{one['id']}"] = text or one["id"]
    return dict(sorted(found.items(), key=lambda one: one[1]))


def _meetings(room: Room) -> None:
    pages, services = room.pages, room.services

    @pages.route("/mdt", methods=["GET", "POST"])
    def meetings() -> Response:
        """The lists, and the first question of a new one."""
        form = Reviewing()
        form.organisation.choices = list(hospitals(services, room.asked).items())
        if form.validate_on_submit():
            return go(url_for("care.convene", organisation=form.organisation.data))
        status = 400 if form.problems else 200
        return room.show("mdt", status, found=mdt.lists(services, room.asked), form=form, wrong=form.problems)

    @pages.route("/mdt/new/<organisation>", methods=["GET", "POST"])
    def convene(organisation: str) -> Response:
        named = hospitals(services, room.asked)
        if organisation not in named:
            raise Fault("not-found", "no such trust", None)
        form, wrong = Convene(), []
        own = room.asked.subject.practitioner
        form.reviewers.choices = [one for one in _people(room, organisation).items() if one[0] != own]
        here = (room.asked.subject.organisation or "").removeprefix("ods:")
        form.coordinators.choices = list(_people(room, here).items())
        submission = request.form.get("submission", "")[:60] or secrets.token_urlsafe(24)
        if form.validate_on_submit():
            try:
                made = mdt.set_up(services, room.asked, _wanted(form, organisation), submission=submission)
                return go(url_for("care.meeting", id=made.id))
            except Fault as fault:
                if not refused(fault) and fault.expression is None:
                    raise
                wrong = problems(fault, {name: name for name in ("name", "reviewers", "coordinators", "patients")}
                                 | {"starts": "starts-day", "ends": "ends-day"})  # fmt: skip
        wrong = form.problems + wrong
        return room.show(
            "convene", 400 if wrong else 200, form=form, wrong=wrong, trust=named[organisation], submission=submission
        )

    @pages.route("/mdt/<id>", methods=["GET", "POST"])
    def meeting(id: str) -> Response:
        wrong: Problems = []
        if request.method == "POST":
            form = Step()
            if form.validate():
                mdt.close(services, room.asked, id)
                return go(url_for("care.meeting", id=id))
            wrong = form.problems
        found, named = mdt.find(services, room.asked, id), hospitals(services, room.asked)
        here = (room.asked.subject.organisation or "").removeprefix("ods:")
        people = _people(room, found.organisation) | _people(room, here)
        return room.show("meeting", 400 if wrong else 200, one=found, hospitals=named, people=people, wrong=wrong)


def _wanted(form: Convene, organisation: str) -> mdt.Convening:
    numbers = ["".join(digits(line).split()).replace("-", "") for line in (form.patients.data or "").splitlines()]
    return mdt.Convening(
        name=form["name"].data or "",
        organisation=organisation,
        reviewers=tuple(form.reviewers.data),
        coordinators=tuple(form.coordinators.data),
        patients=tuple(dict.fromkeys(one for one in numbers if one)),
        starts=form.starts.data,
        ends=form.ends.data,
    )


def _referrals(room: Room) -> None:
    pages, services = room.pages, room.services

    def shown(form: Refer, wrong: Problems, submission: str) -> Response:
        found, named = emergency.open_ones(services, room.asked), hospitals(services, room.asked)
        return room.show(
            "emergency", 400 if wrong else 200, found=found, form=form, wrong=wrong, submission=submission, hospitals=named,
            priorities=PRIORITIES, closed=emergency.CLOSED,
        )  # fmt: skip

    @pages.route("/emergency", methods=["GET", "POST"])
    def referrals() -> Response:
        """The referrals sent and received, and a new one."""
        form, wrong = Refer(), []
        form.to.choices = list(_others(room).items())
        allowed = services.enforcement.switches.referral_priorities
        form.priority.choices = [one for one in PRIORITIES.items() if one[0] in allowed]
        submission = request.form.get("submission", "")[:60] or secrets.token_urlsafe(24)
        if form.validate_on_submit():
            number = "".join(digits(form.patient.data).split()).replace("-", "")
            plea = emergency.Plea(number, form.to.data, form.reason.data, form.priority.data)
            try:
                emergency.refer(services, room.asked, plea, submission=submission)
                return go(url_for("care.referrals"))
            except Fault as fault:
                if not refused(fault):
                    raise
                wrong = problems(fault, {name: name for name in ("patient", "to", "priority", "reason")})
        return shown(form, form.problems + wrong, submission)

    @pages.post("/emergency/<id>")
    def referral(id: str) -> Response:
        """Renew one, or close it."""
        form = Step()
        step, wrong = request.form.get("step"), []
        if form.validate() and step in ("renew", "close"):
            try:
                (emergency.renew if step == "renew" else emergency.close)(services, room.asked, id)
                return go(url_for("care.referrals"))
            except Fault as fault:
                if not refused(fault):
                    raise
                wrong = problems(fault)
        new = Refer(formdata=None)
        new.to.choices, new.priority.choices = list(_others(room).items()), list(PRIORITIES.items())
        return shown(new, form.problems + wrong or [("Choose what to do.", "")], secrets.token_urlsafe(24))
