"""What every page for people has in common, whichever room serves it: headers, style sheets, the token of its forms.

A page runs no script of its own making inside the page, stands in no frame, is kept by no cache, and its forms lead
back here. Text that others wrote is escaped, in the templates of the design system too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, abort, make_response, render_template, request, send_from_directory
from flask_wtf.csrf import generate_csrf, validate_csrf
from jinja2 import ChainableUndefined, ChoiceLoader, PackageLoader
from werkzeug.exceptions import HTTPException
from wtforms import ValidationError

from app import assets, observability
from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.storage.engine import unavailable

LARGEST = 65_536  # bytes of a form
YEAR = 365 * 24 * 3_600
TOLD = {
    400: ("This page has expired", "Nothing was changed. Go back, load the page again, and send it again."),
    403: ("This page is not for you", "Sign in as somebody who may see it."),
    404: ("There is no such page", "It may have been settled, or it is not for your organisation."),
    409: (
        "Somebody else was here before you",
        "Nothing was changed. Go back and load the page again to see how it stands now.",
    ),
    412: (
        "Somebody else was here before you",
        "Nothing was changed. Go back and load the page again to see how it stands now.",
    ),
    413: ("That is too much", "Nothing was changed. Go back and send less."),
    422: (
        "This cannot be done as things stand",
        "Nothing was changed. Go back and load the page again to see how it stands now.",
    ),
    429: ("Too many tries", "Wait for some minutes, go back, and try again."),
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in at this browser: what the page calls them, and who asks when they do."""

    name: str
    subject: Subject


def prepare(app: Flask) -> None:
    """The templates of the design system beside our own, everything escaped, and its style sheet at an address."""
    app.jinja_options = {**app.jinja_options, "autoescape": True, "undefined": ChainableUndefined}
    app.jinja_options["loader"] = ChoiceLoader(
        [app.create_global_jinja_loader(), PackageLoader("nhsuk_frontend_jinja")]
    )
    app.jinja_env.globals |= {"csrf_token": token, "design_system": assets.there}
    app.add_url_rule("/static/design-system.css", "design_system", _sheet)


def nowhere(error: HTTPException) -> Response:
    """An address that nothing answers: a page for people, a line for programs. What a room refuses is its own to tell."""
    if request.url_rule is not None or error.code != 404:
        return make_response(error.get_response())
    title, text = "There is no such page", "Check the address. The first page says what there is."
    if request.accept_mimetypes.best_match(("text/plain", "text/html")) == "text/html":
        return guard(make_response(render_template("failed.html", title=title, text=text), 404))
    return guard(
        make_response(f"{title.lower()}; expected an address of /openapi.json\n", 404, {"Content-Type": "text/plain"})
    )


def _sheet() -> Response:
    if not assets.there():
        abort(404)
    response = send_from_directory(assets.FOLDER, assets.SHEET, mimetype="text/css", max_age=YEAR)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def guarded(pages: Blueprint) -> None:
    """Bounded forms in, guarded answers out, for every address of a blueprint."""

    @pages.before_request
    def bounded() -> None:
        request.max_content_length = LARGEST

    @pages.after_request
    def guard_each(response: Response) -> Response:
        kept = "Content-Security-Policy" in response.headers or (request.endpoint or "").endswith(".static")
        return response if kept else guard(response)


def guard(
    response: Response, *, forms: Sequence[str] = (), scripts: bool = False, pictures: str = "", frames: str = ""
) -> Response:
    """The headers of a page. `forms`: where its forms may lead besides here; `scripts`: whether it loads scripts of this
    server, which may then ask this server; `pictures`: what else than files of this server an image may be (`data:`);
    `frames`: what a frame may hold (`blob:`)."""
    allowed = [
        "default-src 'none'",
        "style-src 'self'",
        f"img-src 'self' {pictures}".strip(),
        "base-uri 'none'",
        "frame-ancestors 'none'",
        " ".join(("form-action 'self'", *(one for one in forms if one))),
    ]
    if scripts:
        allowed += ["script-src 'self'", "connect-src 'self'"]
    if frames:
        allowed.append(f"frame-src {frames}")
    response.headers["Content-Security-Policy"] = "; ".join(allowed)
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


def token() -> str:
    """What every form carries, so that no other site can send it."""
    return str(generate_csrf())


def own_form() -> bool:
    """Whether the form that came is one that was given to this browser, and the session is still the same."""
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError:
        return False
    return True


def check_form() -> None:
    """End the request unless the form is one that was given to this browser."""
    if not own_form():
        abort(400)


def told(pages: Blueprint) -> None:
    """Whatever goes wrong at an address of the blueprint is told in plain words, and nothing of what it was about."""

    @pages.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.response is not None:
            return make_response(error.response)
        status, title, text = failure(error)
        return make_response(render_template("failed.html", title=title, text=text), status)

    for status in (404, 405):  # before what the application does of these
        pages.register_error_handler(status, failed)


def failure(error: Exception) -> tuple[int, str, str]:
    """(status, title, what to do). What was not expected is logged by its place, without what it was about."""
    if isinstance(error, Fault) and error.status < 500:
        return error.status, *TOLD.get(error.status, TOLD[400])
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return error.code, *TOLD.get(error.code, TOLD[404])
    status = 503 if isinstance(error, Fault) or unavailable(error) else 500
    if status == 503:
        observability.event("database_unavailable", request_id="")
    else:
        place = observability.place_of(error)
        observability.event("request_failed", request_id="", error=type(error).__name__, place=place)
    return status, "Something went wrong", "It is not your fault. Try again in a few minutes."
