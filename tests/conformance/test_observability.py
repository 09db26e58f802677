"""What the registry says of itself: metrics with closed labels, a dashboard that asks for nothing else, and traces that go on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app, tracing
from app.config import Settings
from app.observability import EFFECTS, METHODS, turned_away
from tests.support.region import Caller, caller, consent

DASHBOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())
TRACE = "0af7651916cd43dd8448eb211c80319c"


def metrics(app: Flask) -> str:
    return app.test_client().get("/metrics").text


def families(text: str) -> dict[str, set[str]]:
    """Metric → its labels, as Prometheus would know them."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels = re.match(r"(\w+)(?:\{(.*)\})?", line).groups()  # type: ignore[union-attr]
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels or ""))
    for name in re.findall(r"^# TYPE (\w+) ", text, re.M):
        found.setdefault(name, set())
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_the_dashboard_asks_for_metrics_and_labels_that_there_are_and_leaves_none_out(
    app: Flask, treating: Caller
) -> None:
    treating.get("/ImagingStudy?patient=p1")
    turned_away("full")
    known = families(metrics(app))
    known |= {name: {"source"} for name in known if name.startswith("registry_source_")}
    asked: set[str] = set()
    for text in expressions():
        names = set(re.findall(r"registry_\w+", text))
        assert names and names <= known.keys(), text
        labels = set(re.findall(r"(\w+)\s*[=!]~?\"", text)) | {
            one for inside in re.findall(r"by \(([^)]*)\)", text) for one in inside.split(", ")
        }
        assert labels <= {label for name in names for label in known[name]}, text
        asked |= {name.removesuffix("_bucket") for name in names}
    families_ = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in known if name.startswith("registry_")}
    assert {name.removesuffix("_total") for name in families_} == {name.removesuffix("_total") for name in asked}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["title"] and panel["datasource"]["uid"] == "${source}" for panel in DASHBOARD["panels"])


def test_labels_are_of_closed_sets_whatever_is_asked(
    app: Flask, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    """A label that a request could choose would hold a person one day, and fill the memory before."""
    steward.put("/Consent/c1", consent())
    for who in (treating, stranger):
        for n in range(20):
            who.get(f"/ImagingStudy/{n}-9990000018")
            who.get(f"/Patient/{n}/x/y/z?q={n}")
            who.send("BREW", f"/Patient/{n}")
            who.http.get(f"/{n}/9990000018")
        who.get("/ImagingStudy?patient=p1")
    text = metrics(app)
    routes = {rule.rule for rule in app.url_map.iter_rules()} | {"unknown"}
    assert set(re.findall(r'route="([^"]*)"', text)) <= routes
    assert set(re.findall(r'method="([^"]*)"', text)) <= METHODS | {"other"}
    assert all(re.fullmatch(r"[1-5]\d\d", status) for status in re.findall(r'status="([^"]*)"', text))
    assert set(re.findall(r'effect="([^"]*)"', text)) <= EFFECTS
    assert "9990000018" not in text


def test_decisions_are_counted_by_what_was_decided(
    app: Flask, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    def counted(effect: str) -> float:
        found = re.search(rf'registry_decisions_total\{{effect="{effect}"\}} ([\d.]+)', metrics(app))
        return float(found[1]) if found else 0.0

    effects = ("PARTIAL", "PERMIT", "DENY")
    before = {effect: counted(effect) for effect in effects}
    treating.get("/ImagingStudy?patient=p1")  # of all studies at once: as each one has it
    gate = caller(app, "gate", "RXA")
    for organisation in ("RXB", "RXC"):
        who = {"type": "practitioner", "id": "dr", "properties": {"organisation": organisation, "purpose": "TREAT"}}
        said = {
            "subject": who,
            "action": {"name": "locate"},
            "resource": {"type": "ImagingStudy", "id": "ImagingStudy/s1"},
        }
        gate.http.post("/access/v1/evaluation", json=said, headers={"Authorization": f"Bearer {gate.token}"})
    assert {effect: counted(effect) - count for effect, count in before.items()} == dict.fromkeys(effects, 1.0)


GOOD = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (GOOD, True),
        (GOOD.replace("-01", "-00"), True),
        (f"{GOOD}-more", False),  # version 00 has nothing after its flags
        (f"01{GOOD[2:]}-more", True),  # a later version may
        (f"ff{GOOD[2:]}", False),
        (GOOD.upper(), False),
        (GOOD.replace(TRACE, "0" * 32), False),
        (GOOD.replace("b7ad6b7169203331", "0" * 16), False),
        ("00-9990000018-b7ad6b7169203331-01", False),
        ("Hazel Demo", False),
        ("", False),
        (None, False),
    ],
)
def test_a_trace_is_the_callers_or_a_new_one_and_goes_on(given: str | None, kept: bool) -> None:
    tracing.begin(given)
    first, second = tracing.onward()["traceparent"], tracing.onward()["traceparent"]
    assert (tracing.current() == TRACE) is kept
    assert first.split("-")[1] == second.split("-")[1] == tracing.current()
    assert first.split("-")[2] != second.split("-")[2], "each that is asked has a span of its own"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", first)
    tracing.end()
    assert tracing.current() == "" and tracing.onward() != tracing.onward()


def test_the_log_has_the_trace_of_each_request_and_nothing_else_that_came_with_it(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(
        database_url=database_url, keys_dir=str(tmp_path / "keys"), log_level="debug", log_format="json"
    )
    app = create_app(settings)
    who = caller(app)
    who.get("/ImagingStudy", traceparent=GOOD, tracestate="vendor=canary-of-a-state")
    who.get("/ImagingStudy", traceparent="canary-of-a-trace")
    app.extensions["services"].store.close()
    lines: list[dict[str, Any]] = [
        json.loads(one) for one in capsys.readouterr().err.splitlines() if one.startswith("{")
    ]
    traces = [one.get("trace") for one in lines if one["event"] == "request"]
    assert traces[0] == TRACE and re.fullmatch(r"[0-9a-f]{32}", traces[1] or "") and traces[1] != TRACE
    assert not [one for one in lines if "canary" in json.dumps(one)]
