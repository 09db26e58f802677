"""/openapi.json: OpenAPI 3.1 of every HTTP address. Made from Flask's table of addresses and the registry of types.

https://spec.openapis.org/oas/v3.1.0. An address is stated once for each type whose interactions include it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from flask import Blueprint, Response, current_app
from werkzeug.routing import Rule

from app.config import Settings
from app.fhir.capability import SOFTWARE
from app.fhir.negotiation import FORM, JSON_PATCH, MERGE_PATCH
from app.fhir.operations import OPERATIONS
from app.fhir.registry import TYPES, ResourceType, modifiers
from app.fhir.resource import dump

FHIR_JSON, FHIR_XML = "application/fhir+json", "application/fhir+xml"
OPEN = ("capabilities", "smart-configuration")  # interactions of the FHIR base that need no token

_VARIABLE = re.compile(r"<(?:(?P<converter>\w+)(?:\([^)]*\))?:)?(?P<name>\w+)>")
_SAYS = {
    "capabilities": "What this server does",
    "smart-configuration": "Where clients get tokens",
    "transaction": "Carry out a batch or transaction",
    "history-system": "Versions of everything",
    "search-type": "Search",
    "search-compartment": "Search in a patient's compartment",
    "create": "Create; with If-None-Exist only where nothing matches",
    "conditional-update": "Update the one match, or create",
    "conditional-patch": "Patch the one match",
    "conditional-delete": "Delete the one match",
    "history-type": "Versions of a type",
    "history-instance": "Versions of one resource",
    "read": "Read",
    "vread": "Read one version",
    "update": "Update, or create under this id",
    "patch": "Patch",
    "delete": "Delete",
}
_STATUSES: dict[str, tuple[int, ...]] = {
    "create": (200, 201, 412),
    "update": (200, 201, 412),
    "conditional-update": (200, 201, 409, 412),
    "patch": (200, 404, 410, 412),
    "conditional-patch": (200, 404, 412),
    "delete": (204, 404, 412),
    "conditional-delete": (204, 412),
    "read": (200, 304, 404, 410),
    "vread": (200, 404, 410),
    "history-instance": (200, 404),
}
_BODIES: dict[str, tuple[str, ...]] = {
    "patch": (JSON_PATCH, MERGE_PATCH, FHIR_JSON, FHIR_XML),
    "conditional-patch": (JSON_PATCH, MERGE_PATCH, FHIR_JSON, FHIR_XML),
}
_WRITING = frozenset(("create", "update", "conditional-update", "transaction"))
_HEADERS = {
    "create": ("If-None-Exist", "Idempotency-Key", "Prefer"),
    "transaction": ("Idempotency-Key", "Prefer"),
    "update": ("If-Match", "If-None-Match", "Prefer"),
    "conditional-update": ("If-Match", "If-None-Match", "Prefer"),
    "patch": ("If-Match", "Prefer"),
    "conditional-patch": ("If-Match", "Prefer"),
    "delete": ("If-Match",),
    "conditional-delete": ("If-Match",),
    "read": ("If-None-Match", "If-Modified-Since"),
    "search-type": ("Prefer",),
    "search-compartment": ("Prefer",),
}
_SHAPING = ("_count", "_sort", "_total", "_summary", "_elements", "_include", "_revinclude")
_CONDITIONAL = frozenset(("conditional-update", "conditional-patch", "conditional-delete"))
_OUTCOME = {"$ref": "#/components/responses/OperationOutcome"}
_ID = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}


def blueprint(settings: Settings) -> Blueprint:
    """The one address."""
    own = Blueprint("openapi", __name__)
    made: list[bytes] = []

    @own.get("/openapi.json")
    def openapi() -> Response:
        """This document."""
        if not made:
            views = {name: view.__doc__ or "" for name, view in current_app.view_functions.items()}
            made.append(dump(document(list(current_app.url_map.iter_rules()), views, settings)))
        response = Response(made[0], content_type="application/json")
        response.headers["Cache-Control"] = "public, max-age=60"
        return response

    return own


def document(rules: list[Rule], says: dict[str, str], settings: Settings) -> dict[str, Any]:
    """The whole document. `says` has what the view of an endpoint says of itself."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(rules, key=lambda one: one.rule):
        for path, operations in _stated(rule, says.get(rule.endpoint, "")):
            paths.setdefault(path, {}).update(operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": SOFTWARE["name"], "version": SOFTWARE["version"], "license": {"name": "Apache-2.0"}},
        "servers": [{"url": settings.origin}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": {
                "OperationOutcome": {
                    "description": "What was wrong, then what was expected, at its place",
                    "content": _content("OperationOutcome"),
                }
            },
        },
    }


def _stated(rule: Rule, says: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The paths that an address stands for, with their operations."""
    blueprint_name, _, name = rule.endpoint.rpartition(".")
    methods = sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
    if blueprint_name != "fhir":
        operation = _plain(rule, blueprint_name, says)
        yield _path(rule.rule), {method.lower(): _named(operation, rule, method) for method in methods}
        return
    interaction = name.split(" ")[0]
    for kind in _types(rule, interaction):
        path = _path(rule.rule, kind.name if kind else None)
        operation = _fhir(rule, interaction, kind)
        yield path, {method.lower(): _named(operation, rule, method, kind) for method in methods}


def _named(operation: dict[str, Any], rule: Rule, method: str, kind: ResourceType | None = None) -> dict[str, Any]:
    words = re.findall(r"\w+", _path(rule.rule, kind.name if kind else None)) or ["landing"]
    return {
        "operationId": "-".join((method.lower(), *words, *(("slash",) if rule.rule.endswith("r/") else ())))
    } | operation


def _types(rule: Rule, interaction: str) -> list[ResourceType | None]:
    if "type_name" not in rule.arguments:
        return [None]
    if interaction == "search-compartment":
        return [one for one in TYPES.values() if one.compartment]
    if interaction.startswith("$"):
        return [one for one in TYPES.values() if OPERATIONS[interaction[1:]].on(one.name)]
    return [one for one in TYPES.values() if interaction in one.interactions]


def _path(rule: str, type_name: str | None = None) -> str:
    def segment(found: re.Match[str]) -> str:
        return type_name if type_name and found["name"] == "type_name" else f"{{{found['name']}}}"

    return _VARIABLE.sub(segment, rule)


def _variables(rule: Rule) -> list[dict[str, Any]]:
    names = [found["name"] for found in _VARIABLE.finditer(rule.rule) if found["name"] != "type_name"]
    schemas = {"id": _ID, "version": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"}}
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas.get(name, {"type": "string"})}
        for name in names
    ]


# What is not FHIR -------------------------------------------------------------------------------------------------


def _plain(rule: Rule, tag: str, says: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [tag or "other"],
        "summary": says.strip().partition("\n")[0].strip() or rule.rule,
        "security": [],
        "responses": {"default": {"description": "As the address's own standard has it"}},
    }
    if variables := _variables(rule):
        operation["parameters"] = variables
    return operation


# FHIR -------------------------------------------------------------------------------------------------------------


def _fhir(rule: Rule, interaction: str, kind: ResourceType | None) -> dict[str, Any]:
    parameters = _variables(rule) + [_ref(name) for name in (*_HEADERS.get(interaction, ()), "X-Request-Id")]
    if interaction not in OPEN:
        parameters += [_ref("_format"), _ref("_pretty")]
    method = next(iter((rule.methods or set()) - {"OPTIONS", "HEAD"}))
    searches = interaction in ("search-type", "search-compartment")
    if kind is not None and ((searches and method == "GET") or interaction in _CONDITIONAL):
        parameters += [_ref(f"{kind.name}.{name}") for name in kind.params]
        parameters += [_ref(name) for name in _SHAPING] if searches else []
    if interaction == "read":
        parameters += [_ref("_summary"), _ref("_elements")]
    if interaction.startswith("history"):
        parameters += [_ref("_since"), _ref("_count")]
    says = _SAYS.get(interaction) or OPERATIONS[interaction.removeprefix("$")].says
    operation: dict[str, Any] = {
        "tags": [kind.name if kind else "system"],
        "summary": f"{says}: {kind.name}" if kind else says,
        "parameters": parameters,
        "responses": _responses(interaction, kind),
    }
    if interaction in OPEN:
        operation["security"] = []
    if body := _body(interaction, method, kind):
        operation["requestBody"] = body
    return operation


def _body(interaction: str, method: str, kind: ResourceType | None) -> dict[str, Any] | None:
    if method == "POST" and interaction in ("search-type", "search-compartment"):
        return {"content": {FORM: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}}}
    if interaction in _BODIES:
        schemas = {JSON_PATCH: "JsonPatch", MERGE_PATCH: "MergePatch", FHIR_JSON: "Parameters"}
        content = {name: {"schema": _schema(schemas.get(name))} for name in _BODIES[interaction]}
    elif interaction in _WRITING:
        content = _content("Bundle" if kind is None else kind.name)
    elif interaction.startswith("$") and method == "POST":
        content = _content("Resource")
    else:
        return None
    return {"required": True, "content": content}


def _responses(interaction: str, kind: ResourceType | None) -> dict[str, Any]:
    """The answers of its own that an interaction can have; the refusals that any request can meet are the default."""
    shown = "Resource" if kind is None else kind.name
    if interaction.startswith(("history", "search")) or interaction == "transaction":
        shown = "Bundle"
    if interaction.startswith("$"):
        shown = "Resource"
    found: dict[str, Any] = {}
    for status in _STATUSES.get(interaction, (200,)):
        if status >= 400:
            found[str(status)] = _OUTCOME
        elif status in (204, 304):
            found[str(status)] = {"description": "Nothing to send"}
        else:
            content = {"application/json": {}} if interaction == "smart-configuration" else _content(shown)
            found[str(status)] = {"description": "Done", "content": content}
    found["default"] = _OUTCOME
    return found


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def _schema(name: str | None) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"} if name else {"type": "string"}


def _content(name: str) -> dict[str, Any]:
    return {FHIR_JSON: {"schema": _schema(name)}, FHIR_XML: {"schema": {"type": "string"}}}


@cache
def _schemas() -> dict[str, Any]:
    def resource(name: str | None) -> dict[str, Any]:
        kind = {"const": name} if name else {"type": "string", "pattern": "^[A-Z][A-Za-z]+$"}
        return {"type": "object", "required": ["resourceType"], "properties": {"resourceType": kind}}

    operation = {
        "type": "object",
        "required": ["op", "path"],
        "properties": {
            "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
            "path": {"type": "string"},
        },
    }
    names = (*TYPES, "Bundle", "Parameters", "OperationOutcome")
    return {name: resource(name) for name in names} | {
        "Resource": resource(None),
        "MergePatch": {"type": "object"},
        "JsonPatch": {"type": "array", "items": operation},
    }


@cache
def _parameters() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for header in sorted({name for names in _HEADERS.values() for name in names} | {"X-Request-Id"}):
        found[header] = {"name": header, "in": "header", "schema": {"type": "string"}}
    kinds: dict[str, dict[str, Any]] = {
        "_count": {"type": "integer", "minimum": 0},
        "_pretty": {"type": "string", "enum": ["true", "false"]},
        "_total": {"type": "string", "enum": ["none", "estimate", "accurate"]},
        "_summary": {"type": "string", "enum": ["true", "text", "data", "count", "false"]},
    }
    for name in ("_format", "_pretty", "_since", *_SHAPING):
        found[name] = {"name": name, "in": "query", "schema": kinds.get(name, {"type": "string"})}
    for kind in TYPES.values():
        for param in kind.params.values():
            taken = modifiers(param)
            found[f"{kind.name}.{param.name}"] = {
                "name": param.name,
                "in": "query",
                "description": f"{param.kind}; modifiers: {', '.join(taken) or 'none'}",
                "schema": {"type": "string"},
            }
    return found
