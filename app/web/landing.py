"""`/`: what this is, for the person who has just started it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template

from app.demo import story
from app.interactions import Services
from app.pages import guarded
from app.web.documents import guides
from app.web.welcome import steps


@dataclass(frozen=True, slots=True)
class Click:
    """One step of the story: what happens, who one is then, where its button leads, what that says and what is seen there."""

    title: str
    who: str
    leads: str
    text: str
    shows: str


VIEWER = f"/viewer?patient={story.STORY_PATIENT}"
STORY = (
    Click(
        "Her doctor looks",
        "clinician",
        VIEWER,
        "See her imaging as her doctor",
        "Dr Avocet treats Hazel at Alderbrook. Two other trusts hold studies of hers: he sees both, with pictures and reports.",
    ),
    Click(
        "She says no",
        "patient",
        "/choices",
        "Say no, as Hazel",
        "Hazel stops the sharing of her images. She has proved who she is by signing in, so it is in force at once.",
    ),
    Click(
        "Her doctor looks again",
        "clinician",
        VIEWER,
        "Look again as her doctor",
        "Nothing is shown, and nothing tells that there is anything: not a number, not a gap. The pictures are refused too.",
    ),
    Click(
        "The privacy officer checks",
        "privacy",
        "/desk",
        "See what happened, as privacy officer",
        "Mx Wren sees Hazel’s request, who looked at what and why, and what needs somebody’s attention.",
    ),
)


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
            clicks=STORY if shown else (),
            guides=guides(),
        )

    return web
