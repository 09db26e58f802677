"""`/auth/be`: being one of the people of the demo region with one click. Registered where the demo region is, and nowhere else.

Their passwords stand on the first page, so this opens nothing that was closed.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, abort, request

from app.pages import check_form
from app.smart import session
from app.smart.flow import Flow, go, here_alone
from app.smart.pages import prepare


def blueprint(flow: Flow, passwords: Mapping[str, str]) -> Blueprint:
    """A form with `who`, one of those in `passwords`, and `next`, an address of this server."""
    demo = Blueprint("demo", __name__, url_prefix="/auth")
    store = flow.services.store
    prepare(demo)

    @demo.post("/be")
    def be() -> Response:
        """Sign out whoever is signed in at this browser, and sign in this person."""
        check_form()
        who = request.form.get("who", "")
        person = session.by_password(store, who, passwords[who]) if who in passwords else None
        if person is None:
            abort(400)
        session.begin(store, person)
        return go(here_alone(request.form.get("next", "")))

    return demo
