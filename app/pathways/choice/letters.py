"""What the letters say, in plain English and without a word of anybody's health: acknowledgement, confirmation, rejection."""

from __future__ import annotations

from datetime import date

from app.pathways.choice.form import Form
from app.pathways.choice.model import REASONS

WISHES = {
    ("opt-out", "all"): "to stop sharing your medical images and reports with other organisations",
    (
        "opt-out",
        "except-emergency",
    ): "to stop sharing your medical images and reports with other organisations, except in an emergency",
    ("opt-out", "trusts"): "to stop sharing your medical images and reports with the organisations that you named",
    ("opt-in", "all"): "to share your medical images and reports with the organisations that care for you",
    ("contact", "all"): "to change how we write to you",
}


def wish(form: Form) -> str:
    found = WISHES.get((form.choice, form.extent)) or WISHES[form.choice, "all"]
    if not form.on_behalf or form.choice == "contact":
        return found
    return found.replace("your", "their").replace("care for you", "care for them")


def address_of(form: Form) -> tuple[str, ...]:
    """To whom a letter goes: whoever filled in the form."""
    name = form.proxy_name if form.on_behalf else f"{form.given} {form.family}"
    return tuple(line.strip() for line in (name, *form.address.splitlines(), form.postcode) if line.strip())


def paragraphs(
    kind: str, form: Form, reference: str, received: date, decide_by: date, *, reason: str = "", note: str = ""
) -> list[str]:
    """The text of a letter of one of LETTERS; dates as people write them."""
    about = "" if not form.on_behalf else f" on behalf of {form.given} {form.family}"
    opening = f"On {shown(received)} we received your request{about} {wish(form)}. Its reference number is {reference}."
    if kind == "acknowledgement":
        return [
            opening,
            f"We will decide it by {shown(decide_by)} and write to you again when we have. We may ask you for more to be"
            " sure whom the request is about.",
            "Until then nothing changes in what is shared.",
            NOT_NATIONAL,
        ]
    if kind == "confirmation":
        effect = {
            "opt-out": "It is now in force. Organisations that already hold images keep their own, and may use them for your"
            " care there.",
            "opt-in": "It is now in force. Only organisations that take part in your care can see your images.",
            "contact": "We have changed it.",
        }[form.choice]
        return [opening, effect, "You can change your mind at any time, with the same form.", NOT_NATIONAL]
    words = note if reason == "other" else REASONS[reason]
    return [
        opening,
        f"We could not carry it out: {words}.",
        "You can send the form again at any time. If you disagree, write to the privacy desk and name the reference number.",
    ]


NOT_NATIONAL = (
    "This is not the national data opt-out, which concerns research and planning and is made elsewhere; it is not changed by"
    " this request."
)


def shown(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
