"""How each harvested archive stands: for the desk, the command line, metrics, and over FHIR `Endpoint/$source-health`.

An answer that lacks a study is only as good as the sources behind it, so everyone who may search may know which of them
are silent. No person and no study is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.access import audit
from app.access.scopes import authorize
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.outcome import Fault
from app.fhir.resource import dump
from app.fhir.temporal import format_instant
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.storage import reviews, sources
from app.storage.engine import Tx
from app.storage.projection import resolver
from app.storage.sources import State

SECOND = 1_000_000
DAYS = 30
STATES = ("silent", "never", "late", "ok")  # those with the most trouble first


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """`state`: ok | late (reading fails, or does not keep up) | silent (not read for longer than is borne) | never (not
    read yet). `organisation` is an ODS code; `lag` the changes not read yet; `failures` those in a row; `held` the
    studies that wait for review; `history` (day, studies taken in, failures), the oldest first. Instants in microseconds
    UTC, 0 for never."""

    name: str
    kind: str
    endpoint: str
    organisation: str
    state: str
    said: str
    last_success: int
    last_try: int
    reconciled: int
    lag: int
    failures: int
    problem: str
    held: int
    history: tuple[tuple[str, int, int], ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def rank(self) -> int:
        return STATES.index(self.state)


def health(services: Services, tx: Tx) -> list[SourceHealth]:
    """All archives that were ever harvested, those with the most trouble first."""
    held, resolve = reviews.numbers(tx), resolver(tx)
    since = (datetime.fromtimestamp(tx.at / SECOND, UTC) - timedelta(days=DAYS - 1)).date().isoformat()
    history: dict[str, list[tuple[str, int, int]]] = {}
    for day in sources.days(tx, since):
        history.setdefault(day.name, []).append((day.day, day.studies, day.failures))
    found = [
        SourceHealth(
            one.name,
            one.kind,
            one.endpoint,
            (resolve(one.endpoint) or "").removeprefix("ods:"),
            *_state(one, tx.at),
            one.succeeded,
            one.attempted,
            one.reconciled,
            one.lag,
            one.failures,
            one.problem,
            held.get(one.endpoint, 0),
            tuple(history.get(one.name, ())),
        )
        for one in sources.states(tx)
    ]
    return sorted(found, key=lambda one: (one.rank, -one.failures, one.last_success, one.name))


def _state(one: State, at: int) -> tuple[str, str]:
    if not one.succeeded:
        return "never", "has not been read yet; none of its studies can be relied on to be here"
    if one.silent(at):
        since = format_instant(one.succeeded)[:16].replace("T", " ")
        return "silent", f"has not been read since {since} UTC; studies made there since then may be missing"
    if one.failures:
        return "late", "did not answer the last time it was read; the newest studies there may be missing"
    if one.lag:
        return "late", "has more changes than have been read; the newest studies there may be missing"
    return "ok", "is read as it should be"


def source_health(services: Services, asked: Asked, pairs: Sequence[tuple[str, str]] = ()) -> Answer:
    """Endpoint/$source-health: Parameters with one `source` an archive. Raises Fault invalid for any parameter."""
    if unknown := [name for name, _ in pairs if name not in ("_format", "_pretty")]:
        raise Fault("invalid", "not a parameter of this operation; expected none", unknown[0])
    return carry(services, asked, "operation", "Endpoint", lambda tx: _answer(services, tx, asked))


def _answer(services: Services, tx: Tx, asked: Asked) -> Answer:
    authorize(asked.subject, "Endpoint", "search-type")
    told = [{"name": "source", "part": _part(one)} for one in health(services, tx)]
    audit.record(
        tx,
        asked.subject,
        None,
        "operation",
        "Endpoint",
        status=200,
        detail="$source-health",
        request_id=asked.request_id,
    )
    return Answer(200, dump({"resourceType": "Parameters", **({"parameter": told} if told else {})}))


def _part(one: SourceHealth) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [
        {"name": "endpoint", "valueReference": {"reference": one.endpoint}},
        {"name": "state", "valueCode": one.state},
        {"name": "said", "valueString": one.said},
    ]
    if one.organisation:
        named = {"type": "Organization", "identifier": {"system": ODS_ORGANISATION, "value": one.organisation}}
        said.insert(1, {"name": "organization", "valueReference": named})
    if one.last_success:
        said.append({"name": "lastSuccess", "valueInstant": format_instant(one.last_success)})
    return said
