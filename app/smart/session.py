"""Who is logged in at this browser. The cookie holds a random name; what it stands for is kept here, under its hash.

A log-in changes the name, so that one planted before it is worth nothing after it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache

from flask import Flask, Request, Response, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.security import check_password_hash, generate_password_hash

from app.access import audit
from app.access.subject import Subject
from app.pages import Visitor
from app.smart.person import Person
from app.smart.tokens import SECOND, hashed
from app.storage import people
from app.storage.engine import Store, Tx

LIFE_SECONDS = 12 * 3_600
MOST_FAILURES = 5
WAIT_SECONDS = 60


class Cookies(SecureCookieSessionInterface):
    """Flask's own sessions. A request that brings no cookie and asks for no session, as all of the API's, pays for none."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session or session.modified or session.accessed:
            super().save_session(app, session, response)


def browser() -> str:
    """The hash of this browser's name; it is given one if it has none."""
    if not isinstance(session.get("browser"), str):
        session["browser"] = secrets.token_urlsafe(24)
    return hashed(session["browser"])


def current(store: Store) -> tuple[str, Person] | None:
    """(session, person) of whoever is logged in here."""
    name = session.get("name")
    if not isinstance(name, str):
        return None
    with store.begin(reads=True) as tx:
        body = people.session(tx, hashed(name))
    return (hashed(name), Person.of(body)) if body else None


def visitor(store: Store) -> Visitor | None:
    """Whoever is logged in here, as somebody who asks through the registry's own pages; None for nobody."""
    here = current(store)
    return Visitor(here[1].name, _acting(here[1])) if here else None


def begin(store: Store, person: Person, carry: Callable[[Tx, str], None] = lambda tx, browser: None) -> None:
    """Log somebody in, under new names. `carry` takes along what hangs on the browser's."""
    end(store)
    name = session["name"] = secrets.token_urlsafe(24)
    mine = browser()

    def work(tx: Tx) -> None:
        people.begin_session(tx, hashed(name), person.id, person.dump(), tx.at + LIFE_SECONDS * SECOND)
        audit.noted(tx, "login", status=200, subject=_acting(person), detail="signed in")
        carry(tx, mine)

    store.retry(work)


def _acting(person: Person) -> Subject:
    """Somebody who has logged in and does nothing through an app."""
    practitioner = None if person.role == "patient" else person.practitioner
    return Subject(
        "pages",
        "user",
        person.organisation,
        person.role,
        purpose=person.purpose,
        scopes=("patient/*.rs",) if person.role == "patient" else ("user/*.cruds",),
        practitioner=practitioner,
        patient=person.patient if person.role == "patient" else None,
        auth_time=person.auth_time * SECOND,
        user=person.id,
    )


def end(store: Store) -> None:
    """Log out."""
    name = session.get("name")
    session.clear()
    if isinstance(name, str):
        store.retry(lambda tx: people.end_session(tx, hashed(name)))


@lru_cache(maxsize=1)
def nobodys() -> str:
    """A hash to compare with where nobody has the name, so that both take as long."""
    return generate_password_hash(secrets.token_urlsafe(16))


def by_password(store: Store, user: str, password: str) -> Person | None:
    """Who it is, if name and password are right. After five wrong ones the next minute's are not looked at."""
    with store.begin(reads=True) as tx:
        found = people.find(tx, user) if 0 < len(user) <= 255 and "\0" not in user else None
        now = tx.at
    right = check_password_hash(found.password if found else nobodys(), password[:1024])
    if found is None or found.disabled or found.locked > now or not right:
        known = found is not None and not found.disabled and found.locked <= now

        def refuse(tx: Tx) -> None:
            if known:
                people.failed(tx, user, MOST_FAILURES, WAIT_SECONDS * SECOND)
            audit.noted(tx, "login", status=401, detail="wrong name or password")

        store.retry(refuse)
        return None
    if found.failures:
        store.retry(lambda tx: people.succeeded(tx, found.id))
    return Person(
        found.id, found.name, found.role, found.organisation, found.practitioner, found.patient, now // SECOND
    )
