"""The examples of `fhir_profiles/` and the cases of validation, ready to be tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpatch
import orjson

from app.fhir.outcome import Issue
from app.published import FOLDER

EXAMPLES = FOLDER / "examples"
CASES = Path(__file__).parents[1] / "validation" / "cases.json"

Resource = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A resource, and every issue that it has; none where it is right."""

    about: str
    resource: Resource
    issues: list[Resource]
    breaks: str = ""

    @property
    def right(self) -> bool:
        return not any(issue["severity"] == "error" for issue in self.issues)


def good() -> Iterator[tuple[str, Resource]]:
    """Each good example: `imaging-study/good-ct`, the resource."""
    for path in sorted(EXAMPLES.glob("*/good-*.json")):
        yield f"{path.parent.name}/{path.stem}", orjson.loads(path.read_bytes())


def bad() -> Iterator[tuple[str, Case]]:
    """Each bad example: the profile's folder, and the case with the name of the rule that it breaks."""
    for path in sorted(EXAMPLES.glob("*/bad.json")):
        for said in orjson.loads(path.read_bytes()):
            resource = orjson.loads((path.parent / said["example"]).read_bytes())
            changes = said.get("change") or [_repeated(said["repeat"])]
            yield (
                path.parent.name,
                Case(said["breaks"], jsonpatch.apply_patch(resource, changes), said["issues"], said["breaks"]),
            )


def _repeated(said: Resource) -> Resource:
    return {"op": "add", "path": said["path"], "value": [said["value"]] * said["times"]}


def cases() -> list[Case]:
    """The table of cases."""
    examples = dict(good())
    made = []
    for said in orjson.loads(CASES.read_bytes()):
        resource = said.get("resource")
        if resource is None:
            resource = jsonpatch.apply_patch(examples[said["from"]], said["change"])
        made.append(Case(said["about"], resource, said["issues"]))
    return made


def told(issues: list[Issue]) -> list[Resource]:
    """Issues as the table writes them."""
    return [
        {"severity": one.severity, "code": one.code, "expression": one.expression, "text": one.text} for one in issues
    ]
