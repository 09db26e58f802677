"""`export` and `import`: everything goes out and comes in again as it was; what is wrong with one line stops no other."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from app.interactions import Asked, Services
from app.storage.engine import Store
from app.transfer import exporting, importing
from app.transfer.cli import OPERATOR
from tests.support.region import patient, settle, study
from tests.support.server import FLASK, ROOT

COMMAND = Asked(OPERATOR)


@pytest.fixture(params=["sqlite", "postgresql"])
def make(
    request: pytest.FixtureRequest, fresh_database: Callable[[str], str], tmp_path: Path
) -> Iterator[Callable[[], Flask]]:
    """Makes applications, each on a fresh database of one kind."""
    made: list[Flask] = []

    def one() -> Flask:
        settings = Settings(
            database_url=fresh_database(request.param), keys_dir=str(tmp_path / "keys"), log_level="error"
        )
        made.append(create_app(settings))
        return made[-1]

    yield one
    for app in made:
        app.extensions["services"].store.close()


def services(app: Flask) -> Services:
    return app.extensions["services"]  # type: ignore[no-any-return]


def run(app: Flask, *arguments: str) -> tuple[int, Any]:
    done = app.test_cli_runner().invoke(args=[*arguments, "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def lines(*resources: dict[str, Any] | bytes) -> bytes:
    return b"".join((one if isinstance(one, bytes) else orjson.dumps(one)) + b"\n" for one in resources)


def contents(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("*.ndjson"))
    }
    return {name: sorted(ones, key=lambda one: str(one["id"])) for name, ones in found.items()}


def without_meta(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [{key: value for key, value in one.items() if key != "meta"} for one in ones]
        for name, ones in contents(folder).items()
    }


def test_what_goes_out_comes_in_as_it_was(make: Callable[[], Flask], tmp_path: Path) -> None:
    source, target = make(), make()
    settle(source)
    status, told = run(source, "export", "--out", str(tmp_path / "a"))
    assert (status, told["resources"]) == (
        0,
        {"Patient": 1, "Organization": 4, "Endpoint": 1, "ImagingStudy": 1, "EpisodeOfCare": 1},
    )
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(
        f"{name}.ndjson" for name in told["resources"]
    )
    status, told = run(target, "import", str(tmp_path / "a"))
    assert (status, told["created"], told["refused"]) == (0, 8, [])
    assert run(target, "export", "--out", str(tmp_path / "b"))[0] == 0
    assert without_meta(tmp_path / "b") == without_meta(tmp_path / "a")
    status, told = run(target, "import", str(tmp_path / "a"))
    assert (status, told["created"], told["updated"], told["unchanged"]) == (0, 0, 0, 8), "a second run changes nothing"


def test_an_export_is_a_disclosure_to_an_operator(make: Callable[[], Flask], tmp_path: Path) -> None:
    app = make()
    steward = settle(app)
    assert run(app, "export", "--out", str(tmp_path / "out"))[0] == 0
    found = [
        entry["resource"]
        for entry in steward.get("/AuditEvent?_count=100").json["entry"]
        if "registry-operator" in json.dumps(entry["resource"]["agent"])
    ]
    told = json.dumps(found)
    assert "Patient/p1" in told and "ImagingStudy/s1" in told and "HOPERAT" in told
    assert all(event["outcome"] == "0" for event in found)


def test_bad_lines_are_reported_with_file_and_line_and_stop_no_other(make: Callable[[], Flask], tmp_path: Path) -> None:
    app = make()
    steward = settle(app)
    file = tmp_path / "mixed.ndjson"
    file.write_bytes(
        lines(
            patient("a", "9990000026"),
            b"{not json",
            b"",
            patient("b", "9990000034") | {"gender": "unheard-of"},
            {"resourceType": "Foo"},
            {"resourceType": "AuditEvent", "id": "x"},
            study("c", "1.2.3.4.5", subject="none"),
            patient("d", "9990000042"),
        )
    )
    status, told = run(app, "import", str(file))
    assert (status, told["created"]) == (1, 2)
    assert [(one["file"], one["line"]) for one in told["refused"]] == [(str(file), line) for line in (2, 4, 5, 6, 7)]
    places = [one["issue"][0].get("expression", [""])[0] for one in told["refused"]]
    assert places == ["", "Patient.gender", "resourceType", "", "ImagingStudy.subject"]
    assert [steward.get(f"/Patient/{id}").status_code for id in "abd"] == [200, 404, 200]
    said = app.test_cli_runner().invoke(args=["import", str(file)])
    assert f"{file}:4: Patient.gender: " in said.stderr


def test_a_line_may_refer_to_one_further_on(make: Callable[[], Flask], tmp_path: Path) -> None:
    app = make()
    settle(app)
    first, second = tmp_path / "1.ndjson", tmp_path / "2.ndjson"
    first.write_bytes(lines(study("x", "1.2.3.4.5", subject="late")))
    second.write_bytes(lines(patient("late", "9990000026")))
    status, told = run(app, "import", str(first), str(second))
    assert (status, told["created"], told["refused"]) == (0, 2, [])


def test_a_line_without_an_id_makes_one_resource_however_often(make: Callable[[], Flask], tmp_path: Path) -> None:
    app = make()
    file = tmp_path / "x.ndjson"
    file.write_bytes(
        lines({"resourceType": "Organization", "name": "x"}, {"resourceType": "Organization", "name": "y"})
    )
    assert [run(app, "import", str(file))[1]["created"] for _ in range(2)] == [2, 0]


def test_an_import_that_broke_off_goes_on_where_it_was(make: Callable[[], Flask], tmp_path: Path) -> None:
    app = make()
    file = tmp_path / "Organization.ndjson"
    wrong = {"resourceType": "Organization", "id": "wrong"}
    good = [{"resourceType": "Organization", "id": f"o{number}", "name": str(number)} for number in range(50)]
    file.write_bytes(lines(*good[:5], wrong, *good[5:]))

    class Died(BaseException):
        pass

    real = importing.transfers.set_mark
    marks = []

    def mark(tx: Any, name: str, place: str) -> None:
        real(tx, name, place)
        marks.append(place)

    def died(read: int) -> None:
        if len(marks) == 3:
            raise Died

    importing.transfers.set_mark = mark
    try:
        with pytest.raises(Died):
            importing.imported(services(app), COMMAND, [file], died, batch=10)
    finally:
        importing.transfers.set_mark = real
    report = importing.imported(services(app), COMMAND, [file], batch=10)
    assert (report.skipped, report.created, report.unchanged) == (30, 21, 0)
    assert [(one.line, one.issues[0].code) for one in report.refused] == [(6, "invariant")]
    again = importing.imported(services(app), COMMAND, [file])
    assert (again.skipped, again.created, again.unchanged) == (0, 0, 50), "what is done is not remembered"


def test_an_export_that_broke_off_goes_on_where_it_was(make: Callable[[], Flask], tmp_path: Path) -> None:
    app = make()
    settle(app)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    exporting.export(services(app), COMMAND, whole)

    class Died(BaseException):
        pass

    def died(type_name: str, count: int) -> None:
        if type_name == "Organization":
            raise Died

    with pytest.raises(Died):
        exporting.export(services(app), COMMAND, broken, told=died)
    with (broken / "Organization.ndjson").open("ab") as file:
        file.write(b'{"resourceType":"Organi')  # as if it had died while it wrote
    exporting.export(services(app), COMMAND, broken)
    assert contents(broken) == contents(whole)
    assert not (broken / exporting.STATE).exists()


def test_it_survives_kill_minus_nine(make: Callable[[], Flask], tmp_path: Path) -> None:
    app = make()
    file = tmp_path / "Patient.ndjson"
    file.write_bytes(
        lines(*({"resourceType": "Patient", "id": f"p{number}", "gender": "female"} for number in range(6_000)))
    )
    settings: Settings = app.extensions["services"].settings
    environment = {
        "PATH": "/usr/bin:/bin",
        "REGISTRY_DATABASE_URL": settings.database_url,
        "REGISTRY_KEYS_DIR": settings.keys_dir,
    }
    command = [FLASK, "--app", "wsgi", "import", str(file), "--json"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    store: Store = app.extensions["services"].store
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until and not _marked(store):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["skipped"] >= 1000
    assert told["skipped"] + told["created"] + told["unchanged"] == 6_000
    with store.begin(reads=True) as tx:
        assert tx.one("SELECT count(*), max(version) FROM resource") == (6_000, 1)


def _marked(store: Store) -> bool:
    with store.begin(reads=True) as tx:
        return tx.one("SELECT 1 FROM import_mark") is not None
