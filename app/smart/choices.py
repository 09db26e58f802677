"""What a person can choose from on the pages: patients and studies, found as the person would by search.

Each list is an ordinary search, decided and audited like any other: who has no relationship with a patient does not see
the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from app.fhir.identifier import NHS_NUMBER
from app.fhir.outcome import Fault
from app.interactions import Asked, Services, read, search
from app.smart.person import Person
from app.storage.oauth import Client

ONCE = 20


@dataclass(frozen=True, slots=True)
class Patient:
    """`number` as it is written: 999 123 4567."""

    id: str
    name: str
    born: str
    number: str


@dataclass(frozen=True, slots=True)
class Patients:
    """A page; `next` is what its link carries. `name` is what was looked for."""

    patients: tuple[Patient, ...]
    name: str
    next: str | None


@dataclass(frozen=True, slots=True)
class Study:
    id: str
    what: str
    when: str


def patients(services: Services, person: Person, client: Client, name: str, cursor: str) -> Patients:
    """The patients with whom the person's organisation has a relationship, by family or given name, or NHS number."""
    pairs = [("_count", str(ONCE))]
    digits = name.replace(" ", "")
    if digits.isdecimal():
        pairs.append(("identifier", f"{NHS_NUMBER}|{digits}"))
    elif name.strip():
        pairs.append(
            ("name", name.strip()[:100].replace("\\", "").replace(",", "\\,").replace("$", "").replace("|", ""))
        )
    else:
        pairs.append(("_sort", "family"))
    if cursor:
        pairs.append(("_cursor", cursor))
    found = _search(services, person, client, "Patient", pairs)
    told = tuple(_patient(one) for one in _resources(found))
    links = {one["relation"]: one["url"] for one in found.get("link", ())}
    carried = dict(parse_qsl(urlsplit(links.get("next", "")).query)).get("_cursor")
    return Patients(told, name, carried)


def patient(services: Services, person: Person, client: Client, id: str) -> Patient | None:
    """One patient, if the person may know of them."""
    asked = Asked(person.subject(client, "user/Patient.rs"))
    try:
        answer = read.read(services, asked, "Patient", id)
    except Fault:
        return None
    return _patient(orjson.loads(answer.body or b"{}"))


def studies(services: Services, person: Person, client: Client, patient: str) -> tuple[Study, ...]:
    """The studies of a patient that the person may see, newest first."""
    pairs = [("patient", f"Patient/{patient}"), ("_sort", "-started"), ("_count", "50")]
    return tuple(_study(one) for one in _resources(_search(services, person, client, "ImagingStudy", pairs)))


def organisation(services: Services, person: Person, client: Client) -> str:
    """What the organisation that is acted for is called; its code, where the registry does not hold it."""
    key = person.organisation_at(client) or ""
    code = key.removeprefix("ods:")
    pairs = [("identifier", f"https://fhir.nhs.uk/Id/ods-organization-code|{code}")]
    found = _resources(_search(services, person, client, "Organization", pairs))
    return str(found[0].get("name", code)) if found else code


def _search(
    services: Services, person: Person, client: Client, type_name: str, pairs: list[tuple[str, str]]
) -> dict[str, Any]:
    asked = Asked(person.subject(client, f"user/{type_name}.rs"))
    try:
        answer = search.search(services, asked, type_name, pairs)
    except Fault as fault:
        if fault.status >= 500:
            raise
        return {}
    return dict(orjson.loads(answer.body or b"{}"))


def _resources(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "match"]


def _patient(resource: dict[str, Any]) -> Patient:
    names = resource.get("name") or [{}]
    name = names[0].get("text") or " ".join([*names[0].get("given", ()), names[0].get("family", "")]).strip()
    numbers = [one.get("value", "") for one in resource.get("identifier", ()) if one.get("system") == NHS_NUMBER]
    number = str(numbers[0]) if numbers else ""
    spaced = f"{number[:3]}\u00a0{number[3:6]}\u00a0{number[6:]}" if len(number) == 10 else number
    return Patient(resource["id"], name or "Name not recorded", _day(resource.get("birthDate", "")), spaced)


def _study(resource: dict[str, Any]) -> Study:
    codes = [one.get("display") or one.get("code", "") for one in resource.get("modality", ())]
    what = resource.get("description") or ", ".join(filter(None, codes)) or "Imaging study"
    return Study(resource["id"], what, _day(str(resource.get("started", ""))[:10]))


MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def _day(date: str) -> str:
    parts = date.split("-")
    if not all(part.isdecimal() for part in parts) or len(parts) > 3 or not date:
        return "date not recorded"
    named = [parts[0]] + [MONTHS[int(part) - 1] for part in parts[1:2] if 1 <= int(part) <= 12]
    return " ".join([str(int(parts[2])) if len(parts) == 3 else "", *reversed(named)]).strip()
