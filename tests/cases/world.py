"""The decision table's cases as data, and the world of each as complete FHIR R4 resources.

`cases()` reads tests/cases/*.json, checked against case.schema.json. `Case.world()` expands the compact notation: the
standard world (patient P1, trusts A, B, C, study S1 a CT from A of 2026-02-01, label N, now
2026-03-10T10:00Z) with what the case says differently. The same resources go through decisions, HTTP and archives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cases.resources import AUTHORITY, build

HERE = Path(__file__).parent
NOW = "2026-03-10T10:00:00Z"
ORGANISATIONS = {"A": "RXA", "B": "RXB", "C": "RXC", "A1": "RXA01", "B1": "RXB01"}
PERSON = {"A": "dr-a", "A1": "dr-a", "B": "dr-b", "B1": "dr-b", "C": "dr-c"}


def instant(text: str) -> int:
    """Microseconds UTC of an instant with its offset."""
    moment = datetime.fromisoformat(text)
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@dataclass(frozen=True)
class World:
    """`resources` are in an order in which each names only what came before. `refused` holds the references of those
    that validation must refuse: they stand for data that came in some other way. `requester` has organisation ("ods:RXB"),
    ods, practitioner, role, client and patient; `grants` are the fields of EmergencyGrant; `switches` the lines of the
    region's file."""

    resources: list[dict[str, Any]]
    requester: dict[str, Any]
    purpose: str | None
    action: str
    at: int
    patient: str
    study: str
    grants: list[dict[str, Any]] = field(default_factory=list)
    switches: dict[str, Any] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Expected:
    """`obligations` beyond AUDIT; `lifetime` in seconds, None for a refusal."""

    effect: str
    reason: str
    obligations: tuple[str, ...]
    lifetime: int | None


@dataclass(frozen=True)
class Case:
    id: str
    title: str
    heading: str
    choice: str | None
    says: dict[str, Any]

    @property
    def expected(self) -> Expected:
        said = self.says["expect"]
        lifetime = None if said["effect"] == "DENY" else said.get("lifetime", 900)
        return Expected(said["effect"], said["reason"], tuple(said.get("obligations", ())), lifetime)

    def world(self) -> World:
        said = self.says
        asks = {"org": "B", "role": "clinician", "purpose": "TREAT", "action": "read"} | said.get("asks", {})
        described = said.get("given", {}) | said.get("world", {})
        org = asks["org"]
        person = asks.get("practitioner", PERSON[org])
        named = asks["role"] in ("clinician", "clerical", "privacy")
        requester = {
            "organisation": f"ods:{ORGANISATIONS[org]}",
            "ods": ORGANISATIONS[org],
            "practitioner": f"Practitioner/{person}" if named else None,
            "role": asks["role"],
            "client": f"client-{org}",
            "patient": "Patient/P1" if asks["role"] == "patient" else None,
        }
        resources, refused = build(described, ORGANISATIONS)
        return World(
            resources,
            requester,
            asks["purpose"],
            asks["action"],
            instant(said.get("at", NOW)),
            "Patient/P1",
            "ImagingStudy/S1",
            [_grant(number, one, org, person) for number, one in enumerate(described.get("grants", ()), 1)],
            said.get("policy", {}),
            frozenset(refused),
        )


def _grant(number: int, said: dict[str, Any], org: str, person: str) -> dict[str, Any]:
    return {
        "ref": f"{AUTHORITY}/G{number}",
        "version": 1,
        "practitioner": f"Practitioner/{said.get('practitioner', person)}",
        "organisation": f"ods:{ORGANISATIONS[said.get('org', org)]}",
        "patient": f"Patient/{said.get('patient', 'P1')}",
        "start": instant(said.get("start", "2026-03-10T09:30:00Z")),
        "end": instant(said.get("end", "2026-03-10T13:30:00Z")),
        "reason": said.get("reason", "emergency-care"),
        "revoked": said.get("revoked", False),
    }


def cases() -> list[Case]:
    """Every case of every file, in the order of the files' names."""
    found = []
    for path in sorted(HERE.glob("*.json")):
        if path.name != "case.schema.json":
            content = json.loads(path.read_text())
            given = content.get("given", {})
            found += [
                Case(one["id"], one["title"], content["heading"], one.get("choice"), one | {"given": given})
                for one in content["cases"]
            ]
    return found
