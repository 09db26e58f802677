"""The answers as the request that they make, and as they are shown to be checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from app.pathways.choice.form import Form
from app.web.choices.questions import ENTITLED, EXTENT, RELATED, WAYS, Answers, for_another

# The question at which what the request says can be put right.
PLACES = {
    "given": ("name", "given"),
    "family": ("name", "family"),
    "birth_date": ("born", "born-day"),
    "nhs_number": ("number", "number"),
    "contact": ("contact", "contact"),
    "email": ("contact", "email"),
    "phone": ("contact", "phone"),
    "address": ("address", "line1"),
    "postcode": ("address", "postcode"),
    "proxy_name": ("you", "proxy_name"),
    "relationship": ("relationship", "relationship"),
    "authority": ("authority", "authority"),
    "evidence": ("evidence", "evidence"),
    "extent": ("extent", "extent"),
    "trusts": ("extent", "trusts"),
    "understood": ("meaning", "understood"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A question and its answer; `slug` is where it can be changed."""

    name: str
    value: str
    slug: str


def request_of(answers: Answers) -> Form:
    """What is sent."""
    of = {slug: answers.get(slug, {}) for slug in ("name", "born", "number", "contact", "address", "you", "extent")}
    another = for_another(answers)
    return Form(
        choice=str(answers.get("choice", "")),
        given=of["name"].get("given", ""),
        family=of["name"].get("family", ""),
        birth_date=of["born"].get("born", ""),
        address=address_of(of["address"]),
        postcode=of["address"].get("postcode", ""),
        nhs_number=of["number"].get("number", ""),
        contact=of["contact"].get("contact", "letter"),
        email=of["contact"].get("email", ""),
        phone=of["contact"].get("phone", ""),
        extent=of["extent"].get("extent", "all"),
        trusts=tuple(of["extent"].get("trusts", ())),
        on_behalf=another,
        proxy_name=of["you"].get("proxy_name", "") if another else "",
        relationship=answers.get("relationship", {}).get("relationship", "") if another else "",
        authority=answers.get("authority", {}).get("authority", "") if another else "",
        evidence=answers.get("evidence", {}).get("evidence", "") if another else "",
        understood=bool(answers.get("meaning", {}).get("understood")),
    )


def address_of(given: Mapping[str, str]) -> str:
    return "\n".join(line for name in ("line1", "line2", "town") if (line := given.get(name, "")))


def rows(answers: Answers, hospitals: Mapping[str, str]) -> list[Row]:
    """What was answered, in the order of the questions. `hospitals` are names by ODS code."""
    sent = request_of(answers)
    if sent.choice == "contact":
        asked = answers.get("request", {})
        said = [
            Row("Reference number", asked.get("reference", ""), "request"),
            Row("Date of birth", day(asked.get("born", "")), "request"),
        ]
    else:
        said = [
            Row("About", "Somebody else" if sent.on_behalf else "Me", "who"),
            Row("Name", f"{sent.given} {sent.family}", "name"),
            Row("Date of birth", day(sent.birth_date), "born"),
            Row("NHS number", number(sent.nhs_number) or "Not known", "number"),
        ]
    said.append(Row("How we write", way(sent), "contact"))
    said.append(Row("Address", "\n".join(filter(None, (sent.address, sent.postcode))) or "None given", "address"))
    if sent.on_behalf:
        said += [
            Row("Your own name", sent.proxy_name, "you"),
            Row("Related how", RELATED.get(sent.relationship, ""), "relationship"),
            Row("What lets you decide", ENTITLED.get(sent.authority, ""), "authority"),
            Row("What you can show", sent.evidence or "Nothing yet", "evidence"),
        ]
    if sent.choice == "opt-out":
        said.append(Row("What should stop", extent(sent, hospitals), "extent"))
    if "identity" in answers:
        asked_by = (
            "The privacy desk gets in touch" if answers["identity"].get("identity") == "desk" else "By signing in"
        )
        said.append(Row("Who you are is checked", asked_by, "identity"))
    return said


def way(sent: Form) -> str:
    return "\n".join(filter(None, (WAYS.get(sent.contact, ""), sent.email, sent.phone)))


def extent(sent: Form, hospitals: Mapping[str, str]) -> str:
    if sent.extent != "trusts":
        return EXTENT.get(sent.extent, "")
    return "\n".join(["Images at these hospitals:", *(hospitals.get(one, one) for one in sent.trusts)])


def number(digits: str) -> str:
    """As it is written: 999 123 4567."""
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}" if len(digits) == 10 else digits


def day(text: str) -> str:
    """17 April 1962, for 1962-04-17."""
    try:
        given = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{given.day} {given:%B} {given.year}"
