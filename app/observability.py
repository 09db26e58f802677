"""The catalogue of log events, and metrics. An event has a name, a level and the fields it may carry: never a person's.
While a request is answered, each event has the id of its trace beside them.

Three things keep persons out of the log: a field that the catalogue does not name is refused; a value that looks like
an identifier of a person or a study is withheld; and of what a library logs only the name of the logger, the type of
the error and the place are kept, for its text may hold anything.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from app import tracing

# name: (level, fields)
EVENTS: dict[str, tuple[str, frozenset[str]]] = {
    "server_ready": ("info", frozenset({"address", "mode", "database"})),
    "server_stopped": ("info", frozenset()),
    "process_ended": ("warning", frozenset({"process", "status"})),
    "request": ("debug", frozenset({"method", "route", "status", "milliseconds", "request_id"})),
    "request_failed": ("error", frozenset({"request_id", "error", "place"})),
    "identity_collision": ("error", frozenset({"request_id", "organisation"})),
    "replica_unavailable": ("warning", frozenset({"seconds"})),
    "database_unavailable": ("error", frozenset({"request_id"})),
    "notification_failed": ("error", frozenset({"error", "place"})),
    "scheduled_failed": ("error", frozenset({"error", "place"})),
    "harvest_failed": ("error", frozenset({"source", "error", "place"})),
    "demo_loaded": ("info", frozenset({"resources"})),
    "audit_not_linked": ("error", frozenset({"error", "place"})),
    "migrated": ("info", frozenset({"revision"})),
    "library_warned": ("warning", frozenset({"logger", "error", "place", "text"})),
    "library_failed": ("error", frozenset({"logger", "error", "place", "text"})),
}

# Loggers whose messages speak of processes and migrations alone.
TOLD_IN_FULL = ("_granian", "alembic")

# An NHS number, in any of the ways in which it is written, and a DICOM UID.
IDENTIFIER = re.compile(r"(?<![0-9A-Za-z])(?:\d{3}[ -]?\d{3}[ -]?\d{4}|\d+(?:\.\d+){4,})(?![0-9A-Za-z])")
WITHHELD = "[withheld]"
LONGEST = 300

LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
_least = 0  # the number of the level below which nothing is logged

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

metrics = CollectorRegistry()
REQUESTS = Counter(
    "registry_requests_total", "Requests by method, route and status", ["method", "route", "status"], registry=metrics
)
EFFECTS = frozenset({"PERMIT", "REDACT", "DENY", "PARTIAL"})
DECISIONS = Counter(
    "registry_decisions_total", "Decisions about a patient, by what was decided", ["effect"], registry=metrics
)
TURNED_AWAY = Counter(
    "registry_turned_away_total", "Requests refused before anything was read, by why", ["reason"], registry=metrics
)
SECONDS = Histogram("registry_request_seconds", "Time to answer, by route", ["route"], registry=metrics)


def share() -> None:
    """Count from now on in files that all processes of this server share, in the folder that PROMETHEUS_MULTIPROC_DIR
    names; for a process that was forked from one that counts for itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing is in those files yet that clearing could miss
        for one in (REQUESTS, DECISIONS, TURNED_AWAY, SECONDS):
            one.clear()
    _counted.cache_clear()
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def configure(level: str, format: str) -> None:
    """Set up logging once for the process. `format` is text, json, or empty for what suits the output."""
    global _least
    _least = LEVELS[level.lower()]
    as_text = format == "text" or (not format and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_least),
        logger_factory=lambda *_names: Output(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, Libraries)]:
        root.removeHandler(handler)
    root.addHandler(Libraries(logging.WARNING))


class Output:
    """The standard error output, as it is when something is written."""

    def msg(self, message: str) -> None:
        """One line, in one write, so that the lines of several processes do not mix."""
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    debug = info = warning = error = msg


class Libraries(logging.Handler):
    """What libraries log through the standard library, as events of the catalogue."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields = {"logger": record.name, "error": type(error).__name__ if error else ""}
        fields["place"] = place_of(error) if error else f"{record.module}:{record.lineno}"
        if record.name.split(".")[0] in TOLD_IN_FULL and error is None:
            fields["text"] = record.getMessage()
        event("library_failed" if record.levelno >= logging.ERROR else "library_warned", **fields)


def event(name: str, **fields: Any) -> None:
    """Log an event of the catalogue. Raises KeyError for one that is not, ValueError for a field it may not carry."""
    level, allowed = EVENTS[name]
    if not fields.keys() <= allowed:
        raise ValueError(f"{name} may not carry {sorted(fields.keys() - allowed)}")
    if LEVELS[level] < _least:
        return
    if trace := tracing.current():
        fields["trace"] = trace
    getattr(structlog.get_logger(), level)(name, **{key: _safe(value) for key, value in fields.items()})


def decided(effect: str) -> None:
    """Count one decision about one patient."""
    DECISIONS.labels(effect if effect in EFFECTS else "other").inc()


def turned_away(reason: str) -> None:
    """Count one request that was not admitted; `reason` is one of app.rest.admission's."""
    TURNED_AWAY.labels(reason).inc()


def _safe(value: Any) -> Any:
    return IDENTIFIER.sub(WITHHELD, value)[:LONGEST] if isinstance(value, str) else value


def answered(method: str, route: str, status: int, seconds: float, request_id: str = "") -> None:
    """Count and time one answer. `route` is the rule with its placeholders, never an address."""
    method = method if method in METHODS else "other"
    requests, took = _counted(method, route, status)
    requests.inc()
    took.observe(seconds)
    event(
        "request",
        method=method,
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 1),
        request_id=request_id,
    )


@lru_cache(maxsize=4096)
def _counted(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, str(status)), SECONDS.labels(route)


def exposition(now: Mapping[str, tuple[str, float | Mapping[str, float]]] | None = None) -> bytes:
    """All metrics in Prometheus' text format, of all processes of this server where they share a directory for it.

    `now` adds gauges that are looked up when asked: name → (what it is, value, or values by source)."""
    gathered: CollectorRegistry = metrics
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        gathered = CollectorRegistry()
        MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]
    current = CollectorRegistry()
    for name, (means, value) in (now or {}).items():
        if isinstance(value, Mapping):
            gauge = Gauge(name, means, ["source"], registry=current)
            for source, each in value.items():
                gauge.labels(source).set(each)
        else:
            Gauge(name, means, registry=current).set(value)
    return generate_latest(gathered) + generate_latest(current)


def place_of(error: BaseException) -> str:
    """File and line where an exception was raised, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/app/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
