"""The fields of the forms that people fill in, each with its own way of saying what is wrong with an answer.

Text is taken as people write it: in any alphabet, with spaces where they like. Characters that cannot be kept, or that
turn the text around them on the screen, are refused. A message says what to do, and stands at the field.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import nhs_number
from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, RadioField, SelectMultipleField, StringField, TextAreaField
from wtforms.validators import StopValidation

EARLIEST = date(1880, 1, 1)
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
AWAY = "You were away for a long time, or this page is from another visit. Nothing is lost: check it and send it again."
Check = Callable[[Any, Any], None]
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_POSTCODE = re.compile(r"[A-Z0-9 ]{2,10}")


class Questions(FlaskForm):  # type: ignore[misc]
    """A form with its token. `problems` is what the error summary lists."""

    def validate(self, extra_validators: Any = None) -> bool:
        for field in self:
            field.gone_wrong = None
        return bool(super().validate(extra_validators))

    @property
    def problems(self) -> list[tuple[str, str]]:
        """(what is wrong, id of the field); a token that is no longer good stands first, and at no field."""
        found = [(AWAY, "")] if self.errors.get("csrf_token") else []
        return found + [(one.errors[0], anchor(one)) for one in self if one.errors and one.name != "csrf_token"]

    def refuse(self, name: str, text: str) -> None:
        """Something that was found wrong after the form itself had been checked."""
        self[name].errors = [*self[name].errors, text]


def anchor(field: Field) -> str:
    """The id of the first thing to fill in."""
    return f"{field.name}-day" if isinstance(field, Date) else str(field.name)


def tidy(value: Any) -> Any:
    """One form for one text (NFC), without the spaces around it."""
    return unicodedata.normalize("NFC", value).replace("\r\n", "\n").strip() if isinstance(value, str) else value


def needed(text: str) -> Check:
    """An answer, else `text`."""

    def check(form: Any, field: Field) -> None:
        if not field.data:
            raise StopValidation(text)

    return check


def optional(form: Any, field: Field) -> None:
    """No answer is one, and nothing more is asked of it."""
    if not field.data:
        field.errors = []
        raise StopValidation


def at_most(length: int, what: str) -> Check:
    """Text of that many characters, all of which can be kept."""

    def check(form: Any, field: Field) -> None:
        text = field.data or ""
        if len(text) > length:
            raise StopValidation(f"{what} must be {length} characters or fewer. It is {len(text)} now.")
        lines = isinstance(field, TextAreaField)
        wrong = [char for char in text if (_unkept(char) and not (lines and char in "\n\t")) or char in TURNING]
        if wrong:
            raise StopValidation(f"{what} has a character that cannot be kept. Type it again.")

    return check


def _unkept(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Cn") or char == "\ufffd"


def worded(what: str) -> Check:
    """At least one letter, in any alphabet."""

    def check(form: Any, field: Field) -> None:
        if not any(char.isalpha() for char in field.data or ""):
            raise StopValidation(f"{what} must have letters in it.")

    return check


def email(form: Any, field: Field) -> None:
    if not _EMAIL.fullmatch(field.data or ""):
        raise StopValidation("Enter an email address like name@example.com.")


def phone(form: Any, field: Field) -> None:
    text = digits(field.data or "")
    if not re.fullmatch(r"\+?[0-9]{7,15}", re.sub(r"[ ()-]", "", text)):
        raise StopValidation("Enter a telephone number, like 01632 960 001 or +44 7700 900 982.")


def postcode(form: Any, field: Field) -> None:
    field.data = (field.data or "").upper()
    if not _POSTCODE.fullmatch(field.data):
        raise StopValidation("Enter a postcode, like ZZ99 3WZ.")


def digits(text: str) -> str:
    """The decimal digits of every alphabet as 0 to 9, the rest as it is."""
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def number(form: Any, field: Field) -> None:
    """An NHS number, spaces and hyphens wherever they are. `form.strict`: with the right check digit."""
    field.data = re.sub(r"[\s-]", "", digits(field.data or ""))
    right = nhs_number.is_valid(field.data) if form.strict else True
    if not re.fullmatch("[0-9]{10}", field.data) or not right:
        field.data = field.raw_data[0] if field.raw_data else field.data
        raise StopValidation("Enter the 10 digits of an NHS number, like 999 000 1006, or say that you do not know it.")


def only_if(name: str, value: str, *checks: Check) -> Check:
    """What is asked of an answer that belongs to one answer of another field; else it does not count."""

    def check(form: Any, field: Field) -> None:
        if form[name].data != value:
            field.data, field.errors = type(field.data)(), []
            raise StopValidation
        for one in checks:
            one(form, field)

    return check


class Text(StringField):  # type: ignore[misc]
    """One line. `shown` are parameters of the design system's input."""

    kind = "text"

    def __init__(self, label: str, checks: Sequence[Check], *, hint: str = "", shown: Mapping[str, Any] | None = None,
                 **more: Any) -> None:  # fmt: skip
        super().__init__(label, list(checks), filters=[tidy], description=hint, **more)
        self.shown = shown or {}


class Lines(TextAreaField):  # type: ignore[misc]
    """Several lines."""

    kind = "lines"

    def __init__(self, label: str, checks: Sequence[Check], *, hint: str = "", rows: int = 5, **more: Any) -> None:
        super().__init__(label, list(checks), filters=[tidy], description=hint, **more)
        self.rows = rows


class Choice(RadioField):  # type: ignore[misc]
    """One of a few. `under` names fields that belong to an answer; `hints` say more of one."""

    kind = "choice"

    def __init__(self, label: str, choices: Sequence[tuple[str, str]], missing: str, *, hint: str = "",
                 under: Mapping[str, Sequence[str]] | None = None, hints: Mapping[str, str] | None = None,
                 **more: Any) -> None:  # fmt: skip
        super().__init__(
            label, [one_of(missing)], choices=list(choices), description=hint, validate_choice=False, **more
        )
        self.under, self.hints = under or {}, hints or {}


def one_of(missing: str) -> Check:
    def check(form: Any, field: Field) -> None:
        if field.data not in [value for value, _ in field.choices]:
            raise StopValidation(missing)

    return check


class Several(SelectMultipleField):  # type: ignore[misc]
    """Any of a few."""

    kind = "several"
    data: list[str]

    def __init__(self, label: str, checks: Sequence[Check] = (), *, hint: str = "", **more: Any) -> None:
        super().__init__(label, list(checks), choices=[], description=hint, validate_choice=False, **more)

    def pre_validate(self, form: Any) -> None:
        """Those of the answers that are among the choices."""
        offered = {value for value, _ in self.choices or ()}
        self.data = [one for one in self.data or [] if one in offered]


class Tick(BooleanField):  # type: ignore[misc]
    """A box to tick."""

    kind = "tick"

    def __init__(self, label: str, missing: str, *, hint: str = "", **more: Any) -> None:
        super().__init__(label, [needed(missing)], description=hint, **more)


class Date(Field):  # type: ignore[misc]
    """A day in three parts; `data` is YYYY-MM-DD, or empty where it is none."""

    kind = "date"
    widget = None

    def __init__(self, label: str, what: str, *, hint: str = "", future: bool = False, required: bool = True,
                 **more: Any) -> None:  # fmt: skip
        super().__init__(label, description=hint, **more)
        self.what, self.future, self.required = what, future, required
        self.parts = {"day": "", "month": "", "year": ""}
        self.today = datetime.now(UTC).date()

    def process(self, formdata: Any, data: Any = None, extra_filters: Any = None) -> None:
        self.process_errors: list[str] = []
        self.data = data if isinstance(data, str) else ""
        if self.data:
            year, month, day = self.data.split("-")
            self.parts = {"day": str(int(day)), "month": str(int(month)), "year": year}
        if formdata and any(f"{self.name}-{part}" in formdata for part in self.parts):
            self.parts = {part: formdata.get(f"{self.name}-{part}", "").strip()[:20] for part in self.parts}
            self.data = self._joined()

    def _joined(self) -> str:
        day, month, year = (digits(one) for one in self.parts.values())
        if not all(re.fullmatch("[0-9]{1,4}", one) for one in (day, month, year)) or len(year) != 4:
            return ""
        try:
            return date(int(year), int(month), int(day)).isoformat()
        except ValueError:
            return ""

    def pre_validate(self, form: Any) -> None:
        missing = [part for part, value in self.parts.items() if not value]
        if len(missing) == 3:
            if self.required:
                raise StopValidation(f"Enter {self.what}.")
            return
        if missing:
            raise StopValidation(f"{self.what[0].upper()}{self.what[1:]} must include a {' and a '.join(missing)}.")
        if not self.data:
            raise StopValidation(f"{self.what[0].upper()}{self.what[1:]} must be a real date, like 27 3 1962.")
        given = date.fromisoformat(self.data)
        if not self.future and not EARLIEST <= given <= self.today:
            raise StopValidation(f"{self.what[0].upper()}{self.what[1:]} must be in the past.")
