"""`/`: what this is, for the person who has just started it."""

from __future__ import annotations

from flask import Blueprint, render_template

from app.demo import story
from app.interactions import Services


def blueprint(services: Services) -> Blueprint:
    """The landing page and its style sheet."""
    web = Blueprint("web", __name__, template_folder="templates", static_folder="static", static_url_path="/static")

    @web.get("/")
    def landing() -> str:
        settings = services.settings
        demo = settings.demo and settings.demo_data == "1"
        return render_template(
            "landing.html",
            base_url=settings.base_url,
            origin=settings.origin,
            curls=story.curls(settings.base_url) if demo else (),
            clients=story.SHOWN_CLIENTS if demo else (),
        )

    return web
