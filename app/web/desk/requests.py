"""/desk/requests: the requests of patients with their clocks; each is taken in hand, decided, put into force, written about.

A step is for the version of the request that was looked at: a second click, or the back button, does nothing twice.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for

from app.fhir.outcome import Fault
from app.pathways.choice import desk
from app.pathways.choice.form import Form
from app.pathways.choice.model import OPEN, REASONS, Request
from app.web.choices import answers as said
from app.web.choices.questions import ENTITLED, RELATED
from app.web.desk.room import Problems, Room, go, problems, refused
from app.web.fields import Choice, Lines, Questions, at_most
from app.web.hospitals import hospitals

STEPS = ("receive", "accept", "confirm", "reject", "sent")
CLOCKS = {"acknowledge": "acknowledgement", "decide": "decision", "confirm": "confirmation"}
STATES = {
    "requested": "New",
    "received": "In hand",
    "accepted": "Accepted, not yet in force",
    "in-progress": "In force, to be confirmed",
    "completed": "Done",
    "rejected": "Rejected",
}
KINDS = {"opt-out": "Opt out", "opt-in": "Opt back in", "contact": "Change of contact"}
FIELDS = {"patient": "patient", "reason": "reason", "note": "note"}


class Step(Questions):
    """The token of a step."""


class Rejection(Questions):
    reason = Choice("Why is it rejected?", list(REASONS.items()), "Choose why it is rejected.")
    note = Lines(
        "In words, for the letter", [at_most(2000, "The text")], hint="Needed for another reason. The person reads it."
    )


def add(room: Room) -> None:
    """The worklist, one request, its steps and letters."""
    pages, services = room.pages, room.services

    @pages.get("/requests")
    def requests() -> Response:
        shown = request.args.get("shown", "open")
        states = OPEN if shown != "closed" else ("completed", "rejected")
        try:
            found = desk.worklist(services, room.asked, states)
        except Fault as fault:
            if fault.status != 403:
                raise
            found = []
        return room.show("requests", found=found, shown=shown, states=STATES, kinds=KINDS, clocks=CLOCKS)

    @pages.get("/requests/find")
    def find() -> Response:
        """A request by its number."""
        number = "".join(request.args.get("reference", "").upper().split())[:40]
        try:
            found = desk.find(services, room.asked, number if number.startswith("IMG-") else f"IMG-{number}")
        except Fault as fault:
            if fault.status not in (400, 404):
                raise
            known = desk.worklist(services, room.asked, OPEN)
            wrong = [("No request that you may see has this number.", "reference")]
            return room.show(
                "requests", 404, found=known, shown="open", states=STATES, kinds=KINDS, clocks=CLOCKS, wrong=wrong
            )
        return go(url_for("desk.one_request", id=found.id))

    def page(one: Request, rejection: Rejection, wrong: Problems, status: int = 200) -> Response:
        return room.show(
            "request", status, one=one, rows=_rows(one, _hospitals(one)), rejection=rejection, wrong=wrong, states=STATES,
            kinds=KINDS, clocks=CLOCKS, reasons=REASONS,
        )  # fmt: skip

    def _hospitals(one: Request) -> dict[str, str]:
        return hospitals(services, room.asked) if one.form.trusts else {}

    @pages.route("/requests/<id>", methods=["GET", "POST"])
    def one_request(id: str) -> Response:
        one = desk.find(services, room.asked, id)
        if request.method == "GET":
            return page(one, Rejection(formdata=None), [])
        step, wrong = request.form.get("step", ""), []
        form = Rejection() if step == "reject" else Step()
        if form.validate():
            try:
                _take(one, step, form)
                return go(url_for("desk.one_request", id=id))
            except Fault as fault:
                if not refused(fault):
                    raise
                wrong = problems(fault, FIELDS)
                one = desk.find(services, room.asked, id)
        rejection = form if isinstance(form, Rejection) else Rejection(formdata=None)
        return page(one, rejection, form.problems + wrong, 400)

    def _take(one: Request, step: str, form: Questions) -> None:
        given = request.form.get("version", "")
        version = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else -1
        if step == "receive":
            desk.receive(services, room.asked, one.id, version=version)
        elif step == "accept":
            patient = request.form.get("patient") or None
            if one.patient is None and one.form.choice != "contact" and patient is None:
                raise Fault("unprocessable", "say which record the form is about", "patient")
            desk.accept(services, room.asked, one.id, patient=patient, version=version)
        elif step == "confirm":
            desk.confirm(services, room.asked, one.id, version=version)
        elif step == "reject":
            desk.reject(services, room.asked, one.id, form["reason"].data, form["note"].data or "", version=version)
        elif step == "sent":
            desk.sent(services, room.asked, one.id, request.form.get("kind", ""), version=version)
        else:
            raise Fault("invalid", "there is no such step", None)

    @pages.get("/requests/<id>/<kind>")
    def letter(id: str, kind: str) -> Response:
        """A letter to be printed, and put into an envelope with a window."""
        one = desk.find(services, room.asked, id)
        found = next((held for held in one.letters if held.kind == kind), None)
        if found is None:
            raise Fault("not-found", "no such letter", None)
        return room.show("letter", one=one, letter=found, kinds=KINDS)


def _rows(one: Request, named: dict[str, str]) -> list[tuple[str, str]]:
    form: Form = one.form
    told: list[tuple[str, Any]] = [
        ("Name", f"{form.given} {form.family}"),
        ("Date of birth", said.day(form.birth_date)),
        ("NHS number", said.number(form.nhs_number) or "not given"),
        ("Address", "\n".join(filter(None, (form.address, form.postcode))) or "not given"),
        ("To be written to", said.way(form)),
    ]
    if form.on_behalf:
        told += [
            ("Filled in by", form.proxy_name),
            ("Who is", RELATED.get(form.relationship, form.relationship)),
            ("Authority", ENTITLED.get(form.authority, form.authority)),
            ("Evidence", form.evidence or "none yet"),
        ]
    if form.choice == "opt-out":
        told.append(("What should stop", said.extent(form, named)))
    return told
