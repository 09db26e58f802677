"""/desk/audit: who looked at whose data, when, why, and what was decided. Looking it up is recorded too."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
from flask import Response, request

from app.fhir.identifier import NHS_NUMBER, ODS_ORGANISATION
from app.fhir.outcome import Fault
from app.fhir.temporal import interval
from app.interactions.paging import CURSOR
from app.interactions.search import search
from app.policy.reason import meaning
from app.web.desk.room import Room
from app.web.fields import digits

Json = dict[str, Any]
CODE = re.compile(r"[A-Z][A-Z_]+\Z")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
WORDS = {
    "110122": "log-in",
    "110113": "access decision",
    "search-type": "search",
    "search-system": "search",
    "history-instance": "history",
    "history-type": "history",
    "AuthZ-Role": "access decision",
    "AuthZ-Consent": "access decision",
}
UNKNOWN = "No patient that your organisation may know of has this NHS number."


def add(room: Room) -> None:
    """The look-up: by NHS number, by days, page by page."""

    @room.pages.get("/audit")
    def audit() -> Response:
        number = re.sub(r"[\s-]", "", digits(request.args.get("number", "")[:40]))
        since, until = (request.args.get(name, "").strip()[:20] for name in ("since", "until"))
        wrong, pairs = [], [("_count", "50"), ("_sort", "-date")]
        for name, text, prefix in (("since", since, "ge"), ("until", until, "le")):
            if text and not _is_day(text):
                wrong.append(("Enter a day like 2026-03-27.", name))
            elif text:
                pairs.append(("date", prefix + text))
        if number and not wrong:
            patients = _patients(room, number)
            if patients:
                pairs.append(("patient", ",".join(patients)))
            else:
                wrong.append((UNKNOWN, "number"))
        if page := request.args.get("page"):
            pairs.append((CURSOR, page))
        found, onward = ([], "") if wrong else _page(room, pairs)
        again = {"number": number, "since": since, "until": until}
        onward = f"{request.path}?{urlencode(again | {'page': onward})}" if onward else ""
        return room.show("audit", 400 if wrong else 200, found=found, next=onward, wrong=wrong, **again)


def _is_day(text: str) -> bool:
    try:
        return bool(DAY.match(text)) and bool(interval(text))
    except ValueError:
        return False


def _patients(room: Room, number: str) -> list[str]:
    if not re.fullmatch("[0-9]{10}", number):
        return []
    try:
        answer = search(room.services, room.asked, "Patient", [("identifier", f"{NHS_NUMBER}|{number}")])
    except Fault as fault:
        if fault.status not in (400, 403):
            raise
        return []
    return [f"Patient/{one['resource']['id']}" for one in orjson.loads(answer.body or b"{}").get("entry", [])]


def _page(room: Room, pairs: list[tuple[str, str]]) -> tuple[list[Json], str]:
    try:
        bundle = orjson.loads(search(room.services, room.asked, "AuditEvent", pairs).body or b"{}")
    except Fault as fault:
        if fault.status != 400:
            raise
        return [], ""
    address = next((one["url"] for one in bundle.get("link", []) if one["relation"] == "next"), "")
    found = [_shown(one["resource"], room) for one in bundle.get("entry", []) if "resource" in one]
    return found, dict(parse_qsl(urlsplit(address).query)).get(CURSOR, "")


def _shown(event: Json, room: Room) -> Json:
    """One event in a row: when, who for which organisation, what was done, to whom, and how it was decided."""
    agents, entities = event.get("agent", []), event.get("entity", [])
    who = [one.get("who", {}) for one in agents]
    details = {
        one.get("type", ""): one.get("valueString", "") for entity in entities for one in entity.get("detail", [])
    }
    references = [entity.get("what", {}).get("reference", "") for entity in entities]
    people = list(dict.fromkeys(one for one in references if one.startswith("Patient/")))
    things = [one.split("/_history/")[0] for one in references if one and not one.startswith("Patient/")]
    code = next((one.get("code", "") for one in event.get("subtype", [])), event.get("type", {}).get("code", ""))
    why, good = (
        details.get("reasons") or details.get("reason") or event.get("outcomeDesc", ""),
        event.get("outcome") == "0",
    )
    if good and why == "PURPOSE_MISSING":  # what the desk does needs none, and is not refused for it
        why = ""
    return {
        "when": room.moment(interval(event["recorded"])[0]) if event.get("recorded") else "",
        "who": next((one["reference"] for one in who if "reference" in one), "") or _client(who),
        "organisation": next(
            (one["identifier"]["value"] for one in who if one.get("identifier", {}).get("system") == ODS_ORGANISATION),
            "",
        ),
        "role": next((one["text"] for agent in agents for one in agent.get("role", []) if "text" in one), ""),
        "what": WORDS.get(code, code),
        "good": good,
        "why": meaning(why) if CODE.match(why) else why,
        "decided": details.get("effect", ""),
        "patients": people,
        "things": things[:5],
        "more": max(0, len(things) - 5),
    }


def _client(who: list[Json]) -> str:
    return next((one["identifier"].get("value", "") for one in who if "identifier" in one), "")
