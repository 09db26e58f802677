"""Is it alive, is it ready, how is it: /health/live, /health/ready, /metrics. Open, and silent about everybody."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from app.interactions import Services
from app.observability import exposition
from app.storage import schema

Check = Callable[[], bool]


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
        gauges = {"registry_ready": ("Whether /health/ready says so", float(good))}
        return _uncached(Response(exposition(gauges), content_type=CONTENT_TYPE_LATEST))

    return health


def _holds(check: Check) -> bool:
    """Whatever the driver raises, the answer is the same: no."""
    try:
        return check()
    except Exception:
        return False


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
