"""Logging in at a trusted issuer: OpenID Connect's code flow with PKCE, by authlib's client.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth. What comes back is proved as any token is, and read
by the issuer's claim map; who has no role here is not let in.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from flask import Blueprint, Response, request, session
from requests import RequestException

from app.smart import jose
from app.smart.authorize import Problem
from app.smart.flow import Flow, Gone, go, here_alone
from app.smart.issuers import Issuers
from app.smart.jose import BadToken
from app.smart.jwks import TIMEOUT_SECONDS
from app.smart.pages import prepare
from app.smart.person import Person
from app.smart.tokens import SECOND
from app.smart.trust import Issuer, LogIn

PLACE = "elsewhere"  # in the browser's session: what was sent along


class Refused(Problem):
    """The log-in elsewhere did not give somebody who is known here. It goes to no app's address."""


def blueprint(flow: Flow, issuers: Issuers) -> Blueprint:
    """/auth/elsewhere/NAME and /auth/callback"""
    elsewhere = Blueprint("elsewhere", __name__, url_prefix="/auth")
    by_name = {one.name: one for one in issuers.trusted if one.login is not None}
    prepare(elsewhere)

    @elsewhere.get("/elsewhere/<name>")
    def leave(name: str) -> Response:
        """Off to the issuer's own page."""
        issuer = by_name.get(name)
        if issuer is None or issuer.login is None:
            raise Gone
        handle = request.args.get("request", "")
        if handle:
            flow.under_way()
        sent = {name: secrets.token_urlsafe(24) for name in ("state", "nonce")}
        sent |= {"verifier": secrets.token_urlsafe(48), "issuer": name, "request": handle}
        session[PLACE] = sent | {"next": here_alone(request.args.get("next", ""))}
        more = {"acr_values": issuer.login.acr_values} if issuer.login.acr_values else {}
        address, _ = _client(flow, issuer.login).create_authorization_url(
            issuer.login.authorization, sent["state"], sent["verifier"], nonce=sent["nonce"], **more
        )
        return go(address)

    @elsewhere.get("/callback")
    def callback() -> Response:
        """Back from there, with a code."""
        sent = session.pop(PLACE, None)
        given = request.args
        if not isinstance(sent, dict) or not secrets.compare_digest(given.get("state", ""), sent["state"]):
            raise Gone
        issuer = by_name.get(sent["issuer"])
        if issuer is None or issuer.login is None:
            raise Gone
        if given.get("iss", issuer.issuer) != issuer.issuer:  # RFC 9207
            raise Refused("access_denied", "the answer came from another issuer")
        if "code" not in given:
            raise Refused("access_denied", "the log-in elsewhere was not completed")
        try:
            person = _known(flow, issuers, issuer, given["code"], sent)
        except BadToken as fault:
            raise Refused("access_denied", str(fault)) from fault
        asked = flow.under_way(sent["request"])[1] if sent["request"] else None
        return flow.welcome(sent["request"], asked, person, sent["next"])

    return elsewhere


def _client(flow: Flow, login: LogIn) -> OAuth2Session:
    """authlib's client for the issuer, which proves itself by a secret or a signed assertion."""
    made = OAuth2Session(
        login.client_id,
        login.key or login.secret,
        scope=login.scope,
        redirect_uri=f"{flow.services.settings.origin}/auth/callback",
        token_endpoint_auth_method="private_key_jwt" if login.key else "client_secret_basic",
        code_challenge_method="S256",
    )
    if login.key:
        made.register_client_auth_method(PrivateKeyJWT(login.token, alg=login.algorithm))
    return made


def _known(flow: Flow, issuers: Issuers, issuer: Issuer, code: str, sent: Mapping[str, str]) -> Person:
    """Who the issuer says it is. Raises BadToken."""
    login, store = issuer.login, flow.services.store
    assert login is not None
    try:
        said = _client(flow, login).fetch_token(
            login.token,
            code=code,
            code_verifier=sent["verifier"],
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )
    except (AuthlibBaseError, RequestException, ValueError, KeyError) as error:
        raise BadToken("the issuer gave no tokens for the code") from error
    now = store.clock() // SECOND
    claims = issuers.proved(issuer, str(said.get("id_token", "")), now)
    if not jose.of_audience(claims, login.client_id) or claims.get("azp", login.client_id) != login.client_id:
        raise BadToken("the id token is for somebody else")
    if claims.get("nonce") != sent["nonce"]:
        raise BadToken("the id token is of another log-in")
    if issuer.userinfo:
        claims = issuers.with_userinfo(issuer, claims, str(said.get("access_token", "")))
    with store.begin(reads=True) as tx:
        return issuers.person(tx, issuer, claims)
