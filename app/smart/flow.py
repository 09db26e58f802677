"""An authorization request on its way from question to question, and how whatever goes wrong is shown.

It hangs on the browser that made it, and is answered once. An app's address is gone to only after `authorize.check` has
found it registered.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from authlib.common.urls import add_params_to_uri
from flask import Response, g, make_response, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from app.interactions import Services
from app.pages import failure
from app.smart import session
from app.smart.authorize import Problem, Request
from app.smart.launches import opened
from app.smart.person import Person, may_use
from app.smart.tokens import SECOND, hashed
from app.storage import authorizations, oauth
from app.storage.engine import Tx
from app.storage.oauth import Client

PENDING_SECONDS = 900


class Gone(Exception):
    """The request under way is not known (any more) at this browser."""


@dataclass(frozen=True)
class Flow:
    """The steps between what an app asks and what it is answered."""

    services: Services

    def find(self, client: str) -> Client | None:
        with self.services.store.begin(reads=True) as tx:
            return oauth.find(tx, client)

    def begin(self, asked: Request) -> Response:
        """Take a good request up, and on to the first question."""
        here = session.current(self.services.store)
        if "none" in asked.prompt:
            name = "interaction_required" if here else "login_required"
            return back(Problem(name, "a person has to be asked", asked.redirect_uri, asked.state))
        handle = secrets.token_urlsafe(24)
        self.keep(handle, asked)
        return self.follow(handle, asked)

    def keep(self, handle: str, asked: Request) -> None:
        mine, body = session.browser(), asked.dump()
        self.services.store.retry(lambda tx: _put(tx, handle, mine, body))

    def under_way(self, handle: str = "") -> tuple[str, Request, Client]:
        """The request that this browser is answering. Raises Gone."""
        handle, mine = handle or request.values.get("request", ""), session.browser()
        with self.services.store.begin(reads=True) as tx:
            found = authorizations.pending(tx, hashed(handle), mine)
            asked = Request.of(found[0]) if found else None
            client = oauth.find(tx, asked.client) if asked else None
        if asked is None or client is None or client.disabled:
            raise Gone
        g.allowed_form = origin_of(asked.redirect_uri)
        return handle, asked, client

    def signed_in(self) -> tuple[str, Person]:
        """(session, person). Raises Gone."""
        here = session.current(self.services.store)
        if here is None:
            raise Gone
        return here

    def settle(self, handle: str) -> None:
        """It is answered now. Raises Gone where it was before."""
        if not self.services.store.retry(lambda tx: authorizations.settle_pending(tx, hashed(handle))):
            raise Gone

    def follow(self, handle: str, asked: Request, *, just_signed_in: bool = False) -> Response:
        """On to the next question that is still open."""
        here = session.current(self.services.store)
        if here is None or (not just_signed_in and self._must_sign_in_again(asked, here[1])):
            return go(url_for("pages.sign_in", request=handle))
        client = self.find(asked.client)
        if client is None:
            raise Gone
        try:
            asked = self.placed(here[1], client, asked)
        except Problem:
            self.settle(handle)
            raise
        self.keep(handle, asked)
        step = "patient" if asked.needs_patient else "study" if asked.needs_study else "approve"
        return go(url_for(f"pages.{step}", request=handle))

    def _must_sign_in_again(self, asked: Request, person: Person) -> bool:
        age = self.services.store.clock() // SECOND - person.auth_time
        return "login" in asked.prompt or (asked.max_age is not None and age > asked.max_age)

    def placed(self, person: Person, client: Client, asked: Request) -> Request:
        """The request with the context that needs no question. Raises Problem where this person may not answer it."""
        try:
            return self.services.store.retry(lambda tx: _placed(tx, person, client, asked))
        except Problem as problem:
            problem.redirect_uri, problem.state = asked.redirect_uri, asked.state
            raise

    def welcome(self, handle: str, asked: Request | None, person: Person, onward: str = "/") -> Response:
        """After a log-in, however it was done: on with what the browser was about."""
        store = self.services.store
        if asked is None:
            session.begin(store, person)
            return go(here_alone(onward))
        answered = replace(asked, prompt=tuple(one for one in asked.prompt if one != "login"))
        session.begin(store, person, lambda tx, mine: _put(tx, handle, mine, answered.dump()))
        return self.follow(handle, answered, just_signed_in=True)


def _put(tx: Tx, handle: str, browser: str, body: str) -> None:
    authorizations.put_pending(tx, hashed(handle), browser, body, tx.at + PENDING_SECONDS * SECOND)


def _placed(tx: Tx, person: Person, client: Client, asked: Request) -> Request:
    if not may_use(tx, person, client):
        raise Problem("access_denied", "the app is not registered for the organisation of the person")
    if asked.launch is not None and not asked.launched:
        asked = opened(tx, asked, person)
    if person.role == "patient":
        own = (person.patient or "").removeprefix("Patient/")
        if asked.context.patient not in (None, own):
            raise Problem("access_denied", "a patient may open their own record alone")
        if asked.needs_patient:
            asked = asked.with_context(patient=own)
    return asked


def go(address: str) -> Response:
    """On to an address, by GET whatever this request was."""
    return make_response("", 303, {"Location": address})


def back(problem: Problem) -> Response:
    """The error, to the app's own address."""
    assert problem.redirect_uri is not None
    said = [("error", problem.error), ("error_description", problem.description)]
    said += [("state", problem.state)] if problem.state else []
    return go(add_params_to_uri(problem.redirect_uri, said))


def shown_error(error: Exception) -> tuple[Response, int]:
    """An OAuth error goes to the app where it may; everything else is told to the person in plain words."""
    if isinstance(error, Problem) and error.redirect_uri is not None:
        response = back(error)
        return response, response.status_code
    if isinstance(error, Problem):
        status, title = 400, "This app asked in a way that cannot be answered"
        text = "Nothing was shared. Tell whoever runs the app what it says below."
    elif isinstance(error, Gone) or (isinstance(error, HTTPException) and error.code == 400):
        status, title = 400, "This page has expired"
        text = "It is good for 15 minutes, in the browser in which it was opened. Go back to the app and start again."
    else:
        status, title, text = failure(error)
        if isinstance(error, HTTPException):
            text = "Go back to the app and start again."
    detail = f"{error.error}: {error.description}" if isinstance(error, Problem) else ""
    return make_response(render_template("auth/error.html", title=title, text=text, detail=detail)), status


def origin_of(address: str) -> str:
    """What a Content-Security-Policy calls the place that an address leads to."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"


def here_alone(address: str) -> str:
    """An address of this server, else its first page: nobody is sent elsewhere by what stands in a link."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if inside and address.isascii() and address.isprintable() and "\\" not in address else "/"
