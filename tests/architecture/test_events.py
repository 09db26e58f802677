"""The log catalogue and the source agree: every event told is in it, with fields it may carry, and none is idle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from app.observability import EVENTS

APP = Path(__file__).parents[2] / "app"
LEVELS = {"debug", "info", "warning", "error"}
# Fields in which a person could be named, whatever they are called.
PERSONAL = {"patient", "name", "nhs_number", "identifier", "practitioner", "url", "query", "body", "message", "study"}


def told() -> Iterator[tuple[str, list[str], set[str]]]:
    """Each event that the source tells: where, the names it may have, its fields."""
    for path in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("event", "observability.event"):
                found = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                fields = {one.arg for one in node.keywords if one.arg is not None}
                yield (
                    f"{path.relative_to(APP)}:{node.lineno}",
                    [str(one) for one in found if str(one) in EVENTS],
                    fields,
                )


def test_every_event_told_is_in_the_catalogue_with_its_fields() -> None:
    for where, names, fields in told():
        assert names, f"{where} tells an event that is not in the catalogue"
        for name in names:
            assert fields <= EVENTS[name][1], f"{where}: {name} may not carry {fields - EVENTS[name][1]}"


def test_every_event_of_the_catalogue_is_told_somewhere() -> None:
    assert {name for _, names, _ in told() for name in names} == set(EVENTS)


def test_no_event_has_a_field_for_a_person() -> None:
    for name, (level, fields) in EVENTS.items():
        assert level in LEVELS
        assert not fields & PERSONAL, name


def test_nothing_is_logged_or_printed_past_the_catalogue() -> None:
    """`print` is for the start-up page of the terminal; the standard library's logging is for libraries."""
    for path in sorted(APP.rglob("*.py")):
        if path.name in ("observability.py", "server.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called != "print", f"{path}:{node.lineno}"
                assert not called.startswith(("structlog.", "logging.info", "logging.error", "logger.")), (
                    f"{path}:{node.lineno}"
                )
