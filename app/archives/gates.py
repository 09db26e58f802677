"""What gates of archives ask: our own decision call, and the two calls of Orthanc's authorization plugin.

The caller is a client of kind `gate`, proved by its secret (HTTP Basic) or its own access token. Whoever else calls may
ask about the token that it calls with.

https://orthanc.uclouvain.be/book/plugins/authorization.html
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify, request

from app.access import audit
from app.access.deciding import Asked, holding
from app.access.subject import Subject
from app.archives.deciding import SECOND, Gatekeeper, Gone, Verify
from app.archives.gate import bearer, is_uid, wanted
from app.archives.headers import failed, hardened, refused, request_id
from app.fhir.lossless import load
from app.fhir.outcome import Fault
from app.interactions import Services


class Proofs(Protocol):
    """Whom a Basic header proves: asked now, or as it was before."""

    def subject(self, header: str) -> Subject | None: ...

    def claimed(self, header: str) -> tuple[Subject, tuple[str, str]] | None: ...


MOST_BYTES = 65_536
LONGEST = 2048
UNPROVED = "the caller does not prove who it is; expected a client of kind gate, by its secret or token"
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")
LEVELS = ("series", "instance")
NOBODY = {"name": "anonymous", "user-id": "", "permissions": [], "authorized-labels": [], "groups": [], "validity": 0}


class Refused(Exception):
    """The call itself cannot be answered: HTTP status, and what was wrong."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


def blueprint(services: Services, verify: Verify, claimed: Verify, proofs: Proofs) -> Blueprint:
    """/archive/decision, /archive/tokens/validate and /archive/user/get-profile."""
    gates = Blueprint("gates", __name__, url_prefix="/archive")
    prove = proofs.subject

    def keeper(caller: Subject, gate: tuple[str, str] | None = None) -> Gatekeeper:
        address = request.remote_addr or ""
        return Gatekeeper(services, claimed, caller.client_id, address, request_id(), gate)

    @gates.post("/decision")
    def decision() -> Response:
        """May the bearer of this token have the images of this study, now?"""
        header = request.headers.get("Authorization", "")
        known, said = proofs.claimed(header), _body()  # whether the gate is one still is asked with the decision
        caller, gate = known or (_caller(verify, prove), None)
        token, study = _text(said, "token", 8192), _text(said, "study_uid", 72).removeprefix("urn:oid:")
        if not is_uid(study):
            raise Refused(400, "study_uid is no DICOM UID; expected digits and dots, at most 64")
        action = said.get("action", "locate")
        if not isinstance(action, str) or not _WORD.fullmatch(action):
            raise Refused(400, "action is not one word; expected one such as locate")
        if not caller.decision_point and token != bearer(request.headers.get("Authorization")):
            raise Refused(
                403, "the token is not the caller's own; expected it, or an enforcement point that is trusted"
            )
        emergency = said.get("emergency_grant") or ""
        if not isinstance(emergency, str) or len(emergency) > LONGEST:
            raise Refused(400, "emergency_grant is no text; expected the id of an emergency grant")
        found = _asked(study, said.get("path"))
        try:
            verdict = keeper(caller, gate).decide(token, found, emergency=emergency)
        except Gone:  # what was proved before is no proof now: it is to prove itself anew
            verdict = keeper(_caller(verify, prove)).decide(token, found, emergency=emergency)
        return jsonify(verdict.as_json())

    @gates.post("/tokens/validate")
    def validate() -> Response:
        """Orthanc's authorization plugin asks whether a token reaches a study, series or instance."""
        caller, said = _gate(verify, prove), _body()
        found = _of_plugin(services, said)
        if found is None:
            return jsonify({"granted": False, "validity": 0})
        verdict = keeper(caller).decide(_token(said), found)
        return jsonify({"granted": verdict.allowed, "validity": verdict.max_age})

    @gates.post("/user/get-profile")
    def profile() -> Response:
        """Orthanc's authorization plugin asks who somebody is. Nobody has a permission that holds for all studies."""
        _gate(verify, prove)
        token = _token(_body())
        subject = verify(token) if token else None
        if subject is None or subject.decision_point:
            return jsonify(NOBODY)
        who = subject.practitioner or subject.client_id
        left = max(0, (subject.expires or 0) - services.store.clock()) // SECOND
        return jsonify(NOBODY | {"name": who, "user-id": who, "validity": min(services.settings.gate_seconds, left)})

    @gates.after_request
    def headers(response: Response) -> Response:
        return hardened(response)

    @gates.errorhandler(Exception)
    def wrong(error: Exception) -> Response:
        if not isinstance(error, Refused):
            return failed(error)
        status, message = error.status, error.message
        if status in (401, 403):
            services.store.retry(
                lambda tx: audit.noted(
                    tx,
                    "operation",
                    status=status,
                    detail=f"archive decision: {message}",
                    request_id=request_id(),
                    address=request.remote_addr or "",
                )
            )
        response = refused(status, message)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="imaging registry", Bearer realm="imaging registry"'
        return response

    return gates


def _caller(verify: Verify, prove: Verify) -> Subject:
    given = request.headers.getlist("Authorization")
    header = given[0] if len(given) == 1 else ""
    subject = prove(header) if header[:6].lower() == "basic " else verify(token) if (token := bearer(header)) else None
    if subject is None:
        raise Refused(
            401, "the caller does not prove who it is; expected a client of kind gate, by its secret or token"
        )
    return replace(subject, address=request.remote_addr or "")


def _gate(verify: Verify, prove: Verify) -> Subject:
    caller = _caller(verify, prove)
    if not caller.decision_point:
        raise Refused(403, "the caller is no gate; expected a client of kind gate")
    return caller


def _body() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise Refused(400, "the request is not JSON; expected application/json")
    try:
        said = load(request.stream.read(MOST_BYTES + 1), MOST_BYTES)
    except Fault as fault:
        raise Refused(400, fault.text) from fault
    if not isinstance(said, dict):
        raise Refused(400, "the request is no JSON object; expected one")
    return said


def _text(said: dict[str, Any], name: str, longest: int) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise Refused(400, f"{name} is missing or no text; expected one of at most {longest} letters")
    return value


def _asked(study: str, path: Any) -> Asked:
    """What is asked about; where the path can be read it names series and instance. Raises Refused."""
    if path is not None and (not isinstance(path, str) or len(path) > LONGEST):
        raise Refused(400, f"path is no text; expected one of at most {LONGEST} letters")
    start = path.find("/studies/") if path else -1
    found = wanted(path[start:].partition("?")[0], []) if path and start >= 0 else None
    if found is not None and found.study != study:
        raise Refused(400, "path names another study than study_uid; expected the same")
    return Asked(study) if found is None else Asked(study, found.series, found.instance)


# Orthanc's authorization plugin ---------------------------------------------------------------------------------------


def _token(said: dict[str, Any]) -> str:
    value = said.get("token-value")
    value = value if isinstance(value, str) else ""
    return bearer(value if " " in value.strip() else f"Bearer {value}")


def _of_plugin(services: Services, said: dict[str, Any]) -> Asked | None:
    """The study that a GET is about, by its own UID or by that of a series or instance that the registry knows."""
    level, uid, method = (said.get(name) for name in ("level", "dicom-uid", "method"))
    if not (isinstance(method, str) and method.lower() == "get" and isinstance(uid, str) and is_uid(uid)):
        return None
    if level == "study":
        return Asked(uid)
    if level not in LEVELS:
        return None  # a patient or the whole archive
    with services.store.begin(reads=True) as tx:
        study = holding(tx, level, uid)
    return Asked(study) if study else None
