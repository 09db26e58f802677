"""From approval to tokens: codes, refresh tokens and what a token response says. RFC 6749 (4.1, 6), 9700; SMART 2.2.

A code serves once; a refresh token serves once and is replaced. Either presented a second time ends everything that came
of the approval: one of the two who hold it stole it.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from app.access import scopes
from app.config import Settings
from app.smart.authorize import Context, Request
from app.smart.person import Person
from app.smart.tokens import MOST_SECONDS, SECOND, Tokens, hashed
from app.storage import authorizations
from app.storage.authorizations import Code, Family, Refresh
from app.storage.engine import Tx
from app.storage.oauth import Client

CODE_SECONDS = 120
OFFLINE_SECONDS = 90 * 86_400
ONLINE_SECONDS = 12 * 3_600


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a person has approved for an app. `family` is its id."""

    family: str
    client: str
    person: Person
    scope: str
    context: Context
    nonce: str | None = None

    def dump(self) -> str:
        return orjson.dumps({name: value for name, value in asdict(self).items() if name != "family"}).decode()

    @classmethod
    def of(cls, family: Family) -> Authorization:
        said = orjson.loads(family.body)
        said |= {"person": Person.of(said["person"]), "context": Context(**said["context"])}
        return cls(family=family.id, **said)

    def asks(self, name: str) -> bool:
        return name in self.scope.split()


@dataclass(frozen=True, slots=True)
class Held:
    """A code as it was found: what it stands for, and what must come with it."""

    authorization: Authorization
    redirect_uri: str
    challenge: str
    code: str  # its hash


def issue_code(tx: Tx, request: Request, person: Person, session: str) -> str:
    """Record the approval; the code by which the app collects it within two minutes."""
    code, family = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
    approved = Authorization(family, request.client, person, request.scope, request.context, request.nonce)
    online = not request.asks("offline_access")
    life = ONLINE_SECONDS if online else OFFLINE_SECONDS
    record = Family(family, request.client, session if online else None, approved.dump(), tx.at + life * SECOND)
    body = orjson.dumps([request.redirect_uri, request.challenge]).decode()
    authorizations.begin_family(tx, record, hashed(code), body, tx.at + CODE_SECONDS * SECOND)
    return code


def held(tx: Tx, code: str, client: Client) -> Held | None:
    """What a code stands for, if it is this client's and good; one that was used ends what came of it."""
    found = authorizations.code(tx, hashed(code))
    family = _family(tx, found, client)
    if found is None or family is None:
        return None
    redirect_uri, challenge = orjson.loads(found.body)
    return Held(Authorization.of(family), redirect_uri, challenge, hashed(code))


def collect(tx: Tx, found: Held) -> bool:
    """Use the code; False, and the end of what came of it, if somebody was faster."""
    if authorizations.use_code(tx, found.code):
        return True
    authorizations.revoke_family(tx, found.authorization.family)
    return False


def client_of(tx: Tx, refresh_token: str) -> str | None:
    """Whose the refresh token is, good or not."""
    found = authorizations.refresh(tx, hashed(refresh_token))
    family = authorizations.family(tx, found.family) if found else None
    return family.client if family else None


def renewed(tx: Tx, refresh_token: str, client: Client) -> Authorization | None:
    """What a refresh token stands for, if it is this client's and good; one that was used ends its family."""
    family = _family(tx, authorizations.refresh(tx, hashed(refresh_token)), client)
    return Authorization.of(family) if family else None


def _family(tx: Tx, found: Code | Refresh | None, client: Client) -> Family | None:
    """The family of a code or refresh token that is this client's and still good. One that was used before ends it."""
    family = authorizations.family(tx, found.family) if found else None
    if found is None or family is None or family.client != client.id:
        return None
    if found.used:
        authorizations.revoke_family(tx, family.id)
        return None
    return family if found.expires > tx.at else None


def rotate(tx: Tx, refresh_token: str, authorization: Authorization) -> bool:
    """Use the refresh token; False, and the end of its family, if somebody was faster."""
    if authorizations.use_refresh(tx, hashed(refresh_token)):
        return True
    authorizations.revoke_family(tx, authorization.family)
    return False


def revoke(tx: Tx, tokens: Tokens, caller: str, token: str) -> None:
    """End a token of the caller's, or with a refresh token its family; another's, or one unknown, is passed over."""
    if (subject := tokens.subject(token)) is not None:
        if subject.client_id == caller:
            tokens.revoke(tx, token)
        return
    found = authorizations.refresh(tx, hashed(token))
    family = authorizations.family(tx, found.family) if found else None
    if family is not None and family.client == caller:
        authorizations.revoke_family(tx, family.id)


def respond(
    tx: Tx, tokens: Tokens, client: Client, approved: Authorization, scope: str | None = None
) -> dict[str, Any]:
    """The token response: https://hl7.org/fhir/smart-app-launch/app-launch.html#response-5. `scope` narrows this one
    access token, not the refresh token."""
    scope = scope or approved.scope
    person, context = approved.person, approved.context
    patient = f"Patient/{context.patient}" if context.patient else None
    access = tokens.mint(client, scope, MOST_SECONDS, patient=patient, person=person, family=approved.family)
    said: dict[str, Any] = {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": MOST_SECONDS,
        "scope": scope,
        **contextual(approved),
    }
    if approved.asks("offline_access") or approved.asks("online_access"):
        refresh = secrets.token_urlsafe(32)
        family = authorizations.family(tx, approved.family)
        authorizations.put_refresh(tx, hashed(refresh), approved.family, family.expires if family else tx.at)
        said["refresh_token"] = refresh
    if "openid" in scope.split():
        said["id_token"] = id_token(tokens, approved, scope, tx.at // SECOND)
    return said


def contextual(approved: Authorization) -> dict[str, Any]:
    """The launch context: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#launch-context-parameters"""
    context = approved.context
    said: dict[str, Any] = {}
    if context.patient:
        said |= {"patient": context.patient, "need_patient_banner": context.banner}
    if context.encounter:
        said["encounter"] = context.encounter
    if context.imagingstudy:
        said["fhirContext"] = [{"reference": f"ImagingStudy/{context.imagingstudy}"}]
    return said


def identity(settings: Settings, person: Person, scope: str) -> dict[str, Any]:
    """Who it is, as far as the scopes ask."""
    asked = scope.split()
    said: dict[str, Any] = {"sub": person.id}
    if person.fhir_user:
        address = f"{settings.base_url}/{person.fhir_user}"
        said |= {"fhirUser": address} if "fhirUser" in asked else {}
        said |= {"profile": address, "name": person.name} if "profile" in asked else {}
    return said


def id_token(tokens: Tokens, approved: Authorization, scope: str, now: int) -> str:
    """https://openid.net/specs/openid-connect-core-1_0.html#IDToken, with `fhirUser`."""
    person = approved.person
    claims = identity(tokens.settings, person, scope) | {
        "iss": tokens.settings.origin,
        "aud": approved.client,
        "iat": now,
        "exp": now + MOST_SECONDS,
        "auth_time": person.auth_time,
    }
    claims |= {name: value for name, value in (("nonce", approved.nonce), ("acr", person.acr)) if value}
    return tokens.keys.identity.sign(claims, "JWT")


def narrowed(asked: str | None, approved: Authorization) -> str | None:
    """The scope of a refreshed token: what is asked for, within what was approved; None where it is not."""
    if not asked:
        return approved.scope
    if scopes.faults(asked) or not scopes.covered(asked, approved.scope):
        return None
    return asked
