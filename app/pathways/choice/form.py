"""The patient's form: what the pages at /choices ask, one field a question, and what is wrong with an answer.

A form is kept as the QuestionnaireResponse of the published Questionnaire `registry-choice`; each field's `linkId` there
is the field's name here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date

import nhs_number

from app.fhir.outcome import Issue

CHOICES = ("opt-out", "opt-in", "contact")
EXTENTS = ("all", "except-emergency", "trusts")
CONTACTS = ("letter", "email", "phone")
RELATIONSHIPS = ("parent", "guardian", "attorney", "deputy", "carer", "other")
AUTHORITIES = ("parental-responsibility", "power-of-attorney", "court-deputy", "consent-of-patient", "best-interests")
EARLIEST = date(1880, 1, 1)
LONGEST = {"evidence": 2000, "address": 500}
USUAL = 200
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+?[0-9 ()-]{7,20}")
_ODS = re.compile(r"[A-Z0-9]{1,12}")

Wrong = Callable[[str, str, str], None]  # field, what is wrong, kind of issue


@dataclass(frozen=True, slots=True)
class Form:
    """The answers, as text. `birth_date` is YYYY-MM-DD, `nhs_number` ten digits or empty. `trusts`: ODS codes, used where
    `extent` is "trusts". The five of a proxy are empty unless `on_behalf`. `understood`: that it is not the national data
    opt-out, and what it means for care."""

    choice: str
    given: str
    family: str
    birth_date: str
    address: str = ""  # lines, with line feeds between
    postcode: str = ""
    nhs_number: str = ""
    contact: str = "letter"
    email: str = ""
    phone: str = ""
    extent: str = "all"
    trusts: tuple[str, ...] = ()
    on_behalf: bool = False
    proxy_name: str = ""
    relationship: str = ""
    authority: str = ""
    evidence: str = ""
    understood: bool = False

    def issues(self, today: date, *, strict_numbers: bool = True) -> tuple[Issue, ...]:
        """Everything that is wrong; `Issue.expression` is the name of the field."""
        found: list[Issue] = []

        def wrong(name: str, text: str, code: str) -> None:
            found.append(Issue(code, text, name))

        for name, among in (("choice", CHOICES), ("contact", CONTACTS), ("extent", EXTENTS)):
            if getattr(self, name) not in among:
                wrong(name, f"not one of the answers; expected one of {', '.join(among)}", "value")
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, str) and len(value) > LONGEST.get(one.name, USUAL):
                wrong(one.name, f"too long; expected at most {LONGEST.get(one.name, USUAL)} characters", "value")
            if isinstance(value, str) and any(ord(char) < 32 and char not in "\n\r\t" for char in value):
                wrong(one.name, "contains characters that cannot be kept; expected text", "value")
        for name in ("given", "family"):
            if not getattr(self, name).strip():
                wrong(name, "missing; expected a name", "required")
        self._birth(today, wrong)
        if self.nhs_number and not re.fullmatch("[0-9]{10}", self.nhs_number):
            wrong("nhs_number", "not ten digits; expected ten, or none", "value")
        elif self.nhs_number and strict_numbers and not nhs_number.is_valid(self.nhs_number):
            wrong("nhs_number", "not an NHS number; expected ten digits with the right check digit, or none", "value")
        self._contact(wrong)
        if self.extent == "trusts" and (not self.trusts or len(self.trusts) > 50):
            wrong("trusts", "no hospital is chosen, or too many; expected one at least", "required")
        if any(not _ODS.fullmatch(one) for one in self.trusts):
            wrong("trusts", "not an organisation's code; expected ODS codes", "value")
        if self.on_behalf and self.choice != "contact":
            self._proxy(wrong)
        if self.choice != "contact" and not self.understood:
            wrong("understood", "not confirmed; expected a yes", "required")
        return tuple(dict.fromkeys(found))

    def _birth(self, today: date, wrong: Wrong) -> None:
        try:
            born = (
                date.fromisoformat(self.birth_date)
                if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", self.birth_date)
                else None
            )
        except ValueError:
            born = None
        if born is None:
            wrong(
                "birth_date",
                "not a date; expected a day, a month and a year",
                "value" if self.birth_date else "required",
            )
        elif not EARLIEST <= born <= today:
            wrong("birth_date", "not in a lifetime; expected a date in the past", "value")

    def _contact(self, wrong: Wrong) -> None:
        if self.contact == "letter" and not (self.address.strip() and self.postcode.strip()):
            wrong("address", "missing; expected an address and postcode to write to", "required")
        if self.contact == "email" and not _EMAIL.fullmatch(self.email.strip()):
            wrong(
                "email",
                "not an email address; expected one like name@example.com",
                "value" if self.email else "required",
            )
        if self.contact == "phone" and not _PHONE.fullmatch(self.phone.strip()):
            wrong("phone", "not a telephone number; expected digits", "value" if self.phone else "required")

    def _proxy(self, wrong: Wrong) -> None:
        if not self.proxy_name.strip():
            wrong("proxy_name", "missing; expected the name of the person who fills this in", "required")
        if self.relationship not in RELATIONSHIPS:
            wrong("relationship", f"not one of the answers; expected one of {', '.join(RELATIONSHIPS)}", "required")
        if self.authority not in AUTHORITIES:
            wrong("authority", f"not one of the answers; expected one of {', '.join(AUTHORITIES)}", "required")


__all__ = ["AUTHORITIES", "CHOICES", "CONTACTS", "EXTENTS", "RELATIONSHIPS", "Form"]
