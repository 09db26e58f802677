"""`/desk/subscriptions`: how each subscription stands, for the people of the privacy desk. No patient is named."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from flask import Blueprint, Response, make_response, redirect, render_template

from app.fhir.temporal import format_instant
from app.interactions import Services
from app.interactions.subscription_health import health
from app.pages import Visitor, guarded

PAGE = "/desk/subscriptions"


def blueprint(services: Services, visitor: Callable[[], Visitor | None]) -> Blueprint:
    """The page. `visitor` is whoever is signed in at this browser."""
    desk = Blueprint("subscriptions", __name__, template_folder="templates")
    guarded(desk)

    @desk.get(PAGE)
    def subscriptions() -> Response:
        """State, lag, failures and last problem of each subscription."""
        here = visitor()
        if here is None:
            return make_response(redirect(f"/auth/sign-in?next={quote(PAGE)}", 303))
        if here.subject.role != "privacy":
            return make_response(render_template("refused.html", visitor=here), 403)
        with services.store.begin(reads=True) as tx:
            found = health(services, tx)
        body = render_template("subscriptions.html", found=found, instant=format_instant, visitor=here)
        return make_response(body)

    return desk
