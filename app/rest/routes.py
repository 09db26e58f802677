"""The FHIR addresses: one table, read at a glance. https://hl7.org/fhir/R4/http.html"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from app.config import Settings
from app.fhir import negotiation
from app.fhir.outcome import Fault
from app.fhir.registry import TYPES
from app.interactions import (
    Answer,
    Asked,
    Services,
    capabilities,
    delete,
    disclosures,
    everything,
    explain_access,
    history,
    manifest,
    match,
    patch,
    pointers,
    prefetch,
    search,
    source_health,
    subscription_operations,
    transaction,
    update,
    validate,
    vread,
)
from app.pathways import break_glass, break_glass_review, mdt
from app.pathways.choice import operations
from app.pathways.epr.feed import process_message
from app.pathways.record_choice import record_choice
from app.rest import errors, negotiate
from app.rest.hot import Hot, Verify, asking, held

# A type below a patient: any other word there, as in /Patient/1/_history, means something else.
_ANY = f"any({', '.join(name for name, one in TYPES.items() if one.compartment)})"

SmartConfiguration = Callable[[Settings], dict[str, Any]]


def blueprint(
    services: Services,
    verify: Verify,
    hot: Hot,
    smart: SmartConfiguration,
    nowhere: Callable[[HTTPException], Response],
) -> Blueprint:
    """/fhir and everything below it. `nowhere` answers what is asked for elsewhere and not there."""
    fhir = Blueprint("fhir", __name__, url_prefix="/fhir")
    most = services.settings.max_bytes

    def asked() -> Asked:
        g.asked = asking(services, request, verify)
        return g.asked  # type: ignore[no-any-return]

    def pairs() -> list[tuple[str, str]]:
        return parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True, encoding="utf-8")

    def criteria() -> str:
        return request.query_string.decode("latin-1")

    def reply(answer: Answer) -> Response:
        return negotiate.respond(request, answer)

    def metadata() -> Response:
        return reply(capabilities.statement(services))

    def smart_configuration() -> Response:
        response = jsonify(smart(services.settings))
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    def system() -> Response:
        who = asked()
        return reply(transaction.process(services, who, negotiate.resource(request, most)))

    def system_history() -> Response:
        return reply(history.history(services, asked(), pairs()))

    def type_search(type_name: str) -> Response:
        return reply(hot.found(asked(), type_name, [*pairs(), *_form(most)], request))

    def type_put(type_name: str) -> Response:
        who = asked()
        content = negotiate.resource(request, most)
        return reply(update.conditional_update(services, who, held(type_name), criteria(), content))

    def type_patch(type_name: str) -> Response:
        who = asked()
        change = negotiate.patch(request, most)
        return reply(patch.conditional_patch(services, who, held(type_name), criteria(), change))

    def type_delete(type_name: str) -> Response:
        return reply(delete.conditional_delete(services, asked(), held(type_name), criteria()))

    def type_history(type_name: str) -> Response:
        return reply(history.history(services, asked(), pairs(), held(type_name)))

    def type_validate(type_name: str, id: str | None = None) -> Response:
        who = asked()
        content = negotiate.resource(request, most)
        return reply(validate.validate(services, who, held(type_name), content, pairs(), id))

    def subscription_status(id: str) -> Response:
        return reply(subscription_operations.status(services, asked(), id))

    def subscription_events(id: str) -> Response:
        options = negotiate.parameters(request, pairs(), most)
        return reply(subscription_operations.events(services, asked(), id, options))

    def consent_record_choice() -> Response:
        who = asked()
        return reply(record_choice(services, who, negotiate.resource(request, most)))

    def patient_break_glass(id: str | None = None) -> Response:
        who = asked()
        return reply(break_glass.break_glass(services, who, negotiate.resource(request, most), id))

    def patient_emergency_access(id: str) -> Response:
        return reply(break_glass.emergency_access(services, asked(), id))

    def patient_end_break_glass(id: str) -> Response:
        who = asked()
        return reply(break_glass.end_break_glass(services, who, id, negotiate.resource(request, most)))

    def task_review_break_glass(id: str) -> Response:
        who = asked()
        return reply(break_glass_review.operation(services, who, id, negotiate.resource(request, most)))

    def team_convene() -> Response:
        who = asked()
        return reply(mdt.operation(services, who, negotiate.resource(request, most)))

    def visit_prefetch(kind: str, id: str) -> Response:
        return reply(prefetch.prefetch(services, asked(), kind, id, options()))

    def response_submit() -> Response:
        who = asked()
        return reply(operations.submit_choice(services, who, negotiate.resource(request, most)))

    def task_advance(id: str) -> Response:
        who = asked()
        return reply(operations.advance_request(services, who, id, negotiate.resource(request, most)))

    def system_message() -> Response:
        who = asked()
        return reply(process_message(services, who, negotiate.resource(request, most)))

    def patient_disclosures(id: str) -> Response:
        return reply(disclosures.disclosures(services, asked(), id, pairs()))

    def instance_put(type_name: str, id: str) -> Response:
        who = asked()
        return reply(update.update(services, who, held(type_name), id, negotiate.resource(request, most)))

    def instance_patch(type_name: str, id: str) -> Response:
        who = asked()
        return reply(patch.patch(services, who, held(type_name), id, negotiate.patch(request, most)))

    def instance_delete(type_name: str, id: str) -> Response:
        return reply(delete.delete(services, asked(), held(type_name), id))

    def instance_history(type_name: str, id: str) -> Response:
        return reply(history.history(services, asked(), pairs(), held(type_name), id))

    def version_get(type_name: str, id: str, version: str) -> Response:
        return reply(vread.vread(services, asked(), held(type_name), id, version))

    def compartment(id: str, type_name: str) -> Response:
        return reply(search.search(services, asked(), held(type_name), pairs(), ("Patient", id)))

    def compartment_search(id: str, type_name: str) -> Response:
        given = [*pairs(), *_form(most)]
        return reply(search.search(services, asked(), held(type_name), given, ("Patient", id)))

    def options() -> list[tuple[str, str]]:
        """The parameters of an operation: those of the address, and those of a Parameters resource that was sent."""
        given = pairs()
        return given if request.method == "GET" else [*given, *parameters(negotiate.resource(request, most))]

    def patient_everything(id: str) -> Response:
        return reply(everything.everything(services, asked(), id, options()))

    def patient_match(type_name: str = "Patient") -> Response:
        return reply(match.match(services, asked(), negotiate.resource(request, most)))

    def study_explain(id: str | None = None) -> Response:
        return reply(explain_access.explain_access(services, asked(), options(), id))

    def study_manifest(id: str) -> Response:
        return reply(manifest.manifest(services, asked(), id))

    def pointer_get(id: str) -> Response:
        return reply(pointers.read(services, asked(), id))

    def pointer_search() -> Response:
        given = pairs() if request.method == "GET" else [*pairs(), *_form(most)]
        return reply(pointers.search(services, asked(), given))

    def endpoint_health() -> Response:
        return reply(source_health.source_health(services, asked(), pairs()))

    # method, address, interaction (https://hl7.org/fhir/R4/valueset-type-restful-interaction.html, or $operation), view
    routes: tuple[tuple[str, str, str, Callable[..., Response]], ...] = (
        ("GET", "/metadata", "capabilities", metadata),
        ("GET", "/.well-known/smart-configuration", "smart-configuration", smart_configuration),
        ("POST", "/", "transaction", system),
        ("POST", "", "transaction", system),
        ("POST", "/$process-message", "$process-message", system_message),
        ("GET", "/_history", "history-system", system_history),
        ("GET", "/<type_name>", "search-type", hot.view(hot.search)),
        ("POST", "/<type_name>/_search", "search-type", type_search),
        ("POST", "/<type_name>", "create", hot.view(hot.create)),
        ("PUT", "/<type_name>", "conditional-update", type_put),
        ("PATCH", "/<type_name>", "conditional-patch", type_patch),
        ("DELETE", "/<type_name>", "conditional-delete", type_delete),
        ("GET", "/<type_name>/_history", "history-type", type_history),
        ("POST", "/<type_name>/$validate", "$validate", type_validate),
        ("POST", "/<type_name>/<id>/$validate", "$validate", type_validate),
        ("GET", "/Subscription/<id>/$status", "$status", subscription_status),
        ("POST", "/Subscription/<id>/$status", "$status", subscription_status),
        ("GET", "/Subscription/<id>/$events", "$events", subscription_events),
        ("POST", "/Subscription/<id>/$events", "$events", subscription_events),
        ("POST", "/Consent/$record-choice", "$record-choice", consent_record_choice),
        ("POST", "/Patient/$break-glass", "$break-glass", patient_break_glass),
        ("POST", "/Patient/<id>/$break-glass", "$break-glass", patient_break_glass),
        ("GET", "/Patient/<id>/$emergency-access", "$emergency-access", patient_emergency_access),
        ("POST", "/Patient/<id>/$end-break-glass", "$end-break-glass", patient_end_break_glass),
        ("POST", "/Task/<id>/$review-break-glass", "$review-break-glass", task_review_break_glass),
        ("GET", "/Appointment/<id>/$prefetch", "$prefetch", partial(visit_prefetch, "Appointment")),
        ("GET", "/EpisodeOfCare/<id>/$prefetch", "$prefetch", partial(visit_prefetch, "EpisodeOfCare")),
        ("POST", "/QuestionnaireResponse/$submit-choice", "$submit-choice", response_submit),
        ("POST", "/Task/<id>/$advance-request", "$advance-request", task_advance),
        ("POST", "/CareTeam/$convene-mdt", "$convene-mdt", team_convene),
        ("GET", "/Patient/<id>/$disclosures", "$disclosures", patient_disclosures),
        ("GET", "/Patient/<id>/$everything", "$everything", patient_everything),
        ("POST", "/Patient/<id>/$everything", "$everything", patient_everything),
        ("POST", "/Patient/$match", "$match", patient_match),
        ("GET", "/ImagingStudy/$explain-access", "$explain-access", study_explain),
        ("POST", "/ImagingStudy/$explain-access", "$explain-access", study_explain),
        ("GET", "/ImagingStudy/<id>/$explain-access", "$explain-access", study_explain),
        ("POST", "/ImagingStudy/<id>/$explain-access", "$explain-access", study_explain),
        ("GET", "/ImagingStudy/<id>/$manifest", "$manifest", study_manifest),
        ("GET", "/DocumentReference", "search-type", pointer_search),
        ("POST", "/DocumentReference/_search", "search-type", pointer_search),
        ("GET", "/DocumentReference/<id>", "read", pointer_get),
        ("GET", "/Endpoint/$source-health", "$source-health", endpoint_health),
        ("GET", "/<type_name>/<id>", "read", hot.view(hot.read)),
        ("PUT", "/<type_name>/<id>", "update", instance_put),
        ("PATCH", "/<type_name>/<id>", "patch", instance_patch),
        ("DELETE", "/<type_name>/<id>", "delete", instance_delete),
        ("GET", "/<type_name>/<id>/_history", "history-instance", instance_history),
        ("GET", "/<type_name>/<id>/_history/<version>", "vread", version_get),
        ("GET", f"/Patient/<id>/<{_ANY}:type_name>", "search-compartment", compartment),
        ("POST", f"/Patient/<id>/<{_ANY}:type_name>/_search", "search-compartment", compartment_search),
    )
    for method, address, interaction, view in routes:
        name = f"{interaction} {method} {address}".replace(".", "_")
        fhir.add_url_rule(address, name, view, methods=[method])

    @fhir.after_request
    def headers(response: Response) -> Response:
        negotiate.finish(request, response.headers)
        return response

    @fhir.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        return errors.answer(request, errors.recorded(services, request, error, g.get("asked")))

    def unrouted(error: HTTPException) -> Response:
        """An address that no blueprint answers for: below the base one of ours, and otherwise `nowhere`."""
        if request.path.startswith("/fhir/") or request.path == "/fhir":
            response = errors.answer(request, error)
            negotiate.finish(request, response.headers)
            return response
        return nowhere(error)

    for status in (404, 405):
        fhir.app_errorhandler(status)(unrouted)

    return fhir


def parameters(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each simple parameter of a Parameters resource. Raises Fault invalid for another resource."""
    if content.get("resourceType") != "Parameters":
        raise Fault("invalid", "not Parameters; expected a Parameters resource", "resourceType")
    found = []
    for one in content.get("parameter") or ():
        values = [value for name, value in one.items() if name.startswith("value")]
        if len(values) != 1 or isinstance(values[0], (dict, list)):
            raise Fault("invalid", "a parameter without a simple value; expected one", "Parameters.parameter")
        found.append((str(one.get("name")), str(values[0])))
    return found


def _form(most: int) -> list[tuple[str, str]]:
    if not negotiation.is_form(request.content_type):
        if not request.content_length:
            return []
        raise Fault("media-type", "the search was not sent as a form; expected application/x-www-form-urlencoded")
    return parse_qsl(negotiate.body(request, most).decode("latin-1"), keep_blank_values=True, encoding="utf-8")
