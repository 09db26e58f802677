"""The guides of docs/ work as pasted, each against a server of its own, and answer what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import guides
from tests.support.guides import Request, differs, fault
from tests.support.server import Running

ROOT = guides.DOCS.parent


@pytest.mark.parametrize("guide", guides.guides(), ids=lambda path: path.stem)
def test_every_request_of_a_guide_answers_what_the_guide_says(guide: Path, tmp_path: Path) -> None:
    asked = guides.requests(guide.read_text())
    if not asked:
        return
    running = Running(tmp_path)
    running.start()
    try:
        script, mark = guides.script(asked)
        told = running.paste(script).split(f"\n{mark}\n")
        assert len(told) == len(asked) + 1
        wrong = [
            f"{guide.name}:{one.line}: {problem}\n{said[:1500]}"
            for one, said in zip(asked, told, strict=False)
            if (problem := fault(one, said))
        ]
        assert not wrong, "\n".join(wrong)
    finally:
        running.close()


@pytest.mark.parametrize("guide", guides.guides(), ids=lambda path: path.stem)
def test_every_link_of_a_guide_leads_somewhere_and_no_path_of_a_machine_is_named(guide: Path) -> None:
    text = guide.read_text()
    assert text.startswith("# ")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert "://" in target or (guide.parent / target).exists(), target
    assert not re.findall(r"(?:^|[\s(`])/(?:home|work|root|tmp|Users)/", text)


def test_an_answer_that_is_told_is_a_part_of_what_is_answered() -> None:
    found = {"total": 2, "entry": [{"id": "a", "size": 1}, {"id": "b"}], "at": "2026-01-01"}
    assert differs({"entry": [{"id": "b"}], "at": "2026…"}, found) == ""
    assert "$.total" in differs({"total": 3}, found)
    assert "$.total" in differs({"total": True}, {"total": 1})
    assert "is not there" in differs({"entry": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}, found)


def test_a_refusal_that_the_guide_does_not_tell_is_a_fault() -> None:
    refusal = json.dumps({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden"}]})
    assert fault(Request(1, "curl"), refusal)
    assert not fault(Request(1, "curl", "json", '{"issue": [{"code": "forbidden"}]}'), refusal)
    assert fault(Request(1, "curl", "text", "ready\n"), "not yet") and not fault(
        Request(1, "curl", "text", "ready …\n"), "it is ready now"
    )


def test_an_answer_belongs_to_the_block_directly_before_it() -> None:
    text = "# T\n\n```sh\na\n```\n\n```json\n{}\n```\n\nwords\n\n```sh\nb\n```\n\nwords\n\n```json\n{}\n```\n"
    assert [(one.line, one.paste, one.kind) for one in guides.requests(text)] == [(3, "a\n", "json"), (13, "b\n", "")]
