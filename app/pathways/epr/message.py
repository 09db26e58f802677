"""A FHIR message about a visit, read: https://hl7.org/fhir/R4/messaging.html

A Bundle of type message: a MessageHeader, whose event is the v2 trigger (system v2-0003) or follows from the status of the
focus; the Encounter or Appointment that it is about; the Patient, in the Bundle or by reference. For a merge (A40) the
focus is the Patient whose record goes, with a link `replaced-by`; for two records that are linked (A24) one of them, with
a link `seealso`; for what is taken apart again (A37) the same Patient with the link that goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.outcome import Fault
from app.fhir.temporal import interval
from app.pathways.epr.derive import LINKS, TRIGGERS

Json = dict[str, Any]

V2 = "http://terminology.hl7.org/CodeSystem/v2-0003"
STATUSES = {
    "Encounter": {
        "planned": "A05", "arrived": "A04", "triaged": "A04", "in-progress": "A01", "onleave": "A01", "finished": "A03",
        "cancelled": "A11", "entered-in-error": "A23",
    },
    "Appointment": {
        "proposed": "I12", "waitlist": "I12", "pending": "S12", "booked": "S12", "arrived": "A04", "checked-in": "A04",
        "fulfilled": "A03", "cancelled": "S15", "noshow": "S26", "entered-in-error": "S17",
    },
}  # fmt: skip
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Message:
    """`patient` and `into` are Patient resources of the Bundle or references; `into` for a link of records alone. `keys` are the
    visit's numbers, `pathway` the episode or referral that it belongs to, "" for the one of the organisation."""

    sender: str
    control: str
    trigger: str
    at: int
    patient: Json
    keys: tuple[str, ...]
    pathway: str
    start: int | None
    end: int | None
    into: Json | None = None


def read(bundle: Mapping[str, Any], zone: str) -> Message:
    """Raises Fault invalid, required or value, with the place, for what is not such a message."""
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "message":
        raise Fault("invalid", "not a message; expected a Bundle of type message", "Bundle.type")
    entries = bundle.get("entry")
    held = (
        [one for one in entries if isinstance(one, dict) and isinstance(one.get("resource"), dict)]
        if isinstance(entries, list)
        else []
    )
    if not held or held[0]["resource"].get("resourceType") != "MessageHeader":
        raise Fault("required", "no MessageHeader; expected it as the first entry", "Bundle.entry[0].resource")
    header: Json = held[0]["resource"]
    place = "Bundle.entry[0].resource.ofType(MessageHeader)"
    by_name = _by_name(held)
    focus = _follow(header, "focus", by_name, place)
    source = header.get("source")
    sender = _text(source.get("endpoint") if isinstance(source, dict) else None, f"{place}.source.endpoint")
    identifier = bundle.get("identifier")
    given = identifier.get("value") if isinstance(identifier, dict) else None
    control = _text(given or header.get("id"), "Bundle.identifier.value")
    at = _moment(bundle.get("timestamp"), "Bundle.timestamp", zone, required=True)
    assert at is not None
    trigger = _trigger(header, focus, place)
    if trigger in LINKS:
        return _link(sender, control, trigger, at, focus, by_name)
    return _visit(sender, control, trigger, at, focus, by_name, zone)


def _by_name(held: list[Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for one in held:
        resource = one["resource"]
        if isinstance(one.get("fullUrl"), str):
            found[one["fullUrl"]] = resource
        if isinstance(resource.get("id"), str):
            found[f"{resource.get('resourceType')}/{resource['id']}"] = resource
    return found


def _follow(header: Json, name: str, by_name: dict[str, Json], place: str) -> Json:
    listed = header.get(name)
    for one in listed if isinstance(listed, list) else []:
        text = one.get("reference") if isinstance(one, dict) else None
        if isinstance(text, str) and text in by_name:
            return by_name[text]
    raise Fault(
        "required",
        "no focus in the Bundle; expected a reference to an Encounter, Appointment or Patient",
        f"{place}.focus",
    )


def _trigger(header: Json, focus: Json, place: str) -> str:
    event = header.get("eventCoding")
    kind = str(focus.get("resourceType"))
    code = event.get("code") if isinstance(event, dict) and event.get("system") == V2 else None
    if code is None:
        if kind not in STATUSES:
            raise Fault(
                "value", f"a {kind} by itself is no event; expected eventCoding of {V2}", f"{place}.eventCoding"
            )
        code = STATUSES[kind].get(str(focus.get("status")))
        if code is None:
            raise Fault(
                "value", f"a status that says nothing; expected one of {', '.join(STATUSES[kind])}", f"{kind}.status"
            )
    known = (*TRIGGERS, *LINKS)
    if code not in known:
        raise Fault(
            "value",
            f"an event that says nothing of a visit; expected one of {', '.join(known)}",
            f"{place}.eventCoding",
        )
    if (code in LINKS) != (kind == "Patient"):
        text = f"the focus is of another type than the event; expected a Patient for {', '.join(LINKS)} alone"
        raise Fault("value", text, f"{place}.focus")
    return str(code)


def _visit(
    sender: str, control: str, trigger: str, at: int, focus: Json, by_name: dict[str, Json], zone: str
) -> Message:
    kind = str(focus["resourceType"])
    if kind not in STATUSES:
        raise Fault("value", "the focus is no visit; expected an Encounter or an Appointment", "MessageHeader.focus")
    keys = _keys(focus.get("identifier"), f"{kind}.identifier")
    if kind == "Encounter":
        booked = focus.get("appointment")
        keys += [key for one in (booked if isinstance(booked, list) else []) for key in _keys_of(one, by_name)]
        subject = focus.get("subject")
        period = focus.get("period")
        stated = period if isinstance(period, dict) else {}
    else:
        parts = focus.get("participant")
        actors = [one.get("actor") for one in (parts if isinstance(parts, list) else []) if isinstance(one, dict)]
        subject = next((one for one in actors if _is_patient(one)), None)
        stated = focus
    if not keys:
        raise Fault(
            "required", "the visit has no number; expected an identifier with system and value", f"{kind}.identifier"
        )
    return Message(
        sender, control, trigger, at,
        patient=_patient(subject, by_name, f"{kind}.subject"),
        keys=tuple(sorted(set(keys))),
        pathway=_pathway(focus, by_name),
        start=_moment(stated.get("start"), f"{kind}.start", zone),
        end=_moment(stated.get("end"), f"{kind}.end", zone),
    )  # fmt: skip


def _link(sender: str, control: str, trigger: str, at: int, focus: Json, by_name: dict[str, Json]) -> Message:
    kind = LINKS[trigger][1]
    kinds = (kind,) if kind else ("replaced-by", "seealso")
    listed = focus.get("link")
    links = [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, dict)]
    for one in links:
        if one.get("type") in kinds:
            into = _patient(one.get("other"), by_name, "Patient.link.other")
            return Message(sender, control, trigger, at, focus, (), "", None, None, into)
    text = f"the other record is not named; expected a link of type {' or '.join(kinds)}"
    raise Fault("required", text, "Patient.link")


def _is_patient(reference: object) -> bool:
    if not isinstance(reference, dict):
        return False
    return (
        reference.get("type") == "Patient"
        or "Patient/" in str(reference.get("reference", ""))
        or (str(reference.get("reference", "")).startswith("urn:uuid:"))
    )


def _patient(reference: object, by_name: dict[str, Json], place: str) -> Json:
    """The Patient of the Bundle that is meant, else the reference itself."""
    text = reference.get("reference") if isinstance(reference, dict) else None
    if isinstance(text, str) and by_name.get(text, {}).get("resourceType") == "Patient":
        return by_name[text]
    if isinstance(reference, dict) and (isinstance(text, str) or isinstance(reference.get("identifier"), dict)):
        return reference
    raise Fault("required", "the patient is not named; expected a reference to a Patient, or an identifier", place)


def _pathway(focus: Json, by_name: dict[str, Json]) -> str:
    """The episode or referral that the visit states: the same for all visits that state the same."""
    for name in ("episodeOfCare", "basedOn"):
        listed = focus.get(name)
        keys = [key for one in (listed if isinstance(listed, list) else []) for key in _keys_of(one, by_name)]
        if keys:
            return min(keys)
    return ""


def _keys_of(reference: object, by_name: dict[str, Json]) -> list[str]:
    if not isinstance(reference, dict):
        return []
    text = reference.get("reference")
    if isinstance(text, str) and text in by_name:
        return _keys(by_name[text].get("identifier"), "identifier")
    if isinstance(reference.get("identifier"), dict):
        return _keys([reference["identifier"]], "identifier")
    return [text] if isinstance(text, str) else []


def _keys(identifiers: object, place: str) -> list[str]:
    found = []
    for one in identifiers if isinstance(identifiers, list) else []:
        value = one.get("value") if isinstance(one, dict) else None
        if isinstance(value, str) and value.strip():
            found.append(_text(f"{one.get('system') or ''}|{value.strip()}", place))
    return found


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Fault("required", "missing; expected a text", place)
    if len(value) > LONGEST or any(ord(char) < 32 for char in value):
        raise Fault("value", f"not a name; expected at most {LONGEST} characters in one line", place)
    return value.strip()


def _moment(value: object, place: str, zone: str, required: bool = False) -> int | None:
    if value is None and not required:
        return None
    try:
        return interval(value if isinstance(value, str) else "", zone)[0]
    except ValueError:
        raise Fault("value", "not a date and time; expected one like 2026-03-10T10:00:00Z", place) from None
