"""What a command says to a program: one line of JSON, and a status that is not 0 where it failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner

from app import create_app
from app.config import Settings

REGISTERED = ["client", "add", "Steward", "--org", "ZZ9", "--kind", "steward", "--scope", "system/*.cruds"]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    folder = tmp_path_factory.mktemp("commands")
    made = create_app(Settings(database_url=f"sqlite:///{folder}/new.db", keys_dir=str(folder / "keys")))
    runner = made.test_cli_runner()
    first = json.loads(runner.invoke(args=["db", "upgrade", "--json"]).stdout)
    assert first["from"] is None and first["to"]
    assert runner.invoke(args=[*REGISTERED, "--id", "one"]).exit_code == 0
    return made


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("db upgrade", {"from", "to"}),
        ("db check", {"resources", "faults"}),
        ("audit link", {"linked"}),
        ("audit key", {"kty", "kid", "crv", "x", "y", "alg", "use"}),
        ("keys rotate", {"rotated"}),
        ("policy review", {"opened"}),
        ("token --client one", {"access_token", "token_type", "expires_in", "scope"}),
        ("client disable one", {"client_id", "disabled"}),
    ],
)
def test_what_is_said_as_json(runner: FlaskCliRunner, command: str, keys: set[str]) -> None:
    answer = runner.invoke(args=[*command.split(), "--json"])
    assert (answer.exit_code, set(json.loads(answer.stdout))) == (0, keys)


@pytest.mark.parametrize("command", ["client disable", "user disable", "subscription key", "token --client"])
def test_what_is_not_there_fails(runner: FlaskCliRunner, command: str) -> None:
    answer = runner.invoke(args=[*command.split(), "nobody", "--json"])
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert "Error: no" in answer.stderr


def test_rows_are_a_list_for_a_program_and_lines_for_a_person(runner: FlaskCliRunner) -> None:
    runner.invoke(args=[*REGISTERED, "--id", "two"])
    runner.invoke(args=["client", "disable", "two"])
    rows = json.loads(runner.invoke(args=["client", "list", "--json"]).stdout)
    lines = runner.invoke(args=["client", "list"]).stdout.splitlines()
    assert len(rows) == len(lines)
    assert "two  steward  ZZ9  Steward  [system/*.cruds]  disabled" in lines


def test_an_export_of_the_audit_says_what_it_wrote(runner: FlaskCliRunner, tmp_path: Path) -> None:
    file = tmp_path / "audit.ndjson"
    answer = runner.invoke(args=["audit", "export", "--out", str(file), "--json"])
    assert answer.exit_code == 0, repr(answer.exception)
    assert json.loads(answer.stdout) == {"lines": len(file.read_bytes().splitlines()), "file": str(file)}
    printed = runner.invoke(args=["audit", "export"]).stdout.splitlines()
    assert len(printed) > 1 and all(json.loads(line) for line in printed)
