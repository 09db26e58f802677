"""`flask client …` and `flask token`: registering clients, and tokens for trying things out."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from werkzeug.security import generate_password_hash

from app.access import scopes
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.registry import TYPES
from app.fhir.tolerance import EVERYONE, TOLERANCES
from app.interactions import Services
from app.policy.model import ROLES
from app.policy.organisation import key_from
from app.printing import json_option, say, say_fields, say_rows
from app.smart.tokens import MOST_SECONDS, Tokens
from app.storage import oauth
from app.storage.oauth import Client

KINDS = ("app", "backend", "archive", "gate", "steward")
DEFAULT_ROLE = {"app": "clinician"}

client = AppGroup("client", help="Register, list and disable OAuth clients.")


def _services() -> Services:
    return current_app.extensions["services"]  # type: ignore[no-any-return]


@client.command("add")
@click.argument("name")
@click.option("--org", required=True, help="ODS code of the one organisation that the client acts for.")
@click.option("--kind", type=click.Choice(KINDS), required=True)
@click.option("--scope", required=True, help="The most that the client may ever ask for.")
@click.option("--jwks", type=click.Path(exists=True, dir_okay=False), help="File with the client's public keys.")
@click.option("--jwks-url", help="Where the client publishes its public keys.")
@click.option("--redirect-uri", multiple=True, help="Where an app may be sent back to; may be given several times.")
@click.option("--launch-url", help="Where a record system launches an app.")
@click.option("--flush-url", help="Where a gate is told at once that permissions have ended.")
@click.option("--confidential", is_flag=True, help="An app that keeps a secret; printed once.")
@click.option("--role", type=click.Choice(ROLES))
@click.option("--purpose", help="Purpose of use that the client's requests have, such as TREAT.")
@click.option(
    "--tolerate",
    type=click.Choice([*TOLERANCES, "none"]),
    multiple=True,
    default=EVERYONE,
    show_default=True,
    help="A known deviation to put right, with a warning; may be given several times.",
)
@click.option("--id", "client_id", help="An id of one's own choice.")
@json_option
def add(
    name: str,
    org: str,
    kind: str,
    scope: str,
    jwks: str | None,
    jwks_url: str | None,
    redirect_uri: tuple[str, ...],
    launch_url: str | None,
    flush_url: str | None,
    confidential: bool,
    role: str | None,
    purpose: str | None,
    tolerate: tuple[str, ...],
    client_id: str | None,
    as_json: bool,
) -> None:
    """Register a client. Prints its id, and a secret once if it has no keys."""
    if wrong := scopes.faults(scope):
        raise click.UsageError(f"--scope holds '{wrong[0]}'; expected scopes such as system/ImagingStudy.rs")
    if jwks and jwks_url:
        raise click.UsageError("--jwks and --jwks-url are both given; expected one of them")
    key = key_from(ODS_ORGANISATION, org)
    if key is None or not key.removeprefix("ods:").isalnum():
        raise click.UsageError("--org is not an ODS code; expected letters and digits such as RXB")
    for address in (*redirect_uri, *([launch_url] if launch_url else [])):
        if not registrable(address):
            raise click.UsageError(
                f"'{address}' is no address to send a browser to; expected https, or http on loopback"
            )
    if flush_url and (kind != "gate" or not flush_url.startswith(("https://", "http://"))):
        raise click.UsageError("--flush-url is for a gate; expected its http or https address")
    if kind == "app" and not redirect_uri:
        raise click.UsageError("an app has no --redirect-uri; expected one or more")
    secret = None if jwks or jwks_url or (kind == "app" and not confidential) else secrets.token_urlsafe(32)
    registered = Client(
        id=client_id or f"{kind}-{secrets.token_hex(6)}",
        name=name,
        kind=kind,
        organisation=key,
        scope=scope,
        role=role or DEFAULT_ROLE.get(kind, "system"),
        purpose=purpose,
        jwks=_read_jwks(jwks) if jwks else None,
        jwks_url=jwks_url,
        secret_hash=generate_password_hash(secret) if secret else None,
        redirect_uris=" ".join(redirect_uri),
        launch_url=launch_url,
        flush_url=flush_url,
        tolerates=" ".join(name for name in TOLERANCES if name in tolerate),
    )
    _services().store.retry(lambda tx: oauth.add(tx, registered))
    said = {"client_id": registered.id} | ({"client_secret": secret} if secret else {})
    say_fields(as_json, said)


def registrable(address: str) -> bool:
    """Whether a browser may be sent there with a code: https, loopback, or a native app's own scheme; no fragment."""
    parts = urlsplit(address)
    if not address.isascii() or not address.isprintable() or " " in address or "#" in address or "\\" in address:
        return False
    if parts.scheme == "http":
        return parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "https":
        return bool(parts.hostname) and parts.username is None
    return "." in parts.scheme  # RFC 8252, section 7.1: a domain name in reverse


def _read_jwks(path: str) -> str:
    try:
        keys = json.loads(Path(path).read_text())
        if not isinstance(keys.get("keys"), list):
            raise ValueError
    except (ValueError, AttributeError) as error:
        raise click.UsageError('--jwks is not a key set; expected {"keys": [...]}') from error
    if any("d" in key for key in keys["keys"]):
        raise click.UsageError("--jwks holds a private key; expected public keys alone")
    return json.dumps(keys)


@client.command("list")
@json_option
def every(as_json: bool) -> None:
    """All clients: id, kind, organisation, scope, and whether they are disabled."""
    with _services().store.begin(reads=True) as tx:
        found = oauth.every(tx)
    rows: list[dict[str, Any]] = [
        {
            "client_id": one.id,
            "name": one.name,
            "kind": one.kind,
            "organisation": one.organisation.removeprefix("ods:"),
            "scope": one.scope,
            "role": one.role,
            "purpose": one.purpose,
            "tolerates": one.tolerates.split(),
            "disabled": one.disabled,
        }
        for one in found
    ]
    say_rows(as_json, rows, lambda row: "{client_id}  {kind}  {organisation}  {name}  [{scope}]".format_map(row))


@client.command("disable")
@click.argument("id")
@json_option
def disable(id: str, as_json: bool) -> None:
    """Refuse a client from its next request on."""
    if not _services().store.retry(lambda tx: oauth.disable(tx, id)):
        raise click.ClickException("no client has this id; see `flask client list`")
    say(as_json, {"client_id": id, "disabled": True}, "disabled")


@click.command("token")
@click.option("--client", "client_id", required=True)
@click.option("--scope", help="Within what the client is registered for; all of it by default.")
@click.option("--practitioner", help="Id of the Practitioner who acts.")
@click.option("--patient", help="Id of the Patient in context.")
@click.option("--purpose", help="Purpose of use, such as TREAT.")
@click.option("--expires", type=click.IntRange(1, MOST_SECONDS), default=MOST_SECONDS, help="Life in seconds.")
@json_option
@with_appcontext
def token(
    client_id: str,
    scope: str | None,
    practitioner: str | None,
    patient: str | None,
    purpose: str | None,
    expires: int,
    as_json: bool,
) -> None:
    """Mint an access token for trying things out. Demo mode only."""
    services = _services()
    if not services.settings.demo:
        raise click.ClickException("tokens are minted by hand in demo mode only; expected a request to /auth/token")
    tokens: Tokens = current_app.extensions["tokens"]
    with services.store.begin(reads=True) as tx:
        found = oauth.find(tx, client_id)
    if found is None or found.disabled:
        raise click.ClickException("no client that is in use has this id; see `flask client list`")
    if scope and not scopes.covered(scope, found.scope):
        raise click.ClickException("the scope is more than the client is registered for; see `flask client list`")
    granted = scope or found.scope
    minted = tokens.mint(
        found,
        granted,
        expires,
        practitioner=_named("Practitioner", practitioner),
        patient=_named("Patient", patient),
        purpose=purpose,
    )
    answer = {"access_token": minted, "token_type": "Bearer", "expires_in": expires, "scope": granted}
    say(as_json, answer, minted)


def _named(type_name: str, id: str | None) -> str | None:
    assert type_name in TYPES
    return f"{type_name}/{id.removeprefix(type_name + '/')}" if id else None
