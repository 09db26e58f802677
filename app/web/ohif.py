"""`/ohif/`: the OHIF viewer on the study that the clinician's view was showing, where it has been fetched (`app.assets`).

It is given the session of that tab and the address of that study's archive, and asks the archive's gate like anybody:
each request is decided anew. Its own pages and service worker are left out; the page that starts it is ours.
"""

from __future__ import annotations

import os

from flask import Blueprint, Response, abort, make_response, render_template, send_from_directory
from werkzeug.security import safe_join

from app import assets
from app.interactions import Services
from app.pages import YEAR, guard

AT = assets.OHIF_AT
# What it needs beyond a page of ours: styles that it makes as it runs, pictures and workers that it makes of what it fetched,
# and the compiled decoders of images.
PAGE = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline';"
    " img-src 'self' blob: data:; font-src 'self' data:; connect-src 'self' blob: data:; base-uri 'none';"
    " frame-ancestors 'none'; form-action 'none'"
)
# Its decoders make functions of text. They do so in workers, which hold nothing but the pixels they are given.
WORKER = "default-src 'none'; script-src 'self' 'unsafe-eval' blob:; connect-src 'self' blob: data:"


def blueprint(services: Services) -> Blueprint:
    """The page at every address that no file of the package has."""
    ohif = Blueprint("ohif", __name__, template_folder="templates")

    @ohif.get(AT, defaults={"path": ""})
    @ohif.get(f"{AT}<path:path>")
    def part(path: str) -> Response:
        """A file of the package as it is, or the page."""
        if not assets.ohif_there():
            abort(404)
        file = safe_join(str(assets.OHIF_FOLDER), path)
        if file is not None and os.path.isfile(file) and not path.endswith(".html"):
            response = send_from_directory(assets.OHIF_FOLDER, path, max_age=YEAR)
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Content-Security-Policy"] = WORKER
            return response
        (bundle,) = assets.OHIF_FOLDER.glob("app.bundle.*.js")
        page = guard(
            make_response(render_template("ohif.html", client=services.settings.viewer, at=AT, bundle=bundle.name))
        )
        page.headers["Content-Security-Policy"] = PAGE
        return page

    return ohif
