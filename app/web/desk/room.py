"""What the pages of the desk have in common: who may come in, how a page is shown, and what becomes of a refusal.

Whoever comes in does so as themselves: each thing that is shown or done is asked of the interactions in the person's own
name, so that what is another organisation's is not there (404), whatever stands in the address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, g, make_response, redirect, render_template, request

from app.fhir.outcome import Fault
from app.interactions import Asked, Services
from app.pages import Visitor, guarded, told
from app.web.times import day_of, moment_of

MENU = (
    ("/desk", "Overview"),
    ("/desk/requests", "Requests"),
    ("/desk/reviews", "Reviews"),
    ("/desk/holds", "Held studies"),
    ("/desk/audit", "Audit"),
    ("/desk/policy", "Policy"),
    ("/desk/sources", "Sources"),
    ("/desk/subscriptions", "Subscriptions"),
)
CARE_MENU = (("/desk/mdt", "MDT lists"), ("/desk/emergency", "Emergency referrals"))
OFFICERS, CARING = ("privacy",), ("clinician", "clerical")
MENUS = ((OFFICERS, MENU), (CARING, CARE_MENU))
Problems = list[tuple[str, str]]


class Room:
    """A part of the desk, open to some roles."""

    def __init__(
        self, name: str, services: Services, visitor: Callable[[], Visitor | None], roles: Sequence[str]
    ) -> None:
        self.services, self.visitor, self.roles = services, visitor, tuple(roles)
        self.pages = Blueprint(name, __name__, url_prefix="/desk", template_folder="../templates")
        self.day, self.moment = day_of(services.store.zone), moment_of(services.store.zone)
        self.menu = next(menu for known, menu in MENUS if set(known) == set(roles))
        guarded(self.pages)
        told(self.pages)
        self.pages.before_request(self._admit)

    def _admit(self) -> Response | None:
        here = self.visitor()
        if here is None:
            if request.method == "POST":  # what was typed is sent again after the log-in
                typed = [(name, value) for name, value in request.form.items(multi=True) if name != "csrf_token"]
                return self.show("signed-out", 401, typed=typed, address=request.full_path.rstrip("?"))
            return make_response(redirect(f"/auth/sign-in?next={quote(request.full_path.rstrip('?'))}", 303))
        g.here = here
        if here.subject.role not in self.roles:
            theirs = next((menu for roles, menu in MENUS if here.subject.role in roles), ())
            if request.path == "/desk" and theirs:
                return go(theirs[0][0])
            shown = render_template("refused.html", visitor=here, roles=self.roles, theirs=theirs)
            return make_response(shown, 403)
        return None

    @property
    def asked(self) -> Asked:
        """The person who is here, asking: whoever gives care does so to treat, where the log-in says nothing else."""
        subject = g.here.subject
        treats = subject.purpose is None and subject.role in ("clinician", "clerical")
        return Asked(replace(subject, purpose="TREAT") if treats else subject)

    def show(self, template: str, status: int = 200, **shown: Any) -> Response:
        shown |= {"day": self.day, "moment": self.moment, "menu": self.menu, "place": request.path}
        return make_response(render_template(f"desk/{template}.html", visitor=g.get("here"), **shown), status)


def go(address: str) -> Response:
    return make_response(redirect(address, 303))


def problems(fault: Fault, fields: dict[str, str] | None = None) -> Problems:
    """What was refused, in words for the person, at the field it is about."""
    if fault.status in (409, 412):
        words = fault.text if fault.status == 409 else ""
        return [(f"Somebody else was here before you. {words[:1].upper()}{words[1:]}".strip(), "")]
    found = []
    for issue in fault.issues:
        place = (fields or {}).get(issue.expression or "", "")
        found.append((f"{issue.text[:1].upper()}{issue.text[1:]}.", place))
    return found


def refused(fault: Fault) -> bool:
    """Whether it is something that the person can put right on the page."""
    return fault.status in (400, 409, 412, 422)
