"""`/viewer`: the clinician's view of one patient's imaging across hospitals.

An ordinary public SMART app in the browser, launched from a record or by itself. It is served from here, and has no way
in of its own: what it shows, it asks of the FHIR interface and of the archives, with the token of its launch.
"""

from __future__ import annotations

import json

from flask import Blueprint, Response, make_response, render_template

from app import assets
from app.demo.story import VIEWER_SCOPE as SCOPE
from app.interactions import Services
from app.pages import guard
from app.pathways.break_glass_review import REVIEW_DAYS
from app.policy.reason import MEANINGS


def blueprint(services: Services) -> Blueprint:
    """/viewer, where it is opened and returned to, and /viewer/launch, where records send people."""
    viewer = Blueprint("viewer", __name__, template_folder="templates")

    @viewer.get("/viewer")
    @viewer.get("/viewer/launch")
    def app() -> Response:
        """The page; it fills itself once it is launched."""
        settings, switches = services.settings, services.enforcement.switches
        body = render_template(
            "viewer.html",
            client=settings.viewer,
            origin=settings.origin,
            scope=SCOPE,
            iss=settings.base_url,
            hours=min(switches.break_glass_hours, switches.break_glass_most_hours),
            review_days=REVIEW_DAYS,
            ohif=assets.OHIF_AT if assets.ohif_there() else "",
            reasons=json.dumps(MEANINGS, separators=(",", ":")),
        )
        return guard(make_response(body), scripts=True, pictures="blob:", frames="blob:")

    return viewer
