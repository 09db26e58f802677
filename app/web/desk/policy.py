"""/desk/policy: the region's choices in force, and whose access would open or close under others. Nothing is changed."""

from __future__ import annotations

import dataclasses
from typing import Any

from flask import Response, request

from app.access import information, simulating
from app.policy.reason import meaning
from app.policy.switches import SwitchError, Switches, load
from app.web.desk.room import Problems, Room
from app.web.fields import Lines, Questions, at_most

LARGEST = 20_000
MOST_PERSONS = 20_000


class New(Questions):
    toml = Lines(
        "The new choices, as a TOML file",
        [at_most(LARGEST, "The file")],
        hint="For example: planned_lead_days = 7. What is left out is as it is by default.",
        rows=10,
    )


def add(room: Room) -> None:
    """What is in force, and a simulation of what is pasted or uploaded."""
    services = room.services

    @room.pages.route("/policy", methods=["GET", "POST"])
    def policy() -> Response:
        form, found = New(), None
        wrong: Problems = []
        if form.validate_on_submit():
            text, wrong = _given(form)
            if not wrong:
                found, wrong = _simulated(text)
        wrong = form.problems + wrong
        return room.show("policy", 400 if wrong else 200, form=form, found=found, wrong=wrong, rows=_rows())

    def _given(form: New) -> tuple[str, Problems]:
        """The file, or what was pasted where there is none."""
        uploaded = request.files.get("file")
        raw = uploaded.read(LARGEST + 1) if uploaded is not None and uploaded.filename else b""
        if len(raw) > LARGEST:
            return "", [(f"The file must be {LARGEST} bytes or fewer.", "file")]
        try:
            text = raw.decode() or form.toml.data or ""
        except UnicodeDecodeError:
            return "", [("The file must be text (UTF-8).", "file")]
        if not text.strip():
            return "", [("Choose a file, or paste its text.", "toml")]
        if raw:
            form.toml.data = text
        return text, []

    def _simulated(text: str) -> tuple[dict[str, Any] | None, Problems]:
        try:
            new = load(text)
        except SwitchError as error:
            return None, [(line, "toml") for line in str(error).splitlines() if line.strip()]
        with services.store.begin(reads=True) as tx:
            total = information.count_persons(tx)
        if total > MOST_PERSONS:
            return None, [(f"There are {total} persons, too many for a page: use the command policy simulate.", "toml")]
        report = simulating.run(services.store, services.enforcement, new)
        reasons = [
            {"count": count, "before": meaning(before), "after": meaning(after)}
            for (before, after), count in report.reasons.most_common(20)
        ]
        changed = _changed(services.enforcement.switches, new)
        return {"persons": report.persons, "summary": report.summary(), "reasons": reasons, "changed": changed}, []

    def _rows() -> list[dict[str, str]]:
        here = services.enforcement.switches
        return [
            {"id": choice.id, "name": one.name, "value": _text(getattr(here, one.name)), "means": choice.means}
            for one in dataclasses.fields(here)
            if (choice := one.metadata.get("choice")) is not None
        ]


def _changed(old: Switches, new: Switches) -> list[dict[str, str]]:
    return [
        {"name": one.name, "before": _text(getattr(old, one.name)), "after": _text(getattr(new, one.name))}
        for one in dataclasses.fields(old)
        if getattr(old, one.name) != getattr(new, one.name)
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "all"
    return str(dict(value)) if hasattr(value, "items") else str(value)
