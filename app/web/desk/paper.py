"""/desk/paper: a choice that came on paper, or was told at the counter, is recorded; its clocks run from the day it came."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Response, request, url_for

from app.fhir.outcome import Fault
from app.pathways.choice import desk
from app.pathways.choice.form import Form
from app.web.choices.answers import address_of
from app.web.choices.questions import ENTITLED, EXTENT, RELATED, WAYS
from app.web.desk.room import Room, go, problems, refused
from app.web.fields import (
    Choice,
    Date,
    Lines,
    Questions,
    Several,
    Text,
    Tick,
    at_most,
    email,
    needed,
    number,
    only_if,
    optional,
    phone,
    postcode,
    worded,
)
from app.web.hospitals import hospitals

FIELDS = {
    name: name
    for name in ("given", "family", "contact", "email", "phone", "postcode", "proxy_name", "relationship", "authority",
                 "evidence", "extent", "trusts", "understood", "choice")
} | {"birth_date": "born-day", "nhs_number": "number", "address": "line1", "received": "received-day"}  # fmt: skip


def _for_letters(form: Any, field: Any) -> None:
    if form.contact.data == "letter":
        needed("Enter it, for letters are to go there.")(form, field)


class Paper(Questions):
    """The same questions as at /choices, on one page, for whoever copies a paper form."""

    received = Date("When it came", "the day on which it came", hint="The clocks run from then.")
    choice = Choice("What is asked for", [("opt-out", "Opt out"), ("opt-in", "Opt back in")], "Say what is asked for.")
    given = Text(
        "First name", [needed("Enter a first name."), at_most(100, "The first name"), worded("The first name")]
    )
    family = Text("Last name", [needed("Enter a last name."), at_most(100, "The last name"), worded("The last name")])
    born = Date("Date of birth", "a date of birth", hint="For example, 27 3 1962")
    number = Text("NHS number (if it is on the form)", [optional, number], shown={"width": 10, "inputmode": "numeric"})
    contact = Choice(
        "How they want to be written to",
        list(WAYS.items()),
        "Say how they want to be written to.",
        under={"email": ("email",), "phone": ("phone",)},
    )
    email = Text(
        "Email address",
        [only_if("contact", "email", needed("Enter an email address."), at_most(200, "The email address"), email)],
    )
    phone = Text(
        "Telephone number",
        [only_if("contact", "phone", needed("Enter a telephone number."), at_most(30, "The telephone number"), phone)],
        shown={"width": 20},
    )
    line1 = Text("Address line 1", [_for_letters, at_most(100, "The address")])
    line2 = Text("Address line 2 (optional)", [at_most(100, "The address")])
    town = Text("Town or city", [at_most(100, "The town")], shown={"width": 20})
    postcode = Text("Postcode", [_for_letters, optional, at_most(10, "The postcode"), postcode], shown={"width": 10})
    extent = Choice(
        "What should stop (for an opt-out)",
        list(EXTENT.items()),
        "Say what should stop.",
        under={"trusts": ("trusts",)},
    )
    trusts = Several(
        "Hospitals that should not see the images",
        [only_if("extent", "trusts", needed("Choose at least one hospital."))],
    )
    behalf = Choice(
        "Who filled it in",
        [("me", "The person it is about"), ("other", "Somebody who acts for them")],
        "Say who filled it in.",
        under={"other": ("proxy_name", "relationship", "authority", "evidence")},
    )
    proxy_name = Text(
        "Their own name",
        [
            only_if(
                "behalf",
                "other",
                needed("Enter the name of who filled it in."),
                at_most(200, "The name"),
                worded("The name"),
            )
        ],
    )
    relationship = Choice("Related how", list(RELATED.items()), "Say how they are related.")
    authority = Choice("What lets them decide", list(ENTITLED.items()), "Say what lets them decide.")
    evidence = Lines("What they show for that", [only_if("behalf", "other", at_most(2000, "The description"))], rows=3)
    understood = Tick("The form is signed", "Record it once it is signed.")

    def validate(self, extra_validators: Any = None) -> bool:
        if self.behalf.data != "other":  # not asked, whatever the page sent
            self.relationship.validators = self.authority.validators = ()
        if self.choice.data == "opt-in":
            self.extent.data, self.extent.validators = "all", ()
        return super().validate(extra_validators)

    @property
    def request(self) -> Form:
        other = self.behalf.data == "other"
        text = {name: self[name].data or "" for name in ("line1", "line2", "town")}
        return Form(
            choice=self.choice.data,
            given=self.given.data,
            family=self.family.data,
            birth_date=self.born.data,
            address=address_of(text),
            postcode=self.postcode.data or "",
            nhs_number=self.number.data or "",
            contact=self.contact.data,
            email=self.email.data or "",
            phone=self.phone.data or "",
            extent=self.extent.data,
            trusts=tuple(self.trusts.data or ()),
            on_behalf=other,
            proxy_name=self.proxy_name.data or "",
            relationship=self.relationship.data or "" if other else "",
            authority=self.authority.data or "" if other else "",
            evidence=self.evidence.data or "",
            understood=bool(self.understood.data),
        )


def add(room: Room) -> None:
    """The form, once for each submission."""
    strict = room.services.settings.nhs_numbers == "strict"

    @room.pages.route("/paper", methods=["GET", "POST"])
    def paper() -> Response:
        form, wrong = Paper(), []
        form.strict = strict
        form.trusts.choices = list(hospitals(room.services, room.asked).items())
        submission = request.form.get("submission", "")[:60] or secrets.token_urlsafe(24)
        if form.validate_on_submit():
            try:
                received = form.received.data
                made = desk.record(room.services, room.asked, form.request, received=received, submission=submission)
                return go(url_for("desk.one_request", id=made.id))
            except Fault as fault:
                if not refused(fault):
                    raise
                wrong = problems(fault, FIELDS)
        wrong = form.problems + wrong
        return room.show("paper", 400 if wrong else 200, form=form, wrong=wrong, submission=submission)
