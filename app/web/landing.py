"""`/`: what this is, for the person who has just started it."""

from __future__ import annotations

from flask import Blueprint, render_template

from app.demo import story
from app.interactions import Services
from app.pages import guarded
from app.web.welcome import steps


def blueprint(services: Services) -> Blueprint:
    """The landing page and its style sheet."""
    web = Blueprint("web", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
    guarded(web)

    @web.get("/")
    def landing() -> str:
        settings = services.settings
        shown = settings.demo_region
        return render_template(
            "landing.html",
            base_url=settings.base_url,
            origin=settings.origin,
            steps=steps(settings.base_url) if shown else (),
            clients=story.SHOWN_CLIENTS if shown else (),
            logins=story.SHOWN_LOGINS if shown else (),
        )

    return web
