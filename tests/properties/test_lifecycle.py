"""The life of a patient's sharing: choices, care, merges and time, in any order, against a model of ten lines.

After each step trust B asks by every kind of request; what it is shown is what the model says, on both databases.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.access.enforcement import Enforcement
from app.access.subject import Subject
from app.config import Settings
from app.fhir.outcome import Fault
from app.fhir.temporal import format_instant
from app.interactions import Asked, Services, read, search, update
from app.policy.switches import Switches
from app.published import validator
from app.storage.engine import Store
from tests.properties.test_predicate_agrees import AT, filled, ids, world_store  # noqa: F401
from tests.support.region import STUDY_UID, consent, endpoint, episode, organization, patient, study

HOUR = 3_600_000_000
RECORDS = {"p1": "9990000018", "p2": "9990000026"}
STEWARD = Asked(Subject("steward", "steward", "ods:ZZZ", scopes=("system/*.cruds",)))
B = Asked(Subject("b", "backend", "ods:RXB", purpose="TREAT", scopes=("system/*.rs",)))


@dataclass
class Model:
    """What is on file: each record's choices as {id: (made, permits)}, B's episodes as {id: (record, status, low, high)}."""

    now: int = AT
    merged: bool = False
    choices: dict[str, dict[str, tuple[int, bool]]] = field(default_factory=lambda: {one: {} for one in RECORDS})
    episodes: dict[str, tuple[str, str, int, int]] = field(default_factory=dict)

    def shows(self, record: str) -> bool:
        """The newest choice of each of the person's records permits, and B has an active episode in its time."""
        person = RECORDS if self.merged else (record,)
        newest = [max(self.choices[one].values())[1] for one in person if self.choices[one]]
        care = [e for e in self.episodes.values() if e[0] in person and e[1] == "active" and e[2] <= self.now < e[3]]
        return bool(care) and all(newest)


class Lifecycle(RuleBasedStateMachine):
    """Drives the registry and the model together."""

    choices, episodes = Bundle("choices"), Bundle("episodes")
    store: Store

    @initialize()
    def begin(self) -> None:
        self.model = Model()
        self.made = 0
        self.store.clock = lambda: self.model.now
        self.services = Services(self.store, Enforcement(Switches()), Settings(), bytes.hex, bytes.fromhex, validator())
        people = [patient(*one) for one in RECORDS.items()]
        studies = [study(f"s-{one}", f"{STUDY_UID}.{one[1]}", subject=one) for one in RECORDS]
        filled(self.store, [organization("RXA"), organization("RXB"), endpoint(), *people, *studies])

    def put(self, resource: dict[str, Any]) -> None:
        update.update(self.services, STEWARD, resource["resourceType"], resource["id"], resource)

    def named(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}{self.made}"

    @rule(target=choices, record=st.sampled_from(sorted(RECORDS)), permits=st.booleans())
    def choose(self, record: str, permits: bool) -> tuple[str, str]:
        """A new choice; older ones stay as they were recorded."""
        self.model.now += 1_000_000
        id, made = self.named("c"), format_instant(self.model.now)
        self.put(consent(id, "permit" if permits else "deny", record, dateTime=made))
        self.model.choices[record][id] = (self.model.now, permits)
        return record, id

    @rule(choice=choices)
    def take_back(self, choice: tuple[str, str]) -> None:
        record, id = choice
        if found := self.model.choices[record].pop(id, None):
            permit = "permit" if found[1] else "deny"
            self.put(consent(id, permit, record, dateTime=format_instant(found[0]), status="inactive"))

    @rule(target=episodes, record=st.sampled_from(sorted(RECORDS)), begins=st.integers(-3, 3), lasts=st.integers(1, 6))
    def take_into_care(self, record: str, begins: int, lasts: int) -> str:
        id, low = self.named("e"), self.model.now + begins * HOUR
        self.model.episodes[id] = (record, "active", low, low + lasts * HOUR)
        self.put_episode(id)
        return id

    @rule(id=episodes, status=st.sampled_from(["active", "finished", "cancelled", "onhold"]))
    def follow(self, id: str, status: str) -> None:
        record, _, low, high = self.model.episodes[id]
        self.model.episodes[id] = (record, status, low, high)
        self.put_episode(id)

    @rule(id=episodes, record=st.sampled_from(sorted(RECORDS)))
    def correct_the_patient(self, id: str, record: str) -> None:
        self.model.episodes[id] = (record, *self.model.episodes[id][1:])
        self.put_episode(id)

    def put_episode(self, id: str) -> None:
        record, status, low, high = self.model.episodes[id]
        # An end is the last instant of the period, at the precision that it states.
        period = {"start": format_instant(low), "end": format_instant(high - 1)}
        self.put(episode(id, subject=record, status=status, period=period))

    @rule(kind=st.sampled_from(["replaced-by", "replaces"]), says=st.sampled_from(sorted(RECORDS)))
    def merge(self, kind: str, says: str) -> None:
        if self.model.merged:
            return
        (other,) = RECORDS.keys() - {says}
        linked = {"link": [{"type": kind, "other": {"reference": f"Patient/{other}"}}]}
        self.put(patient(says, RECORDS[says]) | linked)
        self.model.merged = True

    @rule()
    def unmerge(self) -> None:
        for one in RECORDS.items():
            self.put(patient(*one))
        self.model.merged = False

    @rule(hours=st.integers(1, 4))
    def wait(self, hours: int) -> None:
        self.model.now += hours * HOUR

    @invariant()
    def b_is_shown_what_the_model_says(self) -> None:
        expected = {f"s-{one}" for one in RECORDS if self.model.shows(one)}
        everything = search.search(self.services, B, "ImagingStudy", [("_total", "accurate")])
        assert set(ids(everything)) == expected
        assert orjson.loads(everything.body or b"")["total"] == len(expected)
        for record in RECORDS:
            person = RECORDS if self.model.merged else (record,)
            try:
                found = set(ids(search.search(self.services, B, "ImagingStudy", [("patient", record)])))
            except Fault as fault:
                assert fault.status == 403
                found = set()
            assert found == expected & {f"s-{one}" for one in person}
            try:
                shown = read.read(self.services, B, "ImagingStudy", f"s-{record}").status == 200
            except Fault as fault:
                assert fault.status == 404
                shown = False
            assert shown == (f"s-{record}" in expected)


def test_what_is_shown_follows_every_change_of_choice_care_identity_and_time(
    world_store: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lifecycle, "store", world_store, raising=False)
    monkeypatch.setattr(world_store, "clock", world_store.clock)
    run_state_machine_as_test(Lifecycle, settings=settings(max_examples=25, stateful_step_count=25))
