"""`policy simulate`: whose access another file would open or close, over everyone who is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from tests.support.region import STUDY_UID, Caller, consent, episode, patient, study


@pytest.fixture
def simulate(app: Flask, steward: Caller, tmp_path: Path) -> Any:
    """Two patients in the care of B with a study of A each: one has finished at B, and one of them has opted out."""
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/ImagingStudy/s2", study("s2", f"{STUDY_UID}.2", subject="p2"))
    ended = episode("e2", subject="p2", status="finished", period={"start": "2026-01-01", "end": "2026-11-20"})
    steward.put("/EpisodeOfCare/e2", ended)
    services = app.extensions["services"]
    services.store.clock = lambda: 1_795_305_600_000_000  # 2026-11-22

    def run(text: str, *options: str) -> Result:
        (tmp_path / "new.toml").write_text(text)
        return app.test_cli_runner().invoke(args=["policy", "simulate", "--file", str(tmp_path / "new.toml"), *options])

    return run


def said(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_days_of_grace_open_the_study_of_whom_was_discharged(simulate: Any) -> None:
    found = said(simulate("finished_grace_days = 10", "--json"))
    assert found["persons"] == 2
    rows = {(row["organisation"], row["role"]): row for row in found["summary"]}
    assert rows["ods:RXB", "system"] == {
        "organisation": "ods:RXB", "role": "system", "opens_patients": 1, "opens_studies": 1, "closes_patients": 0,
        "closes_studies": 0,
    }  # fmt: skip
    opened = [one for one in found["changes"] if (one["organisation"], one["role"]) == ("ods:RXB", "system")]
    assert [(one["study"], one["before"], one["after"]) for one in opened] == [("ImagingStudy/s2", "nothing", "images")]
    assert opened[0]["reasons"] == ["EPISODE_FINISHED", "EPISODE_FINISHED_GRACE"]
    assert "p2" not in json.dumps(found).replace("s2", "")


def test_a_stricter_file_closes(steward: Caller, simulate: Any) -> None:
    steward.put("/Consent/c1", consent())
    closed = said(simulate("opt_out_binds_origin = true\nsystem_may_locate = false", "--json"))
    assert {(one["organisation"], one["role"], one["after"]) for one in closed["changes"]} == {
        ("ods:RXA", role, "nothing") for role in ("system", "clinician", "clerical")
    }
    assert all(one["study"] == "ImagingStudy/s1" for one in closed["changes"])


def test_the_report_is_readable_and_the_same_choices_change_nothing(simulate: Any) -> None:
    told = simulate("finished_grace_days = 10", "--details").output
    assert "ods:RXB (clinician): opens patients 1, opens studies 1" in told
    assert "because EPISODE_FINISHED becomes EPISODE_FINISHED_GRACE" in told
    assert "ImagingStudy/s2: nothing to existence" in told
    assert "nothing would open or close" in simulate('version = "same"').output


def test_a_file_that_cannot_be_used_is_refused_with_all_its_faults(simulate: Any) -> None:
    refused = simulate("colour = 1\nfinished_grace_days = 99")
    assert refused.exit_code == 1
    assert "colour" in refused.output and "finished_grace_days" in refused.output
