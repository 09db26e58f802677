"""Someone who has logged in: who they are here, in one role at one organisation, and how that was proved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson

from app.access.subject import Subject
from app.storage import people
from app.storage.engine import Tx
from app.storage.oauth import Client


@dataclass(frozen=True, slots=True)
class Person:
    """`id` is stable and no name. `organisation` is a key (`ods:RXB`), None for patients; `practitioner` and `patient`
    are references; `purpose` where the log-in proves one; `auth_time` in seconds; `issuer` the address of whoever
    proved it, None for a password here."""

    id: str
    name: str
    role: str
    organisation: str | None
    practitioner: str | None
    patient: str | None
    auth_time: int
    purpose: str | None = None
    acr: str | None = None
    issuer: str | None = None

    @classmethod
    def of(cls, body: str | dict[str, Any]) -> Person:
        return cls(**(orjson.loads(body) if isinstance(body, str) else body))

    def dump(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @property
    def fhir_user(self) -> str | None:
        """Who it is as a resource: the patient for a patient, else the practitioner."""
        return self.patient if self.role == "patient" else self.practitioner

    def organisation_at(self, client: Client) -> str | None:
        """The organisation that is acted for: one's own; a patient's app acts for whoever registered it."""
        return self.organisation or (client.organisation if self.role == "patient" else None)

    def claims(self, client: Client) -> dict[str, Any]:
        """What an access token of this person says."""
        said = {
            "usr": self.id,
            "sub": self.id,
            "org": self.organisation_at(client),
            "role": self.role,
            "practitioner": self.practitioner if self.role != "patient" else None,
            "patient": self.patient if self.role == "patient" else None,
            "purpose": self.purpose or client.purpose,
            "auth_time": self.auth_time,
            "acr": self.acr,
        }
        return {name: value for name, value in said.items() if value is not None}

    def subject(self, client: Client, *scopes: str, expires: int | None = None) -> Subject:
        """Who asks when this person does so through the client. `expires` in microseconds UTC."""
        return Subject(
            client_id=client.id,
            kind="app",
            organisation=self.organisation_at(client),
            role=self.role,
            purpose=self.purpose or client.purpose,
            scopes=scopes,
            practitioner=self.practitioner if self.role != "patient" else None,
            patient=self.patient if self.role == "patient" else None,
            auth_time=self.auth_time * 1_000_000,
            expires=expires,
            user=self.id,
        )


def may_use(tx: Tx, person: Person, client: Client) -> bool:
    """Whether the client is registered for the person's organisation, or for one that it is a part of.

    A client of one trust never acts for another; one of the region serves the trusts of the region."""
    if person.role == "patient":
        return person.patient is not None
    if person.organisation is None:
        return False
    return client.organisation == person.organisation or client.organisation in people.above(tx, person.organisation)
