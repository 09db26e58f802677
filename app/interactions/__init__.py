"""FHIR interactions as use cases, one file each, without HTTP: what is asked, decided by the enforcement point, done by
storage, recorded in the same transaction. https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.access.enforcement import Enforcement
from app.access.subject import Subject
from app.config import Settings
from app.fhir.negotiation import Preference
from app.fhir.search_values import ValueSets
from app.fhir.validate import Validator
from app.storage.engine import Store


@dataclass(frozen=True)
class Services:
    """The parts that every interaction works with, joined in `create_app`.

    `seal` and `open_seal` encrypt and decrypt page keys; `published` holds the conformance resources of our own, `value_sets` the
    codes of our own value sets, `forms` our own Questionnaires.
    """

    store: Store
    enforcement: Enforcement
    settings: Settings
    seal: Callable[[bytes], str]
    open_seal: Callable[[str], bytes]
    validator: Validator
    notify_secret: bytes = b""
    published: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    value_sets: ValueSets = field(default_factory=dict)
    forms: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Asked:
    """Who asks, and what the headers of the request say."""

    subject: Subject
    request_id: str = ""
    prefer: Preference = field(default_factory=Preference)
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_none_exist: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Answer:
    """What goes back. `body` is a FHIR resource as JSON, None for an empty answer; headers as HTTP names them."""

    status: int
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
