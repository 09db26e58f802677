"""Is it alive, is it ready, how is it: /health/live, /health/ready, /metrics."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.interactions import Services
from app.observability import metrics
from app.storage import schema


def blueprint(services: Services) -> Blueprint:
    """Open addresses that say nothing of anyone."""
    health = Blueprint("health", __name__)
    newest = schema.newest()

    @health.get("/health/live")
    def live() -> Response:
        return jsonify({"status": "alive"})

    @health.get("/health/ready")
    def ready() -> tuple[Response, int]:
        """Whether the database answers and its schema is this release's."""
        try:
            migrated = schema.current(services.store) == newest
            database = True
        except Exception:  # whatever the driver raises, the answer is the same: not ready
            migrated = database = False
        body = jsonify({"status": "ready" if migrated else "not ready", "database": database, "migrations": migrated})
        return body, 200 if migrated else 503

    @health.get("/metrics")
    def prometheus() -> Response:
        return Response(generate_latest(metrics), content_type=CONTENT_TYPE_LATEST)

    return health
