"""What can be looked up at `/choices`: how a request stands, and who has seen one's images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import orjson
from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.fhir.temporal import interval
from app.interactions import Asked, Services
from app.interactions.disclosures import disclosures
from app.interactions.paging import CURSOR
from app.pages import Visitor
from app.pathways.choice import requests
from app.web.fields import Date, Questions, Text, at_most, needed
from app.web.times import day_of, moment_of

WORDS = {
    "requested": "We have your request",
    "received": "The privacy desk is looking at it",
    "accepted": "It is accepted, and about to be put into force",
    "in-progress": "Your choice is in force",
    "completed": "Your choice is in force",
    "rejected": "It could not be done; we have written to say why",
}
UNKNOWN = "No request has this reference number and date of birth. Check both."


def public() -> Asked:
    """Somebody who is not signed in, told apart by where the request came from alone."""
    address = request.remote_addr or ""
    return Asked(Subject("pages", "user", None, "public", scopes=("user/Organization.rs",), address=address))


class Status(Questions):
    reference = Text(
        "Reference number",
        [needed("Enter the reference number."), at_most(40, "The reference number")],
        hint="It begins with IMG.",
        shown={"width": 20, "spellcheck": False},
    )
    born = Date("Date of birth of the person it is about", "a date of birth", hint="For example, 27 3 1962")


def add(pages: Blueprint, services: Services, visitor: Callable[[], Visitor | None]) -> None:
    """/choices/status and /choices/seen"""
    day, moment = day_of(services.store.zone), moment_of(services.store.zone)

    def show(template: str, status: int = 200, **shown: Any) -> Response:
        return make_response(render_template(f"choices/{template}.html", visitor=visitor(), day=day, **shown), status)

    @pages.route("/status", methods=["GET", "POST"])
    def status() -> Response:
        """State and dates of a request; of a wrong pair no more than that it is wrong."""
        form, back = Status(), url_for("choices.start")
        if not form.validate_on_submit():
            return show("status", 400 if form.problems else 200, form=form, wrong=form.problems, back=back)
        try:
            found = requests.status(services, public(), form.reference.data, form.born.data)
        except Fault as fault:
            if fault.status != 429:
                raise
            return show("throttled", 429)
        if found is None:
            form.refuse("reference", UNKNOWN)
            return show("status", 400, form=form, wrong=form.problems, back=back)
        return show(
            "status", progress=found, words=WORDS.get(found.state, ""), form=form, back=url_for("choices.status")
        )

    @pages.get("/seen")
    def seen() -> Response:
        """For the patient who is signed in: of nobody else."""
        here, back = visitor(), url_for("choices.start")
        if here is None or here.subject.patient is None:
            return make_response(redirect(f"/auth/sign-in?next={quote(url_for('choices.seen'))}", 303))
        pairs = [("_count", "50")]
        if page := request.args.get("page"):
            pairs.append((CURSOR, page))
        try:
            answer = disclosures(services, Asked(here.subject), here.subject.patient.removeprefix("Patient/"), pairs)
        except Fault as fault:
            if fault.status == 400 and page:  # a page of another visit
                return make_response(redirect(url_for("choices.seen"), 303))
            raise
        said = orjson.loads(answer.body or b"{}").get("parameter", [])
        found = [_row(one["part"], moment) for one in said if one["name"] == "disclosure"]
        address = next((one["valueUrl"] for one in said if one["name"] == "next"), "")
        cursor = dict(parse_qsl(urlsplit(address).query)).get(CURSOR)
        onward = url_for("choices.seen", page=cursor) if cursor else ""
        return show("seen", found=found, next=onward, back=back)


def _row(parts: list[dict[str, Any]], moment: Callable[[int | None], str]) -> dict[str, str]:
    row = {}
    for one in parts:
        if "valueInstant" in one:
            row[one["name"]] = moment(interval(one["valueInstant"])[0])
        elif "valueReference" in one:
            row[one["name"]] = one["valueReference"].get("display", "")
        else:
            row[one["name"]] = one["valueString"]
    return row
