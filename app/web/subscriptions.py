"""`/desk/subscriptions`: how each subscription stands, for the people of the privacy desk. No patient is named."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from flask import Blueprint, Response, make_response, redirect, render_template

from app.fhir.temporal import format_instant
from app.interactions import Services
from app.interactions.subscription_health import health
from app.web.landing import CONTENT_SECURITY

PAGE = "/desk/subscriptions"


def blueprint(services: Services, role: Callable[[], str | None]) -> Blueprint:
    """The page. `role` is that of whoever is signed in at this browser, None for nobody."""
    desk = Blueprint("subscriptions", __name__, template_folder="templates")

    @desk.get(PAGE)
    def subscriptions() -> Response:
        """State, lag, failures and last problem of each subscription."""
        here = role()
        if here is None:
            return _kept(make_response(redirect(f"/auth/sign-in?next={quote(PAGE)}", 303)))
        if here != "privacy":
            return _kept(make_response(render_template("refused.html"), 403))
        with services.store.begin(reads=True) as tx:
            found = health(services, tx)
        return _kept(make_response(render_template("subscriptions.html", found=found, instant=format_instant)))

    return desk


def _kept(page: Response) -> Response:
    page.headers["Content-Security-Policy"] = CONTENT_SECURITY
    page.headers["X-Content-Type-Options"] = "nosniff"
    page.headers["Referrer-Policy"] = "no-referrer"
    page.headers["Cache-Control"] = "no-store"
    return page
