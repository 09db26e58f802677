"""The log and the metrics hold nothing of persons."""

from __future__ import annotations

import logging
from collections.abc import Callable

import orjson
import pytest

from app import observability

Told = Callable[[], list[dict[str, object]]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    observability.configure("info", "json")
    return lambda: [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_has_its_name_its_level_a_time_and_its_fields(told: Told) -> None:
    observability.event("migrated", revision="0001")
    (line,) = told()
    assert line.pop("timestamp")
    assert line == {"event": "migrated", "level": "info", "revision": "0001"}


def test_an_event_that_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(KeyError):
        observability.event("patient_seen")


def test_a_field_that_the_catalogue_does_not_name_is_refused() -> None:
    with pytest.raises(ValueError, match="migrated may not carry"):
        observability.event("migrated", patient="x")


@pytest.mark.parametrize(
    "value",
    ["9990001006", "999 000 1006", "999-000-1006", "/Patient?identifier=x|9990001006", "1.2.826.0.1.3680043.8.498.1"],
)
def test_a_value_that_may_be_an_identifier_is_withheld(told: Told, value: str) -> None:
    observability.event("request_failed", request_id=value, error="KeyError", place="rest/routes.py:1")
    (line,) = told()
    assert "[withheld]" in str(line["request_id"])
    assert "1006" not in str(line) and "3680043" not in str(line)


@pytest.mark.parametrize(
    "value", ["http://127.0.0.1:8080", "0b2f6f5e-1111-4222-8333-123456789012", "interactions/search.py:119"]
)
def test_an_ordinary_value_is_told_as_it_is(told: Told, value: str) -> None:
    observability.event("request_failed", request_id=value)
    assert told()[0]["request_id"] == value


def test_of_what_a_library_logs_the_text_is_dropped(told: Told) -> None:
    try:
        raise ValueError("9990001006 Hazel Demo")
    except ValueError:
        logging.getLogger("some.library").exception("failed for %s", "Hazel Demo")
    logging.getLogger("some.library").warning("odd name Hazel Demo")
    logging.getLogger("some.library").info("Hazel Demo again")
    failed, warned = told()
    assert (
        failed["event"] == "library_failed" and failed["error"] == "ValueError" and failed["logger"] == "some.library"
    )
    assert str(failed["place"]).startswith("/") or "test_observability.py" in str(failed["place"])
    assert warned["event"] == "library_warned" and warned["error"] == ""
    assert "Hazel" not in f"{failed}{warned}" and "9990001006" not in f"{failed}{warned}"


def test_what_the_web_server_says_of_its_processes_is_kept(told: Told) -> None:
    logging.getLogger("_granian.workers").error("Unexpected exit from worker-1")
    assert told()[0]["text"] == "Unexpected exit from worker-1"


def test_configuring_twice_tells_everything_once(told: Told) -> None:
    observability.configure("info", "json")
    logging.getLogger("some.library").warning("once")
    assert len(told()) == 1


def test_below_the_level_nothing_is_told(told: Told) -> None:
    observability.configure("error", "json")
    observability.event("migrated", revision="0001")
    assert told() == []


def test_requests_are_counted_by_route_and_never_by_address_or_invented_method() -> None:
    observability.answered("GET", "/fhir/<type_name>/<id>", 200, 0.01)
    observability.answered("X9990001006", "/fhir/<type_name>/<id>", 405, 0.01)
    text = observability.exposition().decode()
    assert 'method="GET",route="/fhir/<type_name>/<id>",status="200"' in text
    assert 'method="other"' in text and "9990001006" not in text


def test_the_exposition_takes_what_is_looked_up_when_asked() -> None:
    text = observability.exposition({"registry_ready": ("Whether it is ready", 1)}).decode()
    assert "# HELP registry_ready Whether it is ready\n# TYPE registry_ready gauge\nregistry_ready 1.0\n" in text
