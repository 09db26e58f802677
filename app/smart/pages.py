"""The pages of an authorization, one question each, without a script: who are you, whose record, which study, may it?

https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from authlib.common.urls import add_params_to_uri
from flask import Blueprint, Response, g, make_response, render_template, request

from app.pages import check_form, guard, guarded
from app.smart import approvals, choices, plain, session
from app.smart.authorize import Problem, check
from app.smart.flow import Flow, Gone, back, go, here_alone, shown_error

WRONG_LOGIN = "Enter the user name and password that you were given. These do not fit together."


@dataclass(frozen=True, slots=True)
class Login:
    """A way to log in elsewhere: its name in the address, and what the page calls it."""

    name: str
    title: str


def blueprint(flow: Flow, logins: Sequence[Login] = ()) -> Blueprint:
    """/auth/authorize, /auth/sign-in, /auth/sign-out, /auth/patient, /auth/study and /auth/approve."""
    pages = Blueprint("pages", __name__, url_prefix="/auth", template_folder="templates")
    services = flow.services
    settings, store = services.settings, services.store
    prepare(pages)

    @pages.route("/authorize", methods=["GET", "POST"])
    def authorize() -> Response:
        """By address, or by form where a request is long (authorize-post)."""
        given = request.form if request.method == "POST" else request.args
        if request.method == "POST" and request.query_string:
            raise Problem("invalid_request", "parameters stand in the address and in the body; expected them in one")
        pairs = [(name, value) for name, values in given.lists() for value in values]
        return flow.begin(check(pairs, flow.find, settings.base_url))

    @pages.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> Response:
        handle, asked, client = flow.under_way() if request.values.get("request") else ("", None, None)
        onward, wrong = here_alone(request.values.get("next", "")), ""
        if request.method == "POST":
            check_form()
            person = session.by_password(store, request.form.get("username", ""), request.form.get("password", ""))
            if person is not None:
                return flow.welcome(handle, asked, person, onward)
            wrong = WRONG_LOGIN
        shown: dict[str, Any] = {
            "logins": logins,
            "username": request.form.get("username", "")[:255],
            "next": onward,
            "demo": settings.demo_region,
        }
        return page("sign-in", handle, client.name if client else "", wrong, **shown)

    @pages.post("/sign-out")
    def sign_out() -> Response:
        check_form()
        session.end(store)
        return go("/")

    @pages.route("/patient", methods=["GET", "POST"])
    def patient() -> Response:
        handle, asked, client = flow.under_way()
        _, person = flow.signed_in()
        wrong = ""
        if request.method == "POST":
            check_form()
            chosen = request.form.get("patient", "")
            if choices.patient(services, person, client, chosen) is not None:
                return flow.follow(handle, asked.with_context(patient=chosen))
            wrong = "Choose a patient."
        found = choices.patients(services, person, client, request.args.get("name", ""), request.args.get("page", ""))
        return page("patient", handle, client.name, wrong, person=person, found=found)

    @pages.route("/study", methods=["GET", "POST"])
    def study() -> Response:
        handle, asked, client = flow.under_way()
        _, person = flow.signed_in()
        if asked.context.patient is None:
            raise Gone
        found = choices.studies(services, person, client, asked.context.patient)
        wrong = ""
        if request.method == "POST":
            check_form()
            chosen = request.form.get("study", "")
            if any(one.id == chosen for one in found):
                return flow.follow(handle, asked.with_context(imagingstudy=chosen))
            wrong = "Choose a study."
        return page("study", handle, client.name, wrong, person=person, found=found)

    @pages.route("/approve", methods=["GET", "POST"])
    def approve() -> Response:
        handle, asked, client = flow.under_way()
        here, person = flow.signed_in()
        asked = flow.placed(person, client, asked)  # still this person's to answer
        if asked.needs_patient or asked.needs_study:
            return flow.follow(handle, asked)
        if request.method == "POST":
            check_form()
            flow.settle(handle)
            if request.form.get("decision") != "allow":
                return back(Problem("access_denied", "the person did not allow it", asked.redirect_uri, asked.state))
            code = store.retry(lambda tx: approvals.issue_code(tx, asked, person, here))
            return go(add_params_to_uri(asked.redirect_uri, [("code", code), ("state", asked.state)]))
        named = asked.context.patient
        shown: dict[str, Any] = {
            "person": person,
            "organisation": choices.organisation(services, person, client),
            "patient": choices.patient(services, person, client, named) if named else None,
            "context": asked.context,
            "permissions": plain.permissions(asked.scope),
            "leads_to": urlsplit(asked.redirect_uri).netloc or asked.redirect_uri,
        }
        return page("approve", handle, client.name, **shown)

    return pages


def prepare(pages: Blueprint) -> None:
    """What all pages have in common: bounded forms, guarded answers, errors in plain words."""

    guarded(pages)

    @pages.after_request
    def leading(response: Response) -> Response:
        """A form leads here or to the app that asked."""
        return guard(response, forms=[g.get("allowed_form", "")])

    @pages.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int]:
        return shown_error(error)


def page(name: str, handle: str, app_name: str, wrong: str = "", **shown: Any) -> Response:
    """A page with its form; `wrong` is what has to be put right, told first."""
    body = render_template(
        f"auth/{name}.html", handle=handle, app_name=app_name, wrong=wrong, visitor=shown.get("person"), **shown
    )
    return make_response(body, 400 if wrong else 200)
