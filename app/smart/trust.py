"""REGISTRY_ISSUERS_FILE: the issuers that are trusted, and what their claims mean here. TOML, strictly read.

https://openid.net/specs/openid-connect-core-1_0.html. Worked examples: `issuers.example.toml` beside this file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any
from urllib.parse import urlsplit

from app.config import SettingsError
from app.fhir.identifier import ODS_ORGANISATION
from app.policy.model import ROLES
from app.policy.organisation import key_from
from app.smart.claims import Path

CLAIMS = (
    "user",
    "name",
    "organisation",
    "practitioner",
    "patient",
    "role",
    "purpose",
    "scope",
    "client",
    "auth_time",
    "acr",
)
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})
FIXED = ("organisation", "role", "purpose", "client")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")


class TrustError(SettingsError):
    """The file cannot be used."""


@dataclass(frozen=True, slots=True)
class Introspection:
    """RFC 7662 at the issuer; the registry proves itself by Basic."""

    url: str
    client_id: str
    secret: str


@dataclass(frozen=True, slots=True)
class LogIn:
    """How people log in there. `secret`, or `key` (a private key in PEM) for private_key_jwt with `algorithm`."""

    client_id: str
    authorization: str
    token: str
    scope: str = "openid"
    secret: str = ""
    key: str = ""
    algorithm: str = "RS512"
    acr_values: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer. `audience` is what its access tokens for this registry name; `claims` says where things stand;
    `roles` what its roles are here; `require` which values a claim may have; `fixed` what is the same for all."""

    name: str
    title: str
    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    jwks_uri: str
    claims: Mapping[str, Path]
    roles: Mapping[str, str]
    require: tuple[tuple[Path, frozenset[str]], ...]
    fixed: Mapping[str, str]
    systems: Mapping[str, str]
    organisations: frozenset[str]
    userinfo: str = ""
    introspection: Introspection | None = None
    login: LogIn | None = None


def load(text: str, folder: File, *, plain_http: bool) -> tuple[Issuer, ...]:
    """The issuers that a file names; secrets are read from files beside it. `plain_http`: loopback may do without TLS.
    Raises TrustError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrustError(["the issuers file cannot be read; expected TOML"]) from error
    reading = _Reading(folder, plain_http)
    entries = document.get("issuer")
    if not isinstance(entries, list) or set(document) != {"issuer"}:
        raise TrustError(["the issuers file holds something else; expected [[issuer]] tables alone"])
    found = [reading.issuer(number, one) for number, one in enumerate(entries, start=1)]
    for what in ("name", "issuer"):
        if len({getattr(one, what) for one in found}) != len(found):
            reading.faults.append(f"two issuers have the same {what}; expected one each")
    if reading.faults:
        raise TrustError(reading.faults)
    return tuple(found)


KNOWN = frozenset(
    {
        "name", "title", "issuer", "audience", "algorithms", "jwks_uri", "userinfo", "introspection", "organisations",
        "claims", "systems", "roles", "require", "fixed", "login",
    }
)  # fmt: skip


class _Reading:
    def __init__(self, folder: File, plain_http: bool) -> None:
        self.folder, self.plain_http = folder, plain_http
        self.faults: list[str] = []
        self.where = ""

    def fault(self, text: str) -> None:
        self.faults.append(f"{self.where}: {text}")

    def issuer(self, number: int, given: Any) -> Issuer:
        self.where = f"issuer {number}"
        given = given if isinstance(given, dict) else {}
        for unknown in sorted(set(given) - KNOWN):
            self.fault(f"'{unknown}' is not known; expected {', '.join(sorted(KNOWN))}")
        algorithms = tuple(self.texts(given, "algorithms"))
        if not algorithms or not ALGORITHMS.issuperset(algorithms):
            self.fault(f"algorithms is not a list of {', '.join(sorted(ALGORITHMS))}")
        made = Issuer(
            name=self.text(given, "name", pattern=_NAME),
            title=self.text(given, "title", needed=False) or str(given.get("name", "")),
            issuer=self.address(given, "issuer"),
            audience=self.text(given, "audience"),
            algorithms=algorithms,
            jwks_uri=self.address(given, "jwks_uri", needed="introspection" not in given or "login" in given),
            userinfo=self.address(given, "userinfo", needed=False),
            claims=self.claims(given),
            roles=self.roles(given),
            require=self.require(given),
            fixed={name: self.text(self.table(given, "fixed"), name, needed=False) for name in self.table(given, "fixed")},
            systems={name: self.text(self.table(given, "systems"), name) for name in self.table(given, "systems")},
            organisations=frozenset(key_from(ODS_ORGANISATION, one) or "" for one in self.texts(given, "organisations")),
            introspection=self.introspection(given),
            login=self.login(given),
        )  # fmt: skip
        self.whole(made)
        return made

    def whole(self, made: Issuer) -> None:
        if unknown := sorted(set(made.fixed) - set(FIXED)):
            self.fault(f"fixed holds '{unknown[0]}'; expected {', '.join(FIXED)}")
        if "role" not in made.fixed and not (made.roles and "role" in made.claims):
            self.fault("nothing says the role; expected claims.role with roles, or fixed.role")
        if "role" in made.fixed and made.fixed["role"] not in ROLES:
            self.fault(f"fixed.role is not known; expected one of {', '.join(ROLES)}")
        if "client" not in made.fixed and "client" not in made.claims:
            self.fault("nothing says the client; expected claims.client (such as azp) or fixed.client")
        for name in ("practitioner", "patient"):
            if name in made.claims and name not in made.systems:
                self.fault(f"systems.{name} is missing; expected the system of that identifier")
        if made.login is not None and made.login.client_id == made.audience:
            self.fault("audience is the client_id of the log-in, so that an id token would open the registry")

    def text(self, given: Any, name: str, *, needed: bool = True, pattern: re.Pattern[str] | None = None) -> str:
        value = given.get(name)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or not value or (pattern and not pattern.match(value)):
            self.fault(f"{name} is missing or no text that fits; expected one")
            return ""
        return value

    def texts(self, given: Any, name: str) -> list[str]:
        value = given.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self.fault(f"{name} is not a list of texts")
            return []
        return value

    def table(self, given: Any, name: str) -> dict[str, Any]:
        value = given.get(name, {})
        if not isinstance(value, dict):
            self.fault(f"{name} is not a table")
            return {}
        return value

    def address(self, given: Any, name: str, *, needed: bool = True) -> str:
        value = self.text(given, name, needed=needed)
        parts = urlsplit(value)
        local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if value and not (parts.scheme == "https" or (parts.scheme == "http" and local and self.plain_http)):
            self.fault(f"{name} is no address of a kind that is trusted; expected https")
        return value

    def claims(self, given: Any) -> dict[str, Path]:
        found = {}
        for name, text in self.table(given, "claims").items():
            if name not in CLAIMS or not isinstance(text, str):
                self.fault(f"claims.{name} is not known; expected paths for {', '.join(CLAIMS)}")
                continue
            try:
                found[name] = Path.parse(text)
            except ValueError:
                self.fault(f"claims.{name} is no path; expected one like realm_access.roles or list[key=claim].member")
        found.setdefault("user", Path.parse("sub"))
        return found

    def roles(self, given: Any) -> dict[str, str]:
        found = self.table(given, "roles")
        for role in found.values():
            if role not in ROLES:
                self.fault(f"roles leads to one that is not known; expected {', '.join(ROLES)}")
        return {name: str(role) for name, role in found.items()}

    def require(self, given: Any) -> tuple[tuple[Path, frozenset[str]], ...]:
        found = []
        for text in self.table(given, "require"):
            values = self.texts(self.table(given, "require"), text)
            try:
                found.append((Path.parse(text), frozenset(values)))
            except ValueError:
                self.fault(f"require.{text} is no path of claims")
        return tuple(found)

    def secret(self, given: Any, name: str, *, needed: bool) -> str:
        """What stands in the file that is named, beside this one."""
        file = self.text(given, name, needed=needed)
        if not file:
            return ""
        try:
            return (self.folder / file).read_text().strip()
        except OSError:
            self.fault(f"{name} names no file that can be read")
            return ""

    def introspection(self, given: Any) -> Introspection | None:
        if "introspection" not in given:
            return None
        table = self.table(given, "introspection")
        secret = self.secret(table, "secret_file", needed=True)
        return Introspection(self.address(table, "url"), self.text(table, "client_id"), secret)

    def login(self, given: Any) -> LogIn | None:
        if "login" not in given:
            return None
        table = self.table(given, "login")
        if "secret_file" not in table and "key_file" not in table:
            self.fault("login names neither secret_file nor key_file; expected one of them")
        return LogIn(
            client_id=self.text(table, "client_id"),
            authorization=self.address(table, "authorization"),
            token=self.address(table, "token"),
            scope=self.text(table, "scope", needed=False) or "openid",
            secret=self.secret(table, "secret_file", needed=False),
            key=self.secret(table, "key_file", needed=False),
            algorithm=self.text(table, "algorithm", needed=False) or "RS512",
            acr_values=self.text(table, "acr_values", needed=False),
        )
