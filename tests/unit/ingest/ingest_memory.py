"""A registry in memory for tests of what ingest decides; the adapter over the real one is tested in tests/e2e."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.ingest.identity import Identifier, Known, Person
from app.ingest.registry import Conflict, Held


@dataclass
class Memory:
    patients: list[Known] = field(default_factory=list)
    studies: dict[str, tuple[dict[str, Any], int]] = field(default_factory=dict)
    held: dict[tuple[str, str], Held] = field(default_factory=dict)
    choices: dict[Person, str] = field(default_factory=dict)
    writes: int = 0

    def find_patients(self, identifiers: Sequence[Identifier]) -> list[Known]:
        wanted = set(identifiers)
        return [known for known in self.patients if wanted & known.identifiers]

    def chosen(self, person: Person) -> str | None:
        return self.choices.get(person)

    def find_study(self, uid: str) -> tuple[dict[str, Any], int] | None:
        return copy.deepcopy(self.studies.get(uid))

    def studies_of(self, endpoint: str) -> Iterable[str]:
        reference = {"reference": endpoint}
        return [uid for uid, (study, _version) in self.studies.items() if reference in study.get("endpoint", [])]

    def foreign(self, study_uid: str, sop_uids: Sequence[str]) -> bool:
        wanted = set(sop_uids)
        return any(
            found["uid"] in wanted
            for uid, (study, _version) in self.studies.items()
            if uid != study_uid
            for series in study.get("series", [])
            for found in series.get("instance", [])
        )

    def put_study(self, resource: dict[str, Any], version: int | None) -> None:
        uid = resource["identifier"][0]["value"].removeprefix("urn:oid:")
        current = self.studies.get(uid)
        if (current[1] if current else None) != version:
            raise Conflict
        self.writes += 1
        self.studies[uid] = (copy.deepcopy(resource), (version or 0) + 1)

    def hold(self, held: Held) -> None:
        self.held[(held.study_uid, held.endpoint)] = held

    def unknown(self, most: int) -> list[Held]:
        return [one for one in self.held.values() if one.code == "unknown-patient"][:most]

    def settle(self, study_uid: str, endpoint: str) -> None:
        self.held.pop((study_uid, endpoint), None)
