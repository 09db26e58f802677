"""The first ten minutes of a newcomer: start the server, paste the README's lines, ask why, stop, start again."""

from __future__ import annotations

import html
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pydicom.data
import pytest

from app.demo import story
from app.policy.rules import RULES
from tests.support import readme
from tests.support.server import Running

DICOMDIRTESTS = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
PERMITTED = ("9990001030", "ZA1")  # birch, in the care of Alderbrook, has opted in


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("run"))
    running.start()
    yield running
    running.close()


def lines() -> list[str]:
    """The README's lines to paste, in its order."""
    text = readme.README.read_text()
    return re.findall(r"```sh\n(.*?)\n```", readme.part("curls", text), re.DOTALL)


def found(bundle: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    return [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == mode]


def every_rule_is_told(explained: list[dict[str, Any]]) -> bool:
    named = [one.name for one in RULES]
    return all(
        [step["rule"] for step in one["steps"]] == named and all(step["verdict"] for step in one["steps"])
        for one in explained
    )


def explain(server: Running, patient: str, org: str) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = json.loads(server.flask("explain", "--patient", patient, "--org", org, "--json"))
    assert said and every_rule_is_told(said)
    return said


def test_the_landing_page_holds_the_lines_that_the_server_prints(server: Running) -> None:
    with urlopen(f"{server.address}/") as answer:
        assert answer.status == 200
        page = html.unescape(answer.read().decode())
    server.says("Ctrl-C stops it")
    assert "Warning" not in server.said() and '"level": "warning"' not in server.said()
    for line in lines():
        here = line.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
        assert here in page
        assert here in server.said()


def test_the_readme_works_as_pasted_and_a_second_start_keeps_what_was_done(server: Running) -> None:
    metadata, search, opt_out_and_search = lines()
    assert json.loads(server.paste(metadata))["resourceType"] == "CapabilityStatement"

    before = json.loads(server.paste(search))
    studies, archives = found(before, "match"), found(before, "include")
    assert {one["resourceType"] for one in studies} == {"ImagingStudy"}
    assert {one["id"] for one in studies} == set(story.STORY_STUDIES)
    assert {one["resourceType"] for one in archives} == {"Endpoint"}
    assert len(archives) >= 2
    assert all(one["address"].startswith("http") for one in archives)
    assert {one["effect"] for one in explain(server, story.STORY_NHS_NUMBER, "ZA1")} == {"PERMIT"}

    after = json.loads(server.paste(opt_out_and_search))
    assert (after["resourceType"], after["type"]) == ("Bundle", "searchset")
    assert "entry" not in after

    assert server.stop() in (0, -signal.SIGINT)
    server.start()
    assert "entry" not in json.loads(server.paste(search))
    assert json.loads(server.flask("db", "check", "--json"))["faults"] == []
    assert server.stop() in (0, -signal.SIGINT)
    assert "Traceback" not in server.said()
    server.start()


def test_explain_says_what_every_rule_made_of_a_refusal_and_of_a_permission(server: Running) -> None:
    asked = re.findall(r"^\.venv/bin/flask .* explain .*$", readme.README.read_text(), re.MULTILINE)
    for line in asked:
        told = server.paste(line)
        assert all(one.name.replace("_", " ") in told for one in RULES)
    for one in explain(server, story.OPTED_OUT_NHS_NUMBER, "ZA1"):
        assert (one["effect"], one["reasons"][0]) == ("DENY", "CONSENT_BASE_DENY")
        assert [step["rule"] for step in one["steps"] if step["verdict"] == "refuses"] == ["nothing_on_file_refuses"]
    for one in explain(server, *PERMITTED):
        assert one["effect"] == "PERMIT"
        assert [step["rule"] for step in one["steps"] if step["verdict"] == "permits"] == ["what_remains_is_permitted"]


def test_dicom_folders_become_studies_once_however_often_they_are_read(server: Running) -> None:
    def ingest() -> dict[str, Any]:
        report: dict[str, Any] = json.loads(
            server.flask("ingest", str(DICOMDIRTESTS), "--archive", "cedarholme-archive", "--json")
        )
        return report

    first, again = ingest(), ingest()
    for report in (first, again):
        counted = [report[name] for name in ("patients", "studies", "series", "instances")]
        assert counted == [3, 7, 14, 81]
        assert report["failed"] == report["alarms"] == []
    assert again["unchanged"] == 7
    assert again["created"] == again["updated"] == 0
