"""Every recorded decision made again from what was on file then: the same code, on a copy that grows through history.

The copy is a database of its own, to which each version is written in the order in which it was. At the instant of a
record the decision is made with the choices in force then (kept by their hash), and held against what was recorded. A
version written in the minute before may not have been committed when the decision was made: where all of them do not
give the recorded answer, fewer are tried, as the decision may have seen them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from app.access import information
from app.access.enforcement import Enforcement
from app.access.reasoning import reasoned
from app.access.subject import Subject
from app.access.view import view
from app.policy.decide import Person, decide
from app.policy.grant import Grant, Reasoned
from app.policy.model import Request
from app.policy.study import compile_study
from app.policy.switches import CHOICES, Switches
from app.storage import hindsight, policies, resources, schema
from app.storage.engine import Store, Tx
from app.storage.projection import resolver
from app.storage.resources import Stored

OPEN_FOR = 60_000_000  # microseconds for which a transaction may have been open
AHEAD = 1_000_000
STATED = ("effect", "reasons", "basis", "obligations", "until")


@dataclass
class Report:
    """`decisions` were made again; `permissions` rest on the table of permissions alone, and are counted only."""

    decisions: int = 0
    permissions: int = 0
    differences: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"decisions": self.decisions, "permissions": self.permissions, "differences": self.differences}


class _Undo(Exception):
    pass


def replay(store: Store, enforcement: Enforcement, since: int = 0) -> Report:
    """Make each decision recorded from `since` on (microseconds UTC) again."""
    report = Report()
    with store.begin(reads=True) as tx:
        grant = enforcement.for_deciding(
            tx, "REPLAY", *hindsight.EVERYBODYS, *hindsight.PERSONAL, "ImagingStudy", "AuditEvent"
        )
        said = [orjson.loads(one.body) for one in hindsight.records(tx, grant, since)]
        concerned = {one["patient"].removeprefix("Patient/") for one in said if one.get("patient")}
        versions = hindsight.versions(tx, grant, hindsight.patients(tx, concerned))
        with tempfile.TemporaryDirectory(prefix="registry-replay-") as folder:
            copy = Copy(f"sqlite:///{folder}/copy.db", grant, versions, store.zone)
            try:
                for one in said:
                    _again(tx, copy, grant, one, report)
            finally:
                copy.close()
    return report


def _again(tx: Tx, copy: Copy, grant: Grant, said: dict[str, Any], report: Report) -> None:
    if not said.get("decision"):
        return
    if "effect" not in said:
        report.permissions += 1
        return
    report.decisions += 1
    kept = policies.find(tx, said["policy"])
    if kept is None:
        report.differences.append(f"{said['id']}: the policy {said['policy']} it was made by was not kept")
        return
    switches = of_choices(*kept)
    study = _study(tx, grant, said)
    glass = hindsight.emergency_grants(tx, said["patient"].removeprefix("Patient/"), said["decided"])
    recorded = {name: list(said[name]) if isinstance(said[name], list) else said[name] for name in STATED}
    found: dict[str, Any] = {}
    for answer in copy.answers(said, switches, study, list(glass)):
        found = found or answer
        if answer == recorded:
            return
    wrong = [
        f"{name} was {recorded[name]}, is {found.get(name)}" for name in STATED if recorded[name] != found.get(name)
    ]
    report.differences.append(f"{said['id']}: {'; '.join(wrong)}")


def _study(tx: Tx, grant: Grant, said: dict[str, Any]) -> tuple[Stored, str] | None:
    """The study that a decision about one alone was about, and the action."""
    if said["interaction"] != "operation" or said["type"] != "ImagingStudy" or ": " not in said["detail"]:
        return None
    named = [one for one in (*said.get("asked", ()), *said["entities"]) if one.startswith("ImagingStudy/")]
    one = hindsight.version(tx, grant, named[0]) if named else None
    return (one, said["detail"].rsplit(": ", 1)[1]) if one is not None else None


def of_choices(version: str, body: str) -> Switches:
    """A set of choices as it was kept."""
    return Switches(version=version, **{name: CHOICES[name].read(value) for name, value in json.loads(body).items()})


class Copy:
    """The database that grows."""

    def __init__(self, url: str, grant: Grant, versions: Sequence[Stored], zone: str) -> None:
        self.store = Store(url, zone=zone)
        schema.upgrade(self.store)
        self.grant = grant
        self.versions = versions
        self.done = 0

    def close(self) -> None:
        self.store.close()

    def answers(
        self,
        said: dict[str, Any],
        switches: Switches,
        study: tuple[Stored, str] | None,
        glass: Sequence[tuple[Any, ...]],
    ) -> Iterator[dict[str, Any]]:
        """What the decision would have said, of everything written until then; then of less, and of what came just after."""
        at = said["decided"]
        self._settle(at - OPEN_FOR)
        recent = [one for one in self.versions[self.done :] if one.updated <= at + AHEAD]
        certain = len([one for one in recent if one.updated <= at])
        order = [certain, *range(certain - 1, -1, -1), *range(certain + 1, len(recent) + 1)]
        for count in order[:64]:
            yield self._answer(said, switches, study, glass, recent[:count])
        for left_out in range(min(certain, 32)):
            yield self._answer(said, switches, study, glass, [*recent[:left_out], *recent[left_out + 1 : certain]])

    def _settle(self, until: int) -> None:
        while self.done < len(self.versions) and self.versions[self.done].updated <= until:
            one = self.versions[self.done]
            self.store.clock = lambda one=one: one.updated  # type: ignore[misc]
            with self.store.begin() as tx:
                self._write(tx, one)
            self.done += 1

    def _write(self, tx: Tx, one: Stored) -> None:
        grant = replace(self.grant, writer=one.owner)
        current = resources.get(tx, self.grant, one.type, one.id)
        if one.deleted:
            if current is not None and not current.deleted:
                resources.delete(tx, grant, current)
            return
        content = orjson.loads(one.content)
        if current is None:
            resources.create(tx, grant, content, one.id, "PUT")
        else:
            resources.update(tx, grant, current, content)

    def _answer(
        self,
        said: dict[str, Any],
        switches: Switches,
        study: tuple[Stored, str] | None,
        glass: Sequence[tuple[Any, ...]],
        recent: Sequence[Stored],
    ) -> dict[str, Any]:
        self.store.clock = lambda: said["decided"]
        answer: list[Reasoned] = []
        try:
            with self.store.begin() as tx:
                for one in recent:
                    self._write(tx, one)
                hindsight.put_emergency_grants(tx, said["patient"].removeprefix("Patient/"), glass)
                answer.append(_decide(tx, said, switches, study))
                raise _Undo
        except _Undo:
            pass
        return {name: _plain(getattr(answer[0], name)) for name in STATED}


def _decide(tx: Tx, said: dict[str, Any], switches: Switches, study: tuple[Stored, str] | None) -> Reasoned:
    subject = Subject(
        client_id=said["client"],
        kind=said["kind"],
        organisation=said["organisation"],
        role=said["role"],
        purpose=said["purpose"],
        practitioner=said["practitioner"],
        patient=said["self"],
        expires=said["expires"],
        emergency=said.get("emergency"),
    )
    enforcement = Enforcement(switches)
    requester = enforcement.requester(tx, subject)
    names = information.Names(ids=(said["patient"].removeprefix("Patient/"),))
    known = information.of_names(tx, names, sorted(requester.tree), requester.practitioner)
    if study is not None:
        one, action = study
        person = known.groups[0].person if known.groups else Person(frozenset())
        judged = replace(compile_study(orjson.loads(one.content), resolver(tx), one.owner, tx.zone), ref=one.ref)
        decision = decide(
            Request(requester, subject.purpose, action, grant=subject.emergency), person, judged, switches, tx.at
        )
        basis = tuple(item for item in decision.basis if not item.startswith("policy:"))
        return Reasoned(decision.effect, decision.reasons, basis, decision.obligations, decision.expires)
    seen = view(switches, subject, requester, known, None, tx.at)
    return reasoned(seen.judged[0] if seen.judged else seen.otherwise)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
