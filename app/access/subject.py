"""Who is asking, as proved by the access token: the one thing an edge hands to the interactions."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.access.standing import Standing


@dataclass(frozen=True, slots=True)
class Subject:
    """`kind`: app | backend | archive | steward | user. `organisation` is a key (`ods:RXB`); `practitioner` and
    `patient` are references; instants in microseconds UTC. `decision_point`: a trusted enforcement point, which may ask
    about others. `token` is the token's id (jti), `address` where the request came from; both for the audit alone.
    `emergency` is the emergency grant that the request presents, which the decision holds against what is on file.
    `user` is who logged in, `family` what they approved for the app.
    `tolerates`: deviations that are put right for the client (`app.fhir.tolerance`)."""

    client_id: str
    kind: str
    organisation: str | None
    role: str = "system"
    purpose: str | None = None
    scopes: tuple[str, ...] = ()
    practitioner: str | None = None
    patient: str | None = None
    auth_time: int | None = None
    expires: int | None = None
    decision_point: bool = False
    tolerates: tuple[str, ...] = ()
    token: str | None = None
    address: str = ""
    # The number of the organisations, as the token was asked after; or, where it has not been yet, what will ask.
    epoch: int | None = field(default=None, compare=False)
    standing: Standing | None = field(default=None, compare=False)
    user: str | None = None
    family: str | None = None
    emergency: str | None = None

    @property
    def ods(self) -> str | None:
        return self.organisation.removeprefix("ods:") if self.organisation else None
