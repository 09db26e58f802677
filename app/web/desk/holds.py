"""/desk/holds: studies whose patient is in doubt. A person says whose they are, or that they are nobody's here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request, url_for

from app.fhir.identifier import NHS_NUMBER
from app.fhir.outcome import Fault
from app.pathways import identity_review
from app.web.choices.answers import day
from app.web.desk.room import Problems, Room, go, problems, refused
from app.web.fields import Lines, Questions, at_most, needed

FIELDS = {"patient": "patient", "reason": "reason"}


class Attach(Questions):
    """Whose it is: the patient is one of those offered."""


class Dismiss(Questions):
    reason = Lines("Why is it dismissed?", [needed("Say why it is dismissed."), at_most(2000, "The reason")], rows=3)


def add(room: Room) -> None:
    """The worklist, and one study."""
    pages, services = room.pages, room.services

    @pages.get("/holds")
    def holds() -> Response:
        found = identity_review.holds(services, room.asked)
        return room.show("holds", found=[(one, dict(told(one.study))) for one in found])

    @pages.route("/holds/<id>", methods=["GET", "POST"])
    def one_hold(id: str) -> Response:
        one = identity_review.hold(services, room.asked, id)
        wrong: Problems = []
        dismissal = Dismiss(formdata=None)
        if request.method == "POST":
            form = dismissal = Dismiss() if request.form.get("step") == "dismiss" else Attach()
            if form.validate():
                try:
                    _settle(room, id, form)
                    return go(url_for("desk.holds"))
                except Fault as fault:
                    if not refused(fault):
                        raise
                    wrong = problems(fault, FIELDS)
            wrong = form.problems + wrong
            dismissal = form if isinstance(form, Dismiss) else Dismiss(formdata=None)
        numbers = [("NHS number" if system == NHS_NUMBER else system, value) for system, value in one.said.numbers]
        return room.show(
            "hold", 400 if wrong else 200, one=one, study=told(one.study), numbers=numbers, born=day(one.said.born or ""),
            form=dismissal, wrong=wrong,
        )  # fmt: skip


def told(study: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of a study, by its name on the page."""
    kinds = [str(one.get("code", "")) for one in study.get("modality", [])]
    rows = [
        ("Date", day(str(study.get("started", ""))[:10])),
        ("Modality", ", ".join(kinds)),
        ("Description", str(study.get("description", ""))),
        ("Series", str(study.get("numberOfSeries", ""))),
        ("Images", str(study.get("numberOfInstances", ""))),
    ]
    return [(name, value) for name, value in rows if value]


def _settle(room: Room, id: str, form: Questions) -> None:
    if isinstance(form, Dismiss):
        identity_review.dismiss(room.services, room.asked, id, form.reason.data or "")
        return
    patient = request.form.get("patient", "")
    if not patient:
        raise Fault("value", "choose whose study it is", "patient")
    identity_review.resolve(room.services, room.asked, id, patient)
