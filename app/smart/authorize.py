"""What an authorization request must be, before anybody is asked for anything. RFC 6749 (4.1.1), 7636, 9700, SMART 2.2.

https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code. An error goes back to the app only where
the app and the exact address were proved to be registered; before that it is shown to the person, and goes nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from app.access import scopes
from app.storage.oauth import Client

LONGEST = 4_000  # characters of one parameter
MOST = 64  # parameters
_PRINTABLE = re.compile(r"[\x20-\x7e]+\Z")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # SHA-256 in base64url
KNOWN = (
    "response_type", "client_id", "redirect_uri", "scope", "state", "aud", "launch", "code_challenge",
    "code_challenge_method", "nonce", "prompt", "max_age", "login_hint", "response_mode", "request", "request_uri",
)  # fmt: skip
PROMPTS = frozenset({"none", "login", "consent", "select_account"})


class Problem(Exception):
    """An OAuth error: its name, what to tell a developer (ASCII, nothing that came with the request), and where it may
    be sent; None: nowhere."""

    def __init__(self, error: str, description: str, redirect_uri: str | None = None, state: str | None = None) -> None:
        super().__init__(description)
        self.error, self.description, self.redirect_uri, self.state = error, description, redirect_uri, state


@dataclass(frozen=True, slots=True)
class Context:
    """What the app is launched for: ids, not references. `banner`: the app is to say whose data it shows."""

    patient: str | None = None
    encounter: str | None = None
    imagingstudy: str | None = None
    banner: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """A good authorization request; `scope` is what of it can be given to this client. `max_age` in seconds."""

    client: str
    redirect_uri: str
    state: str
    scope: str
    challenge: str
    nonce: str | None = None
    launch: str | None = None
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    context: Context = Context()
    launched: bool = False  # the launch has been used for this request

    @classmethod
    def of(cls, body: str) -> Request:
        said = orjson.loads(body)
        return cls(**said | {"prompt": tuple(said["prompt"]), "context": Context(**said["context"])})

    def dump(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    def asks(self, name: str) -> bool:
        return name in self.scope.split()

    @property
    def needs_patient(self) -> bool:
        """Whether a person has still to say whose data this is about."""
        wanted = self.asks("launch/patient") or self.asks("launch/imagingstudy")
        return self.context.patient is None and (wanted or scopes.of_context(self.scope, "patient"))

    @property
    def needs_study(self) -> bool:
        return self.context.imagingstudy is None and self.asks("launch/imagingstudy")

    def with_context(self, **known: Any) -> Request:
        return replace(self, context=replace(self.context, **known))


def check(pairs: Sequence[tuple[str, str]], find: Callable[[str], Client | None], base_url: str) -> Request:
    """The request that the parameters make. Raises Problem."""
    if len(pairs) > MOST or any(len(value) > LONGEST for _, value in pairs):
        raise Problem("invalid_request", "the request is larger than is taken")
    given: dict[str, str] = {}
    twice = set()
    for name, value in pairs:
        if name in given:
            twice.add(name)
        given.setdefault(name, value)
    client, redirect_uri = _addressee(given, twice, find)
    state = given.get("state", "")
    if not _PRINTABLE.match(state) or "state" in twice:
        problem = "state is missing, is given twice, or holds what is no printable ASCII"
        raise Problem("invalid_request", f"{problem}; expected a value that cannot be guessed", redirect_uri)
    try:
        if twice & set(KNOWN):
            raise Problem("invalid_request", f"a parameter is given twice: {', '.join(sorted(twice & set(KNOWN)))}")
        return _understood(given, client, redirect_uri, state, base_url)
    except Problem as problem:
        problem.redirect_uri, problem.state = redirect_uri, state
        raise


def _addressee(given: dict[str, str], twice: set[str], find: Callable[[str], Client | None]) -> tuple[Client, str]:
    name, address = given.get("client_id", ""), given.get("redirect_uri", "")
    if not name or "client_id" in twice:
        raise Problem("invalid_request", "client_id is missing or given twice; expected the id of a registered app")
    client = find(name) if _PRINTABLE.match(name) else None
    if client is None or client.disabled:
        raise Problem("invalid_client", "no app with this client_id is registered here")
    if not address or "redirect_uri" in twice or address not in client.redirect_uris.split():
        problem = "redirect_uri is missing, is given twice, or is not exactly one that the app is registered with"
        raise Problem("invalid_request", problem)
    return client, address


def _understood(given: dict[str, str], client: Client, redirect_uri: str, state: str, base_url: str) -> Request:
    if client.kind != "app":
        raise Problem(
            "unauthorized_client", "this client is a system; expected client_credentials at the token endpoint"
        )
    for name in ("request", "request_uri"):
        if name in given:
            raise Problem(f"{name}_not_supported", f"{name} is not supported; expected the parameters themselves")
    kind = given.get("response_type")
    if not kind:
        raise Problem("invalid_request", "response_type is missing; expected code")
    if kind != "code":
        raise Problem("unsupported_response_type", "response_type is not supported; expected code")
    if given.get("response_mode", "query") != "query":
        raise Problem("invalid_request", "response_mode is not supported; expected query")
    challenge, method = given.get("code_challenge", ""), given.get("code_challenge_method", "")
    if method != "S256" or not _CHALLENGE.match(challenge):
        raise Problem("invalid_request", "code_challenge is missing or not of method S256 (RFC 7636)")
    if given.get("aud", "").rstrip("/") != base_url:
        raise Problem("invalid_request", "aud is missing or another server's; expected the FHIR base URL of this one")
    prompt, max_age = _how(given)
    scope = _scope(given.get("scope", ""), client)
    launch = given.get("launch")
    if ("launch" in scope.split()) != bool(launch):
        raise Problem(
            "invalid_request", "the scope launch and the parameter launch go together; one of them is missing"
        )
    nonce = given.get("nonce")
    if nonce is not None and not _PRINTABLE.match(nonce):
        raise Problem("invalid_request", "nonce is empty or holds what is no printable ASCII")
    return Request(client.id, redirect_uri, state, scope, challenge, nonce, launch, prompt, max_age)


def _how(given: dict[str, str]) -> tuple[tuple[str, ...], int | None]:
    prompt = tuple(given.get("prompt", "").split())
    if not PROMPTS.issuperset(prompt) or ("none" in prompt and len(prompt) > 1):
        raise Problem("invalid_request", "prompt is not known; expected none, or of login and consent")
    max_age = given.get("max_age")
    if max_age is not None and not (max_age.isascii() and max_age.isdigit() and len(max_age) < 10):
        raise Problem("invalid_request", "max_age is not a number; expected seconds")
    return prompt, int(max_age) if max_age is not None else None


def _scope(asked: str, client: Client) -> str:
    """What can be given of what is asked for."""
    if not asked.strip():
        raise Problem("invalid_scope", "no scope is asked for; expected scopes such as patient/ImagingStudy.rs")
    if scopes.faults(asked):
        raise Problem("invalid_scope", "a scope is not known; expected the form patient/Type.cruds or launch/patient")
    if scopes.of_context(asked, "system"):
        raise Problem("invalid_scope", "system scopes are for systems; expected patient or user scopes")
    given = scopes.within(asked, client.scope)
    if not given:
        raise Problem("invalid_scope", "none of the scopes is one that the app is registered for")
    return given
