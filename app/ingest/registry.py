"""What ingest needs of the registry, as a port: the interactions adapter and tests stand behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.ingest.identity import Identifier, Known, Person


class Rejected(Exception):
    """The registry would not take a resource. The text is safe to print."""


class Conflict(Exception):
    """The study changed since it was read: read it again."""


@dataclass(frozen=True, slots=True)
class Held:
    """A study that waits for review: all that is needed to show it to a person and to write it once decided."""

    study_uid: str
    endpoint: str
    code: str
    reason: str
    person: Person
    resource: dict[str, Any]


class Registry(Protocol):
    """Acts for one archive client. Nothing here can create a Patient."""

    def find_patients(self, identifiers: Sequence[Identifier]) -> list[Known]:
        """Patients with any of these identifiers."""

    def chosen(self, person: Person) -> str | None:
        """The patient (`Patient/x`) whom a person at the desk found these very words of this archive to mean."""

    def find_study(self, uid: str) -> tuple[dict[str, Any], int] | None:
        """The study with this UID and its version."""

    def studies_of(self, endpoint: str) -> Iterable[str]:
        """UIDs of the available studies that this endpoint holds."""

    def foreign(self, study_uid: str, sop_uids: Sequence[str]) -> bool:
        """Whether any of these instances is known in a study other than this one, whoever may see that."""

    def put_study(self, resource: dict[str, Any], version: int | None) -> None:
        """Write a study: new when `version` is None, else over exactly that version. Raises Conflict, Rejected."""

    def hold(self, held: Held) -> None:
        """Keep a study for review, in place of an earlier one from the same endpoint."""

    def unknown(self, most: int) -> list[Held]:
        """Studies of this archive that wait for their patient to become known, those not tried for the longest."""

    def settle(self, study_uid: str, endpoint: str) -> None:
        """The study could be written: nothing of it waits any more."""
