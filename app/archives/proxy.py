"""The proxy in front of archives that cannot be extended: `/archive/proxy/{endpoint}/studies/…`, WADO-RS and QIDO-RS of one
study, with the same decision as the gate's, made at every request.

Bytes go through as they come, in both directions of time: an archive that is slow holds up nobody else, and a requester
who goes away ends the archive's side. Only configured archives are asked, only what the grammar of requests lets through.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

from app.access.deciding import Asked
from app.access.subject import Subject
from app.archives.configured import Archive
from app.archives.deciding import Gatekeeper, Verify
from app.archives.gate import STUDY_KEYS, Wanted, bearer, wanted
from app.archives.headers import failed, hardened, refused, request_id
from app.archives.upstream import Failed, Upstream
from app.interactions import Services, capability_address

PROXY = "/archive/proxy"
EMERGENCY = "Emergency-Grant"
SAYS = {
    "TOKEN_INVALID": "no valid access token; expected a current one in the Authorization header, as Bearer",
    "OUT_OF_SCOPE": "the token's scopes do not cover reading ImagingStudy; expected one that does",
}
REFUSED = "these images are not available to you; the registry says why, to whom it may"


def blueprint(services: Services, claimed: Verify, archives: Mapping[str, Archive]) -> Blueprint:
    """One address for everything below a configured archive's base."""
    proxy = Blueprint("proxy", __name__)
    upstreams = {name: Upstream(archive) for name, archive in archives.items()}

    # HEAD is left out: an archive would be asked for a whole study to answer it.
    @proxy.route(
        f"{PROXY}/<endpoint>/<path:below>",
        methods=["GET", "HEAD"],
        provide_automatic_options=False,
        merge_slashes=False,
    )
    def retrieve(endpoint: str, below: str) -> Response:
        """Images and their description, of one study, as the archive has them. DICOM PS3.18, 10.4 and 10.6."""
        sealed, below = capability_address.split(below)
        asked = wanted(f"/{below}", pairs(request.query_string)) if request.method == "GET" else None
        token = bearer(request.headers.get("Authorization"))
        if asked is None:
            return refused(403 if request.method == "GET" else 405, "this is not served; expected a GET for one study")
        keeper = Gatekeeper(services, claimed, f"proxy {endpoint[:64]}", request.remote_addr or "", request_id())
        study, at = asked.study, services.store.clock()

        def bound(subject: Subject) -> bool:
            return sealed is None or capability_address.check(services, subject, sealed, endpoint, study, at)

        whole = Asked(study, asked.series, asked.instance, strict=True)
        verdict = keeper.decide(token, whole, also=bound, emergency=request.headers.get(EMERGENCY, ""))
        if not verdict.allowed:
            return refused(403, SAYS.get(verdict.reason, REFUSED), verdict.decision_id)
        upstream = upstreams.get(endpoint)
        if upstream is None:
            return refused(404, "no archive is configured here; expected the id of an Endpoint that is")
        own = f"{services.settings.origin}{PROXY}/{endpoint}{capability_address.joined(sealed)}"
        return _passed_on(upstream, asked, below, own, verdict.decision_id)

    @proxy.after_request
    def headers(response: Response) -> Response:
        return hardened(response)

    @proxy.errorhandler(Exception)
    def wrong(error: Exception) -> Response:
        return failed(error)

    return proxy


def _passed_on(upstream: Upstream, asked: Wanted, below: str, own: str, decision: str) -> Response:
    rest = [pair for pair in pairs(request.query_string) if pair[0] not in STUDY_KEYS]
    if asked.level == "search":  # by the name that every archive knows
        rest = [(STUDY_KEYS[0], asked.study), *rest]
    query = "&".join(f"{key}={value}" for key, value in rest)
    try:
        streamed = upstream.get(f"/{below}", query, dict(request.headers), own)
    except Failed as error:
        return refused(error.status, str(error), decision)
    response = Response(iter(streamed), streamed.status, streamed.headers, direct_passthrough=True)
    response.call_on_close(streamed.close)
    response.headers["X-Decision-Id"] = decision
    return response


def pairs(query: bytes) -> list[tuple[str, str]]:
    """The pairs of a query, each as it was sent: nothing decoded, nothing left out."""
    text = query.decode("latin-1")
    return [(key, value) for key, _, value in (one.partition("=") for one in text.split("&"))] if text else []
