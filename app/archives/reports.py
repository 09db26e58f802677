"""Reports as their sources hold them: `/archive/proxy/{endpoint}/reports/{DiagnosticReport id}`, and `/2` for its second form.

Who may read the DiagnosticReport may read its document, and nobody else: it is read first, as through the FHIR interface,
so that the same decision about every study that it names, and the same record, stand before each document. The document is
asked of the configured archive alone, at the address that the report gives below that archive, and of no other place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from flask import Blueprint, Response, request

from app.access.presenting import presenting
from app.archives.configured import Archive
from app.archives.deciding import Verify
from app.archives.gate import bearer
from app.archives.headers import failed, hardened, refused, request_id
from app.archives.proxy import EMERGENCY, PROXY
from app.archives.upstream import Failed, Upstream
from app.interactions import Asked, Services, read

# What a document may come as: what a browser shows without running anything of it.
TYPES = ("text/plain", "application/pdf", "image/jpeg", "image/png", "application/dicom")
_BELOW = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def blueprint(services: Services, verify: Verify, archives: Mapping[str, Archive]) -> Blueprint:
    """One address for each form of each report."""
    reports = Blueprint("reports", __name__)
    upstreams = {name: Upstream(archive, TYPES) for name, archive in archives.items()}

    @reports.get(f"{PROXY}/<endpoint>/reports/<id>", provide_automatic_options=False)
    @reports.get(f"{PROXY}/<endpoint>/reports/<id>/<int:number>", provide_automatic_options=False)
    def document(endpoint: str, id: str, number: int = 1) -> Response:
        """The document of the form with this number, as its source has it."""
        token = bearer(request.headers.get("Authorization"))
        subject = verify(token) if token else None
        if subject is None:
            return refused(401, "no valid access token; expected a current one in the Authorization header, as Bearer")
        if grant := request.headers.get(EMERGENCY):
            subject = presenting(services.enforcement.switches, subject, grant)
        asked = Asked(subject, request_id=request_id())
        report = orjson.loads(read.read(services, asked, "DiagnosticReport", id).body or b"{}")
        upstream = upstreams.get(endpoint)
        own = f"{services.settings.origin}{PROXY}/{endpoint}"
        below = _below(report, number, (own, upstream.archive.address)) if upstream else None
        if upstream is None or below is None:
            return refused(404, "the source gives no document at an archive that is configured here")
        try:
            streamed = upstream.get(below, "", dict(request.headers), own)
        except Failed as error:
            return refused(error.status, str(error))
        response = Response(iter(streamed), streamed.status, streamed.headers, direct_passthrough=True)
        response.call_on_close(streamed.close)
        return response

    @reports.after_request
    def headers(response: Response) -> Response:
        return hardened(response)

    @reports.errorhandler(Exception)
    def wrong(error: Exception) -> Response:
        return failed(error)

    return reports


def _below(report: dict[str, Any], number: int, bases: tuple[str, ...]) -> str | None:
    """The path of a form's address below the archive; None where it has none there."""
    forms = report.get("presentedForm") or ()
    address = str(forms[number - 1].get("url", "")) if 0 < number <= len(forms) else ""
    for base in bases:
        path = address.removeprefix(base)
        if path != address and _BELOW.fullmatch(path):
            return path
    return None
