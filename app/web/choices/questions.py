"""The questions of the patient's form, in order, one a page (nhs.md, section 5): fields, words, and when each is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.pathways.choice.form import AUTHORITIES, RELATIONSHIPS
from app.web.fields import (
    Check,
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

Answers = Mapping[str, Any]
ONE, SHORT, LONG = 100, 200, 2000
RELATED = dict(zip(RELATIONSHIPS, (
    "I am their parent", "I am their guardian", "I am their attorney", "I am their court-appointed deputy",
    "I am their carer", "Something else"), strict=True))  # fmt: skip
ENTITLED = dict(zip(AUTHORITIES, (
    "Parental responsibility", "A registered power of attorney for health and welfare", "An order of the Court of Protection",
    "They asked me to, and can confirm it", "A decision made in their best interests"), strict=True))  # fmt: skip
WAYS = {"letter": "By letter", "email": "By email", "phone": "By telephone"}
EXTENT = {
    "all": "All images, for all hospitals",
    "except-emergency": "All images, except in an emergency",
    "trusts": "All images, but only for hospitals that I name",
}


class Question(Questions):
    """One page. `slug` is its name in the address; `own` and `other` are its heading, for oneself and for somebody else."""

    slug = ""
    own = ""
    other = ""

    def __init__(self, answers: Answers, strict: bool) -> None:
        self.answers, self.strict = answers, strict
        super().__init__(data=answers.get(self.slug, {}))

    @classmethod
    def heading(cls, answers: Answers) -> str:
        return cls.other if cls.other and for_another(answers) else cls.own

    @classmethod
    def asked(cls, answers: Answers) -> bool:
        return True


def for_letters(text: str) -> Check:
    """Needed where letters are to be sent."""

    def check(form: Any, field: Any) -> None:
        if form.answers.get("contact", {}).get("contact") == "letter":
            needed(text)(form, field)

    return check


def for_another(answers: Answers) -> bool:
    return bool(answers.get("who", {}).get("who") == "other")


class Who(Question):
    slug, own = "who", "Who is this about?"
    who = Choice(
        own,
        [("me", "Me"), ("other", "Somebody else, and I act for them")],
        "Say whether this is about you or about somebody else.",
        hint="You may act for a child, or for an adult who cannot decide this or has asked you to.",
    )


class Name(Question):
    slug, own, other = "name", "What is your name?", "What is the name of the person you act for?"
    given = Text(
        "First name",
        [needed("Enter a first name."), at_most(ONE, "The first name"), worded("The first name")],
        shown={"autocomplete": "given-name", "spellcheck": False},
    )
    family = Text(
        "Last name",
        [needed("Enter a last name."), at_most(ONE, "The last name"), worded("The last name")],
        shown={"autocomplete": "family-name", "spellcheck": False},
    )


class Born(Question):
    slug, own, other = "born", "What is your date of birth?", "What is their date of birth?"
    born = Date("Date of birth", "a date of birth", hint="For example, 27 3 1962")


class Number(Question):
    """Numbers are asked for as people read them out, 3-3-4, and there is always another way."""

    slug, own, other = "number", "Do you know your NHS number?", "Do you know their NHS number?"
    knows = Choice(
        own,
        [("yes", "Yes"), ("no", "No, find the record by name, date of birth and address")],
        "Say whether you know the NHS number.",
        hint="It has 10 digits, as in 999 000 1006, and is on letters from a hospital or GP.",
        under={"yes": ("number",)},
    )
    number = Text(
        "NHS number",
        [only_if("knows", "yes", needed("Enter the NHS number, or say that you do not know it."), number)],
        hint="Spaces do not matter.",
        shown={"width": 10, "inputmode": "numeric", "spellcheck": False},
    )


class Contact(Question):
    slug, own = "contact", "How should we write to you?"
    contact = Choice(
        own,
        list(WAYS.items()),
        "Choose how we should write to you.",
        hint="We confirm that your request has come, and later what was decided.",
        under={"email": ("email",), "phone": ("phone",)},
    )
    email = Text(
        "Email address",
        [only_if("contact", "email", needed("Enter an email address."), at_most(SHORT, "The email address"), email)],
        shown={"type": "email", "autocomplete": "email", "spellcheck": False},
    )
    phone = Text(
        "Telephone number",
        [only_if("contact", "phone", needed("Enter a telephone number."), at_most(30, "The telephone number"), phone)],
        shown={"width": 20, "type": "tel", "autocomplete": "tel"},
    )


class Address(Question):
    """Asked whatever the preference, for it helps to find the record; needed for letters alone."""

    slug, own, other = "address", "What is your address?", "What is their address?"
    line1 = Text("Address line 1", [at_most(ONE, "The address")], shown={"autocomplete": "address-line1"})
    line2 = Text("Address line 2 (optional)", [at_most(ONE, "The address")], shown={"autocomplete": "address-line2"})
    town = Text("Town or city", [at_most(ONE, "The town")], shown={"width": 20, "autocomplete": "address-level2"})
    postcode = Text(
        "Postcode",
        [for_letters("Enter the postcode of the address."), optional, at_most(10, "The postcode"), postcode],
        shown={"width": 10, "autocomplete": "postal-code", "spellcheck": False},
    )


class OnBehalf(Question):
    """Asked of those who act for somebody else."""

    @classmethod
    def asked(cls, answers: Answers) -> bool:
        return for_another(answers)


class Proxy(OnBehalf):
    slug, own = "you", "What is your own name?"
    proxy_name = Text(
        "Your full name",
        [needed("Enter your own name."), at_most(SHORT, "Your name"), worded("Your name")],
        shown={"autocomplete": "name", "spellcheck": False},
    )


class Relationship(OnBehalf):
    slug, own = "relationship", "How are you related to them?"
    relationship = Choice(own, list(RELATED.items()), "Say how you are related to the person you act for.")


class Authority(OnBehalf):
    slug, own = "authority", "What lets you decide for them?"
    authority = Choice(own, list(ENTITLED.items()), "Say what lets you decide for the person.")


class Evidence(OnBehalf):
    slug, own = "evidence", "What can you show for that?"
    evidence = Lines(
        own,
        [at_most(LONG, "The description")],
        hint="For example, the number of a registered power of attorney, or that you can send a copy of a court order. "
        "Leave it empty if you are not sure: the privacy desk will ask you.",
    )


class Extent(Question):
    slug, own, other = "extent", "What should stop?", "What should stop for them?"
    extent = Choice(
        own,
        list(EXTENT.items()),
        "Choose what should stop.",
        hint="Hospitals that did not make the images will no longer see them, nor that they exist.",
        under={"trusts": ("trusts",)},
        hints={
            "except-emergency": "Teams who treat an emergency may still see them.",
            "trusts": "The others may see images where they give care.",
        },
    )
    trusts = Several(
        "Hospitals that should not see the images",
        [only_if("extent", "trusts", needed("Choose at least one hospital."))],
    )

    @classmethod
    def asked(cls, answers: Answers) -> bool:
        return bool(answers.get("choice") == "opt-out")


class Meaning(Question):
    slug, own = "meaning", "What it means"
    understood = Tick("I understand what this means", "Tick the box to say that you understand what this means.")


class Identity(Question):
    slug, own = "identity", "How shall we check who you are?"
    identity = Choice(
        own,
        [("desk", "Ask me: the privacy desk gets in touch"), ("sign-in", "I sign in now")],
        "Say how we should check who you are.",
        hints={
            "desk": "They may ask for a copy of a document, or call the number in the record.",
            "sign-in": "Then nothing else is needed, if this is about you.",
        },
    )


class ContactOnly(Question):
    """A change of contact begins with the request that it is for."""

    slug, own = "request", "Which request is this about?"
    reference = Text(
        "Reference number",
        [needed("Enter the reference number of your request."), at_most(40, "The reference number")],
        hint="It begins with IMG and is on the page and the letter that you got.",
        shown={"width": 20, "spellcheck": False},
    )
    born = Date("Date of birth of the person it is about", "a date of birth", hint="For example, 27 3 1962")


CHOICE = (
    Who,
    Name,
    Born,
    Number,
    Contact,
    Address,
    Proxy,
    Relationship,
    Authority,
    Evidence,
    Extent,
    Meaning,
    Identity,
)
CONTACT = (ContactOnly, Contact, Address)


def of(answers: Answers) -> tuple[type[Question], ...]:
    """The questions that are asked, with what is answered so far."""
    every = CONTACT if answers.get("choice") == "contact" else CHOICE
    return tuple(one for one in every if one.asked(answers))


__all__ = ["CHOICE", "CONTACT", "ENTITLED", "EXTENT", "RELATED", "WAYS", "Question", "for_another", "of"]
