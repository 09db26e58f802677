"""Is it alive, is it ready, how is it: /health/live, /health/ready, /metrics. Open, and silent about everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from app.interactions import Services, source_health
from app.interactions.source_health import SourceHealth
from app.observability import exposition
from app.storage import chain, schema, subscriptions

Check = Callable[[], bool]
Gauges = dict[str, tuple[str, float | Mapping[str, float]]]


def checks(services: Services) -> dict[str, Check]:
    """What readiness rests on: the database answers, and its schema is this release's."""
    newest = schema.newest()

    def database() -> bool:
        with services.store.begin(reads=True) as tx:
            return tx.one("SELECT 1") == (1,)

    return {"database": database, "migrations": lambda: schema.current(services.store) == newest}


def blueprint(services: Services) -> Blueprint:
    """The three addresses."""
    health = Blueprint("health", __name__)
    needed = checks(services)

    @health.get("/health/live")
    def live() -> Response:
        return _uncached(jsonify({"status": "alive"}))

    @health.get("/health/ready")
    def ready() -> tuple[Response, int]:
        """Each check by name. A web server that is not ready stays alive, and recovers by itself."""
        found = {name: _holds(check) for name, check in needed.items()}
        good = all(found.values())
        return _uncached(jsonify({"status": "ready" if good else "not ready"} | found)), 200 if good else 503

    @health.get("/metrics")
    def metrics() -> Response:
        good = all(_holds(check) for check in needed.values())
        gauges: Gauges = {"registry_ready": ("Whether /health/ready says so", float(good))}
        if good:
            gauges |= _of_sources(services) | _of_queues(services)
        return _uncached(Response(exposition(gauges), content_type=CONTENT_TYPE_LATEST))

    return health


def _of_sources(services: Services) -> Gauges:
    """How each harvested archive stands, by the name that its operator gave it."""
    with services.store.begin(reads=True) as tx:
        found, at = source_health.health(services, tx), tx.at
    said: dict[str, tuple[str, Callable[[SourceHealth], float]]] = {
        "registry_source_up": ("Whether the archive is read as it should be", lambda one: float(one.state == "ok")),
        "registry_source_silent": (
            "Whether it was not read for longer than is borne",
            lambda one: one.state == "silent",
        ),
        "registry_source_success_age_seconds": (
            "Time since it was last read to its end; -1 for never",
            lambda one: (at - one.last_success) / source_health.SECOND if one.last_success else -1.0,
        ),
        "registry_source_lag_changes": ("Changes there that have not been read", lambda one: one.lag),
        "registry_source_failures": ("Failures in a row", lambda one: one.failures),
        "registry_source_held_studies": ("Studies that wait for identity review", lambda one: one.held),
    }
    return {name: (means, {one.name: float(of(one)) for one in found}) for name, (means, of) in said.items()}


def _of_queues(services: Services) -> Gauges:
    """What waits: events to be told, and rows of the audit to be linked."""
    with services.store.begin(reads=True) as tx:
        waiting = subscriptions.waiting(tx)
        rows = chain.waiting(tx)
    return {
        "registry_notifications_pending": ("Events that subscribers are still to be told", float(waiting["pending"])),
        "registry_notifications_dead": ("Events that could not be delivered, to be replayed", float(waiting["dead"])),
        "registry_audit_unlinked": ("Rows of the audit that are not yet in the chain", float(rows)),
    }


def _holds(check: Check) -> bool:
    """Whatever the driver raises, the answer is the same: no."""
    try:
        return check()
    except Exception:
        return False


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
