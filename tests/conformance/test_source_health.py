"""How the archives stand that studies are read from: Endpoint/$source-health, metrics, `harvest --status`, and who is told.

https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from flask import Flask

from app.ingest import cli
from app.interactions import source_health
from app.notifications import scheduled
from app.storage import reviews, sources
from app.storage.sources import PATIENCE, State
from tests.support.region import Caller, caller, endpoint

MINUTE = 60_000_000
NAMES = ("dead", "fresh", "behind", "failing", "quiet")


@pytest.fixture
def harvested(app: Flask, steward: Caller) -> int:
    """Five sources in five states; the instant they were left so."""
    services = app.extensions["services"]
    at = int(services.store.clock())
    steward.put("/Endpoint/archive-rxb", endpoint("RXB"))
    of_a = State("fresh", "orthanc", "Endpoint/archive-rxa", attempted=at, succeeded=at)
    known = (
        of_a,
        replace(of_a, name="behind", lag=7),
        replace(of_a, name="failing", failures=2, problem="the archive answered 500; 200 was expected"),
        replace(of_a, name="quiet", endpoint="Endpoint/archive-rxb", succeeded=at - PATIENCE - MINUTE),
        replace(of_a, name="dead", endpoint="Endpoint/archive-rxb", succeeded=0, failures=9, problem="no answer"),
    )

    def write(tx: object) -> None:
        for one in known:
            sources.save(tx, one)  # type: ignore[arg-type]
        sources.count(tx, "fresh", "2026-11-24", 3, 0)  # type: ignore[arg-type]
        reviews.keep(tx, reviews.HeldStudy("1.2", "Endpoint/archive-rxb", "ods:RXB", "unknown-patient", "", "{}", "{}"))  # type: ignore[arg-type]

    services.store.retry(write)
    return at


def test_anyone_who_may_search_endpoints_learns_which_sources_are_silent_and_of_no_person(
    app: Flask, harvested: int, stranger: Caller
) -> None:
    answer = stranger.get("/Endpoint/$source-health")
    assert answer.status_code == 200, answer.text
    told = [{part["name"]: part for part in one["part"]} for one in answer.json["parameter"]]
    assert [one["state"]["valueCode"] for one in told] == ["silent", "never", "late", "late", "ok"]
    assert told[0]["endpoint"]["valueReference"] == {"reference": "Endpoint/archive-rxb"}
    assert told[0]["organization"]["valueReference"]["identifier"]["value"] == "RXB"
    assert "studies made there since then may be missing" in told[0]["said"]["valueString"]
    assert ["lastSuccess" in one for one in told] == [True, False, True, True, True]


@pytest.mark.parametrize(("scope", "status"), [("system/Endpoint.rs", 200), ("system/Patient.rs", 403)])
def test_it_takes_a_scope_that_reaches_endpoints(app: Flask, steward: Caller, scope: str, status: int) -> None:
    assert caller(app, ods="RXC", scope=scope).get("/Endpoint/$source-health").status_code == status


def test_a_parameter_that_it_has_not_is_refused_and_no_sources_are_no_parameters(steward: Caller) -> None:
    assert steward.get("/Endpoint/$source-health").json == {"resourceType": "Parameters"}
    assert steward.get("/Endpoint/$source-health?patient=1").status_code == 400


def test_metrics_say_the_same_by_the_name_of_the_source(app: Flask, harvested: int) -> None:
    text = app.test_client().get("/metrics").text
    for line in (
        'registry_source_up{source="fresh"} 1.0',
        'registry_source_up{source="quiet"} 0.0',
        'registry_source_silent{source="quiet"} 1.0',
        'registry_source_lag_changes{source="behind"} 7.0',
        'registry_source_failures{source="failing"} 2.0',
        'registry_source_success_age_seconds{source="dead"} -1.0',
        'registry_source_held_studies{source="quiet"} 1.0',
    ):
        assert line in text


def test_the_command_line_says_the_same_and_fails_while_one_is_silent(app: Flask, harvested: int) -> None:
    run = app.test_cli_runner()
    text = run.invoke(cli.harvest, ["--status"])
    assert text.exit_code == 1
    assert text.output.index("quiet: silent") < text.output.index("dead: never") < text.output.index("fresh: ok")
    one = run.invoke(cli.harvest, ["--status", "--source", "fresh", "--json"])
    assert one.exit_code == 0
    (said,) = json.loads(one.output)
    assert (said["state"], said["organisation"], said["last_success"]) == ("ok", "RXA", harvested)
    assert run.invoke(cli.harvest, ["--status", "--source", "nobody"]).exit_code != 0


def test_the_desk_s_rows_have_the_days_and_what_waits(app: Flask, harvested: int) -> None:
    services = app.extensions["services"]
    with services.store.begin(reads=True) as tx:
        found = {one.name: one for one in source_health.health(services, tx)}
    assert set(found) == set(NAMES)
    assert (found["quiet"].held, found["fresh"].held) == (1, 0)
    assert found["fresh"].history in ((("2026-11-24", 3, 0),), ())  # a day of the last thirty, or none any more


def test_a_source_that_falls_silent_is_an_event_once_until_it_has_spoken(app: Flask, harvested: int) -> None:
    services = app.extensions["services"]
    assert scheduled.announce(services) == 2
    assert scheduled.announce(services) == 0
