"""`/`: what this is, for the person who has just started it."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from app.demo import story
from app.interactions import Services
from app.web.welcome import steps

# Nothing from elsewhere, no script, no frame.
CONTENT_SECURITY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"


def blueprint(services: Services) -> Blueprint:
    """The landing page and its style sheet."""
    web = Blueprint("web", __name__, template_folder="templates", static_folder="static", static_url_path="/static")

    @web.get("/")
    def landing() -> Response:
        settings = services.settings
        shown = settings.demo_region
        page = make_response(
            render_template(
                "landing.html",
                base_url=settings.base_url,
                origin=settings.origin,
                steps=steps(settings.base_url) if shown else (),
                clients=story.SHOWN_CLIENTS if shown else (),
                logins=story.SHOWN_LOGINS if shown else (),
            )
        )
        page.headers["Content-Security-Policy"] = CONTENT_SECURITY
        page.headers["X-Content-Type-Options"] = "nosniff"
        page.headers["Referrer-Policy"] = "no-referrer"
        return page

    return web
