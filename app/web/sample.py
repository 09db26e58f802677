"""A small app of the demo region, to see a launch from end to end: who is signed in, whose record, which studies.

It is an ordinary public SMART app in the browser, with no way in of its own.
"""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from app.interactions import Services
from app.pages import guard

CLIENT = "sample-app"


def blueprint(services: Services) -> Blueprint:
    """/sample and /sample/launch"""
    sample = Blueprint("sample", __name__, template_folder="templates")

    @sample.get("/sample")
    @sample.get("/sample/launch")
    def app() -> Response:
        """The sample app: where it is opened, launched and returned to."""
        body = render_template("sample.html", client=CLIENT, iss=services.settings.base_url)
        return guard(make_response(body), scripts=True)

    return sample
