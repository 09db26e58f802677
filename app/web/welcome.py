"""What there is to try, told three times alike: by `make run` on the terminal, by the landing page, and by the README."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.config import DEFAULTS, VARIABLES, Settings
from app.demo import story

TOKEN_DEPENDS_ON = ("host", "port", "base_url", "database_url", "keys_dir", "policy_file")


@dataclass(frozen=True, slots=True)
class Step:
    """One line to paste into a terminal, in the project's folder, and what it shows."""

    shows: str
    line: str


def steps(base_url: str) -> tuple[Step, ...]:
    """Three lines that tell the story: what the server says of itself, a search, the same search after an opt-out."""
    metadata, search, opt_out, again = story.curls(base_url)
    return (
        Step("The server says what it can do.", metadata),
        Step(
            "Alderbrook, where the patient is treated, finds her two studies and the archives that hold them.", search
        ),
        Step("She opts out of sharing, and the very next search finds nothing.", f"{opt_out} >/dev/null && {again}"),
    )


def welcome(settings: Settings, environ: Mapping[str, str]) -> str:
    """The addresses and, where the demo region is loaded, whom one can be and what to try."""
    lines = [
        "",
        f"  The imaging registry is ready: {settings.origin}/",
        f"  FHIR R4 {settings.base_url}   health {settings.origin}/health/ready",
    ]
    if settings.demo_region:
        lines += ["", "  Three people to be (the password is the user name):"]
        lines += [f"    {login.username:20} {login.shown}" for login in story.SHOWN_LOGINS]
        lines += ["", "  Three systems to be (tokens by `.venv/bin/flask --app wsgi token --client ID`):"]
        lines += [f"    {id:20} {shown}" for id, shown in story.SHOWN_CLIENTS]
        lines += ["", "  To paste into another terminal, in this folder:"]
        if shared := exports(environ):
            lines += ["", f"    {shared}"]
        for step in steps(settings.base_url):
            lines += ["", f"  {step.shows}", f"    {step.line}"]
    return "\n".join([*lines, "", "  Ctrl-C stops it; a second start keeps the data.", ""])


def exports(environ: Mapping[str, str]) -> str:
    """The line that gives another terminal the settings that a token depends on; empty where they are the defaults.

    An address that holds a password is left out: what is printed may be kept."""
    told = []
    for name in TOKEN_DEPENDS_ON:
        value = environ.get(VARIABLES[name], "").strip()
        if value and value != str(DEFAULTS[name]) and not urlsplit(value).password:
            told.append(f"{VARIABLES[name]}={shlex.quote(value)}")
    return f"export {' '.join(told)}" if told else ""
