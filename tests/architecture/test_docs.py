"""The README says what the code does: its tables are made from the code, and what it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from flask import Flask

from app import __version__, create_app
from app.cli import COMMANDS
from app.config import Settings
from app.demo import story
from app.fhir.registry import TYPES
from app.policy.rules import RULES
from app.web.welcome import steps, welcome
from tests.support import readme

ROOT = readme.README.parent
TEXT = readme.README.read_text()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    made = create_app(Settings(database_url=f"sqlite:///{tmp_path}/none.db", keys_dir=str(tmp_path / "keys")))
    yield made
    made.extensions["services"].store.close()


def cells(name: str, text: str = TEXT) -> list[list[str]]:
    """The rows of a table without its head, each as its cells."""
    rows = readme.part(name, text).splitlines()[2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", one)[1:-1]] for one in rows]


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in readme.PLACES.items() for name in names])
def test_what_is_made_from_the_code_is_as_the_code_makes_it(path: Path, name: str) -> None:
    advice = "run `python -m tests.support.readme --write`"
    assert readme.part(name, path.read_text()) == readme.PARTS[name](), advice


def test_everything_that_is_made_from_the_code_has_a_place() -> None:
    assert sorted(name for names in readme.PLACES.values() for name in names) == sorted(readme.PARTS)


def test_every_rule_is_told_with_number_name_clause_and_what_it_says() -> None:
    told = [
        (int(number), name.strip("`"), says, clause)
        for number, name, says, clause in cells("rules", readme.DECISION.read_text())
    ]
    assert told == [(one.number, one.name, one.says, one.clause) for one in RULES]
    picture = (ROOT / "app/web/static/picture.svg").read_text()
    assert f"{len(RULES)} rules" in TEXT and f"{len(RULES)} rules" in picture
    assert (
        readme.number(len(RULES)) in readme.DECISION.read_text()
        and f"{readme.number(len(story.BY_ID))} patients" in TEXT
    )


def test_every_type_is_told_with_its_interactions() -> None:
    told = {
        name: frozenset(interactions.split(", "))
        for names, interactions in cells("types")
        for name in names.split(", ")
    }
    assert told == {name: one.interactions for name, one in TYPES.items()}


def test_every_setting_is_told() -> None:
    told = {variable.strip("`"): means for variable, _, means in cells("settings")}
    assert told == {one.metadata["variable"]: one.metadata["means"] for one in fields(Settings)}


def test_every_command_is_told_and_says_what_it_does() -> None:
    rows = cells("commands")
    assert {usage.strip("`").split()[0] for usage, _ in rows} == set(COMMANDS)
    assert all(says.endswith(".") for _, says in rows)


def test_every_command_has_help_and_answers_a_program_too(app: Flask) -> None:
    for _, name, _ in readme.each_command():
        answer = app.test_cli_runner().invoke(args=[*name.split(), "--help"])
        assert answer.exit_code == 0 and "Usage:" in answer.output and "--json" in answer.output, name


def test_the_curls_are_those_that_the_server_prints() -> None:
    base = "http://127.0.0.1:8080/fhir"
    blocks = re.findall(r"```sh\n(.*?)\n```", readme.part("curls", TEXT), re.DOTALL)
    assert blocks == [one.line for one in steps(base)]
    assert all(any(curl in block for block in blocks) for curl in story.curls(base))
    assert all(block in welcome(Settings(), {}) for block in blocks)


def test_the_patient_to_explain_is_the_one_of_the_story() -> None:
    asked = re.findall(r"explain --patient (\d+)", TEXT)
    assert asked and set(asked) == {story.STORY_NHS_NUMBER}


def headings(path: Path) -> set[str]:
    """The anchors of a page, as GitHub and `/docs/` make them."""
    found = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in found}


@pytest.mark.parametrize("page", [readme.README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, part = target.partition("#")
        to = (page.parent / name).resolve() if name else page
        assert "://" in target or to.exists(), target
        assert not part or "://" in target or part in headings(to), target


def test_every_file_named_is_there() -> None:
    named = set(re.findall(r"`((?:app|tests|benchmarks|\.ci)/[\w./-]+)`", TEXT))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_every_room_is_on_the_map() -> None:
    rooms = {path.parent.name for path in (ROOT / "app").glob("*/__init__.py")}
    told = set(re.findall(r"^\| \[app/(\w+)\]", TEXT, re.M))
    assert told == rooms


def test_every_address_told_is_served_and_every_one_served_is_told(app: Flask) -> None:
    section = TEXT.split("## Addresses")[1].split("\n## ")[0]
    told = {
        address for line in re.findall(r"^\| (`[^|]+`) \|", section, re.M) for address in re.findall(r"`([^`]+)`", line)
    }
    served = {rule.rule for rule in app.url_map.iter_rules()}
    assert told <= served
    plain = {rule for rule in served if "<" not in rule and not rule.startswith("/fhir/_") and rule != "/fhir/"}
    assert plain <= told


def test_every_target_of_the_makefile_is_told() -> None:
    makefile = (ROOT / "Makefile").read_text()
    section = TEXT.split("## Commands")[1].split("<!--")[0]
    for target in re.findall(r"^([a-z]+):.*##", makefile, re.M):
        assert target in section, target


def test_the_changelog_opens_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+?),? ", text, re.M)[0] == __version__


def test_the_documents_name_no_path_of_a_machine() -> None:
    for name in ("README.md", "CHANGELOG.md"):
        assert not re.findall(r"(?:^|[\s(`])/(?:home|work|root|tmp|Users)/", (ROOT / name).read_text()), name
