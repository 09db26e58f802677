"""The catalogue of log events, and metrics. An event has a name, a level and the fields it may carry: never a person's.

Fields that are not in the catalogue are refused, so that no identifier of a person can slip into a log.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

# name: (level, fields)
EVENTS: dict[str, tuple[str, frozenset[str]]] = {
    "server_ready": ("info", frozenset({"address", "mode", "database"})),
    "server_stopped": ("info", frozenset()),
    "request": ("info", frozenset({"method", "route", "status", "milliseconds", "request_id"})),
    "request_failed": ("error", frozenset({"request_id", "error", "place"})),
    "database_unavailable": ("error", frozenset({"request_id"})),
    "demo_loaded": ("info", frozenset({"resources"})),
    "migrated": ("info", frozenset({"revision"})),
}

metrics = CollectorRegistry()
REQUESTS = Counter(
    "registry_requests_total", "Requests by method, route and status", ["method", "route", "status"], registry=metrics
)
SECONDS = Histogram("registry_request_seconds", "Time to answer, by route", ["route"], registry=metrics)


def configure(level: str, format: str) -> None:
    """Set up logging once for the process. `format` is text, json, or empty for what suits the output."""
    as_text = format == "text" or (not format and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def event(name: str, **fields: Any) -> None:
    """Log an event of the catalogue. Raises KeyError for one that is not, ValueError for a field it may not carry."""
    level, allowed = EVENTS[name]
    if not fields.keys() <= allowed:
        raise ValueError(f"{name} may not carry {sorted(fields.keys() - allowed)}")
    getattr(structlog.get_logger(), level)(name, **fields)


def place_of(error: BaseException) -> str:
    """File and line where an exception was raised, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/app/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
