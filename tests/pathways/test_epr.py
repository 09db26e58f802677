"""$process-message: episodes from Encounters and Appointments by the table, whatever the order, repetition or delay of what
is sent (nhs.md, section 4); who may send, and what is wrong with a message."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, permutations
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app.pathways.epr.derive import DAY, EFFECTS, TRIGGERS, Event, Joining, derive, history, links
from tests.support import triggers
from tests.support.region import NHS, Caller, caller, consent, patient

V2 = "http://terminology.hl7.org/CodeSystem/v2-0003"
VISITS = "https://rxb.example/visits"
SEARCH = "/ImagingStudy?patient=p2"


def visit(trigger: str, at: str, number: str = "V1", **more: Any) -> dict[str, Any]:
    """A message about a visit of p2, recorded at `at`; `start` and `end` of the visit, `booked` the appointment's number."""
    scheduled = trigger.startswith("S")
    start, end, booked = more.pop("start", None), more.pop("end", None), more.pop("booked", None)
    times = {name: value for name, value in (("start", start), ("end", end)) if value}
    who = {"identifier": {"system": NHS, "value": "9990000026"}, "type": "Patient"}
    resource: dict[str, Any] = {
        "resourceType": "Appointment" if scheduled else "Encounter",
        "id": "v",
        "identifier": [{"system": VISITS, "value": number}],
        "status": "booked" if scheduled else "in-progress",
    }
    resource |= (
        {"participant": [{"actor": who}]} | times
        if scheduled
        else {"subject": who} | ({"period": times} if times else {})
    )
    if booked:
        resource["appointment"] = [{"identifier": {"system": VISITS, "value": booked}}]
    return message(trigger, at, resource, more.pop("control", f"{trigger}-{number}-{at}"), **more)


def message(
    trigger: str | None, at: str, focus: dict[str, Any], control: str, *others: dict[str, Any]
) -> dict[str, Any]:
    header: dict[str, Any] = {
        "resourceType": "MessageHeader",
        "id": "h",
        "source": {"endpoint": "mllp://epr.rxb.example"},
        "focus": [{"reference": f"{focus['resourceType']}/{focus['id']}"}],
    }
    if trigger:
        header["eventCoding"] = {"system": V2, "code": trigger}
    return {
        "resourceType": "Bundle",
        "type": "message",
        "identifier": {"system": "https://rxb.example/messages", "value": control},
        "timestamp": at,
        "entry": [{"resource": header}, {"resource": focus}, *({"resource": one} for one in others)],
    }


@pytest.fixture
def epr(app: Flask, steward: Caller) -> Caller:
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    return caller(app)


def send(epr: Caller, *messages: dict[str, Any]) -> TestResponse:
    for one in messages:
        answer = epr.post("/$process-message", one)
        assert answer.status_code == 200, answer.text
        assert answer.json["entry"][0]["resource"]["response"] == {
            "identifier": one["identifier"]["value"], "code": "ok",
        }  # fmt: skip
    return answer


def episodes(epr: Caller, patient: str = "p2") -> list[dict[str, Any]]:
    """Without what differs from run to run."""
    found = epr.get(f"/EpisodeOfCare?patient={patient}").json.get("entry", ())
    return [{name: value for name, value in one["resource"].items() if name != "meta"} for one in found]


def only(epr: Caller) -> tuple[str, str | None, str | None]:
    (one,) = episodes(epr)
    period = one["period"]
    return one["status"], period.get("start", "")[:10], period.get("end", "")[:10] or None


BOOKED = visit("S12", "2026-03-01T09:00:00Z", "A1", start="2026-03-20T09:00:00Z")
MOVED = visit("S13", "2026-03-02T09:00:00Z", "A1", start="2026-03-27T09:00:00Z")
CANCELLED = visit("S15", "2026-03-03T09:00:00Z", "A1")
ATTENDED = visit("A04", "2026-03-27T09:05:00Z", "V1", start="2026-03-27T09:05:00Z", booked="A1")
GONE = visit("A03", "2026-03-27T11:00:00Z", "V1", start="2026-03-27T09:05:00Z", end="2026-03-27T11:00:00Z")
BACK = visit("A13", "2026-03-27T11:30:00Z", "V1")
NOT_THERE = visit("A11", "2026-03-27T12:00:00Z", "V1")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([BOOKED], ("planned", "2026-03-20", None)),
        ([BOOKED, MOVED], ("planned", "2026-03-27", None)),
        ([BOOKED, CANCELLED], ("cancelled", "2026-03-20", None)),
        ([BOOKED, CANCELLED, visit("A05", "2026-03-04T09:00:00Z", "V9", start="2026-04-01T09:00:00Z")],
         ("planned", "2026-04-01", None)),
        ([BOOKED, MOVED, ATTENDED], ("active", "2026-03-27", None)),
        ([visit("A01", "2026-03-05T09:00:00Z")], ("active", "2026-03-05", None)),
        ([BOOKED, MOVED, ATTENDED, GONE], ("finished", "2026-03-27", "2026-03-27")),
        ([ATTENDED, GONE, BACK], ("active", "2026-03-27", None)),
        ([BOOKED, MOVED, ATTENDED, NOT_THERE], ("planned", "2026-03-27", None)),
        ([visit("A01", "2026-03-05T09:00:00Z"), visit("A11", "2026-03-05T10:00:00Z")], ("entered-in-error", "2026-03-05", None)),
        ([visit("A01", "2026-03-05T09:00:00Z"), visit("A23", "2026-03-05T10:00:00Z")], ("entered-in-error", "2026-03-05", None)),
        ([visit("I12", "2026-03-05T09:00:00Z", "R1")], ("waitlist", "2026-03-05", None)),
        ([visit("A04", "2026-03-05T09:00:00Z"), visit("S12", "2026-03-05T10:00:00Z", "A2", start="2026-04-01T09:00:00Z"),
          visit("A03", "2026-03-05T11:00:00Z")], ("active", "2026-03-05", None)),
        ([visit("A04", "2025-03-05T09:00:00Z"), visit("A03", "2025-03-05T11:00:00Z"),
          visit("S12", "2026-03-05T10:00:00Z", "A2", start="2026-04-01T09:00:00Z")], ("planned", "2026-04-01", None)),
    ],
)  # fmt: skip
def test_each_line_of_the_table(
    epr: Caller, messages: list[dict[str, Any]], expected: tuple[str, str, str | None]
) -> None:
    send(epr, *messages)
    assert only(epr) == expected


def test_every_order_and_repetition_gives_the_same_episode(app: Flask, steward: Caller) -> None:
    """On both databases, over HTTP: the whole resource but for its version."""
    made = []
    for number, order in enumerate(list(permutations([BOOKED, MOVED, ATTENDED, GONE]))[::3]):
        steward.put(f"/Patient/q{number}", patient(f"q{number}", f"999000{number:04}"[:9] + "0") | {"identifier": [
            {"system": "https://rxb.example/mrn", "value": f"m{number}"}]})  # fmt: skip
        epr = caller(app)
        for one in (*order, order[0], order[-1]):
            send(epr, renamed(one, number))
        (episode,) = episodes(epr, f"q{number}")
        made.append({name: value for name, value in episode.items() if name not in ("id", "patient")})
    assert all(one == made[0] for one in made)
    assert [one["status"] for one in made[0]["statusHistory"]] == ["planned", "active", "finished"]


def renamed(sent: dict[str, Any], number: int) -> dict[str, Any]:
    """The same about another patient."""
    text = str(sent)
    assert "9990000026" in text
    who = {"system": "https://rxb.example/mrn", "value": f"m{number}"}

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("value") == "9990000026":
                return who
            return {key: walk(one) for key, one in value.items()}
        return [walk(one) for one in value] if isinstance(value, list) else value

    changed: dict[str, Any] = walk(sent)
    return changed | {"identifier": {"value": f"{sent['identifier']['value']}-{number}"}}


def test_access_follows_the_messages(app: Flask, steward: Caller, epr: Caller) -> None:
    from tests.support.region import study

    steward.put("/ImagingStudy/s2", study("s2", "1.2.826.0.1.3680043.8.498.2", subject="p2"))
    assert epr.get(SEARCH).status_code == 403
    send(epr, visit("A01", "2026-03-05T09:00:00Z"))
    assert epr.ids(SEARCH) == ["s2"]
    send(epr, visit("A03", "2026-03-05T11:00:00Z"))
    assert epr.get(SEARCH).status_code == 403


def test_a_status_is_an_event_where_the_header_states_none(epr: Caller) -> None:
    who = {"identifier": {"system": NHS, "value": "9990000026"}}
    encounter = {
        "resourceType": "Encounter",
        "id": "v",
        "identifier": [{"system": VISITS, "value": "V1"}],
        "subject": who,
    }
    for status, at, expected in (
        ("planned", "2026-03-01T09:00:00Z", "planned"),
        ("in-progress", "2026-03-02T09:00:00Z", "active"),
        ("finished", "2026-03-03T09:00:00Z", "finished"),
        ("entered-in-error", "2026-03-04T09:00:00Z", "entered-in-error"),
    ):
        focus = encounter | {"status": status, "period": {"start": at}}
        sent = message(None, at, focus, at) | {}
        sent["entry"][0]["resource"]["eventUri"] = "https://rxb.example/encounter-changed"
        send(epr, sent)
        assert only(epr)[0] == expected


def test_a_patient_whom_nobody_knows_yet_comes_with_the_message(app: Flask, epr: Caller) -> None:
    new = patient("local", "9990000042")
    sent = visit("A01", "2026-03-05T09:00:00Z")
    sent["entry"][1]["resource"]["subject"] = {"reference": "Patient/local"}
    sent["entry"].append({"resource": new})
    send(epr, sent)
    second = visit("A03", "2026-03-05T10:00:00Z")
    second["entry"][1]["resource"]["subject"] = {"reference": "Patient/local"}
    second["entry"].append({"resource": new})
    send(epr, second)
    (found,) = epr.get(f"/Patient?identifier={NHS}|9990000042").json["entry"]
    (one,) = episodes(epr, found["resource"]["id"])
    assert one["status"] == "finished"


def test_visits_that_name_their_referral_or_episode_are_apart_from_others(epr: Caller) -> None:
    other = visit("A01", "2026-03-05T09:00:00Z", "V2")
    other["entry"][1]["resource"]["episodeOfCare"] = [
        {"identifier": {"system": "https://rxb.example/pathways", "value": "P1"}}
    ]
    send(epr, BOOKED, other)
    found = {one["status"]: one.get("identifier") for one in episodes(epr)}
    assert found == {"planned": None, "active": [{"system": "https://rxb.example/pathways", "value": "P1"}]}


def test_a_merge_links_the_records_in_whatever_order_it_comes(app: Flask, steward: Caller) -> None:
    states = []
    for number, order in enumerate(((0, 1), (1, 0))):
        gone, kept = f"g{number}", f"k{number}"
        for id in (gone, kept):
            steward.put(f"/Patient/{id}", patient(id) | {
                "identifier": [{"system": "https://rxb.example/mrn", "value": id}],
                "managingOrganization": {"reference": "Organization/rxb"},
            })  # fmt: skip
        admitted = visit("A01", "2026-03-05T09:00:00Z", f"V{number}")
        admitted["entry"][1]["resource"]["subject"] = {"reference": f"Patient/{gone}"}
        focus = {
            "resourceType": "Patient", "id": gone, "identifier": [{"system": "https://rxb.example/mrn", "value": gone}],
            "link": [{"type": "replaced-by", "other": {"identifier": {"system": "https://rxb.example/mrn", "value": kept}}}],
        }  # fmt: skip
        merge = message("A40", "2026-03-06T09:00:00Z", focus, f"merge-{number}")
        epr = caller(app)
        send(epr, *([admitted, merge][one] for one in order), merge)
        linked = steward.get(f"/Patient/{gone}").json["link"]
        assert linked == [{"type": "replaced-by", "other": {"reference": f"Patient/{kept}"}}]
        states.append([one["status"] for one in episodes(epr, gone)])
    assert states == [["active"], ["active"]]


def records(steward: Caller, *names: str) -> None:
    for id in names:
        steward.put(f"/Patient/{id}", patient(id) | {
            "identifier": [{"system": "https://rxb.example/mrn", "value": id}],
            "managingOrganization": {"reference": "Organization/rxb"},
        })  # fmt: skip


def joined(trigger: str, at: str, gone: str, kept: str, kind: str = "replaced-by") -> dict[str, Any]:
    other = {"identifier": {"system": "https://rxb.example/mrn", "value": kept}}
    mrn = [{"system": "https://rxb.example/mrn", "value": gone}]
    focus = {"resourceType": "Patient", "id": gone, "identifier": mrn, "link": [{"type": kind, "other": other}]}
    return message(trigger, at, focus, f"{trigger}-{gone}-{kept}-{at}")


def told_links(steward: Caller, *names: str) -> list[list[tuple[str, str]]]:
    return [
        [(one["type"], one["other"]["reference"]) for one in steward.get(f"/Patient/{id}").json.get("link", ())]
        for id in names
    ]


@pytest.mark.attack(59)
def test_a_merge_that_is_undone_gives_each_record_its_own_again_in_whatever_order_it_comes(
    app: Flask, steward: Caller
) -> None:
    epr = caller(app)
    for number, order in enumerate(permutations(range(3))):
        gone, kept = f"g{number}", f"k{number}"
        records(steward, gone, kept)
        told = [
            joined("A24", "2026-03-05T09:00:00Z", gone, kept, "seealso"),
            joined("A40", "2026-03-06T09:00:00Z", gone, kept),
            joined("A37", "2026-03-07T09:00:00Z", kept, gone),
        ]
        send(epr, *(told[one] for one in order), *(told[one] for one in order))
        assert told_links(steward, gone, kept) == [[], []], order
        send(epr, joined("A40", "2026-03-08T09:00:00Z", gone, kept))
        assert told_links(steward, gone, kept) == [[("replaced-by", f"Patient/{kept}")], []], order


@pytest.mark.attack(59)
def test_what_is_on_file_counts_for_both_while_merged_and_for_its_own_record_afterwards(
    app: Flask, steward: Caller
) -> None:
    epr, sight = caller(app), "/ImagingStudy?patient=p1"
    records(steward, "old")
    steward.put("/Patient/p1", patient() | {
        "identifier": [*patient()["identifier"], {"system": "https://rxb.example/mrn", "value": "p1"}],
        "managingOrganization": {"reference": "Organization/rxb"},
    })  # fmt: skip
    assert steward.put("/Consent/c1", consent(subject="old")).status_code == 201
    seen = [epr.ids(sight)]
    for told in (
        joined("A24", "2026-03-05T09:00:00Z", "old", "p1", "seealso"),
        joined("A40", "2026-03-06T09:00:00Z", "old", "p1"),
        joined("A37", "2026-03-07T09:00:00Z", "old", "p1"),
    ):
        send(epr, told)
        seen.append(epr.ids(sight))
    assert seen == [["s1"], ["s1"], [], ["s1"]]


@pytest.mark.attack(59)
def test_nobody_takes_apart_what_another_organisation_holds_together() -> None:
    a, b = "Patient/a", "Patient/b"
    ours = Joining("ods:RXA", 10, "merge", a, b, "1")
    assert links([ours, Joining("ods:RXB", 20, "unlink", b, a, "2")]) == {(a, "replaced-by", b)}
    assert links([ours, Joining("ods:RXA", 20, "unlink", b, a, "2")]) == frozenset()
    assert links([ours, Joining("ods:RXB", 20, "link", a, b, "2")]) == {(a, "replaced-by", b)}
    assert links([Joining("ods:RXB", 20, "link", a, b, "2")]) == {(a, "seealso", b)}
    assert links([ours, Joining("ods:RXA", 10, "unlink", a, b, "0")]) == frozenset()  # of one instant


def test_a_control_id_is_good_for_one_message(epr: Caller) -> None:
    send(epr, BOOKED, BOOKED)
    other = visit("S15", "2026-03-03T09:00:00Z", "A1", control=BOOKED["identifier"]["value"])
    answer = epr.post("/$process-message", other)
    assert (answer.status_code, answer.json["issue"][0]["expression"]) == (409, ["Bundle.identifier.value"])
    assert only(epr)[0] == "planned"


def test_only_the_organisations_own_record_system_is_believed(app: Flask, steward: Caller, epr: Caller) -> None:
    """Attack 49: nobody makes the episode of another organisation, and a person makes none at all."""
    for who in (
        caller(app, "app", "RXB", "user/*.cruds", role="clinician", practitioner="Practitioner/dr"),
        caller(app, "archive", "RXB"),
        caller(app, scope="system/Patient.rs system/ImagingStudy.rs", ods="RXC"),
    ):
        assert who.post("/$process-message", BOOKED).status_code == 403
    send(caller(app, ods="RXC"), BOOKED)
    (one,) = episodes(steward)
    assert one["managingOrganization"]["identifier"]["value"] == "RXC"
    send(epr, BOOKED)
    assert len(episodes(steward)) == 2


def broken(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    from copy import deepcopy

    sent = deepcopy(BOOKED)
    change(sent)
    return sent


def _set(*path: Any) -> Callable[[dict[str, Any]], Any]:
    *steps, last, value = path

    def change(sent: Any) -> None:
        for step in steps:
            sent = sent[step]
        sent[last] = value

    return change


FOCUS = ("entry", 1, "resource")


@pytest.mark.parametrize(
    ("change", "status", "place"),
    [
        (_set("type", "collection"), 400, "Bundle.type"),
        (_set("entry", []), 422, "Bundle.entry[0].resource"),
        (_set("entry", "x"), 422, "Bundle.entry[0].resource"),
        (_set("timestamp", "yesterday"), 422, "Bundle.timestamp"),
        (_set("timestamp", None), 422, "Bundle.timestamp"),
        (_set("identifier", {"value": "x" * 201}), 422, "Bundle.identifier.value"),
        (_set("identifier", {"value": "a\nb"}), 422, "Bundle.identifier.value"),
        (_set("entry", 0, "resource", "source", {}), 422, "Bundle.entry[0].resource.ofType(MessageHeader).source.endpoint"),
        (_set("entry", 0, "resource", "focus", []), 422, "Bundle.entry[0].resource.ofType(MessageHeader).focus"),
        (_set("entry", 0, "resource", "eventCoding", {"system": V2, "code": "A99"}), 422,
         "Bundle.entry[0].resource.ofType(MessageHeader).eventCoding"),
        (_set("entry", 0, "resource", "eventCoding", {"system": V2, "code": "A40"}), 422,
         "Bundle.entry[0].resource.ofType(MessageHeader).focus"),
        (_set(*FOCUS, "identifier", []), 422, "Appointment.identifier"),
        (_set(*FOCUS, "participant", []), 422, "Appointment.subject"),
        (_set(*FOCUS, "participant", "x"), 422, "Appointment.subject"),
        (_set(*FOCUS, "start", "soon"), 422, "Appointment.start"),
        (_set(*FOCUS, "participant", 0, "actor", {"reference": "Patient/nobody"}), 422, None),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_message_is_named(
    epr: Caller, change: Callable[[Any], Any], status: int, place: str | None
) -> None:
    answer = epr.post("/$process-message", broken(change))
    assert answer.status_code == status, answer.text
    assert answer.json["issue"][0].get("expression", [None]) == [place]
    assert episodes(epr) == []


# The derivation itself ---------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.builds(
        Event,
        id=st.uuids().map(str),
        at=st.integers(0, 60).map(lambda day: day * DAY),
        effect=st.sampled_from(EFFECTS),
        keys=st.frozensets(st.sampled_from("abc"), min_size=1, max_size=2),
        start=st.none() | st.integers(0, 90).map(lambda day: day * DAY),
        end=st.none() | st.integers(0, 90).map(lambda day: day * DAY),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300)
@given(EVENTS, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_any_events_give_one_state(events: list[Event], random: Any) -> None:
    mixed = [*events, *random.choices(events, k=3)]
    random.shuffle(mixed)
    assert derive(mixed) == derive(events)
    assert history(mixed) == history(events)


@settings(max_examples=300)
@given(EVENTS)
def test_a_history_is_in_order_and_ends_with_the_state(events: list[Event]) -> None:
    line, state = history(events), derive(events)
    assert state is not None and line[-1].status == state.status and line[-1].end is None
    assert all(one.end == other.start for one, other in pairwise(line))
    assert state.end is None or state.end >= state.start


def test_every_trigger_has_an_effect_that_is_known() -> None:
    assert {effect for effect, _ in TRIGGERS.values()} == set(EFFECTS)


MESSAGES = [BOOKED, MOVED, CANCELLED, ATTENDED, GONE, BACK, NOT_THERE]


@settings(max_examples=12)
@given(st.lists(st.sampled_from(range(len(MESSAGES))), min_size=3, max_size=9), st.integers(0, 10**9))
def test_any_sequence_of_messages_gives_what_its_set_gives(
    app_of_module: dict[str, Any], sequence: list[int], salt: int
) -> None:
    """Over HTTP on both databases: whatever is sent, in whatever order, how often; against the set sent in order."""
    made = []
    for way, order in (("mixed", sequence), ("sorted", sorted(set(sequence)))):
        number = app_of_module["next"] = app_of_module["next"] + 1
        id = f"h{number}"
        app_of_module["steward"].put(f"/Patient/{id}", patient(id) | {
            "identifier": [{"system": "https://rxb.example/mrn", "value": f"m{number}"}]})  # fmt: skip
        for place in order:
            send(app_of_module["epr"], renamed(MESSAGES[place], number))
        (episode,) = episodes(app_of_module["epr"], id)
        made.append({name: value for name, value in episode.items() if name not in ("id", "patient")})
        del way
    assert made[0] == made[1]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def app_of_module(
    request: pytest.FixtureRequest, module_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    from app import create_app
    from app.config import Settings
    from tests.support.region import settle

    keys = str(tmp_path_factory.mktemp("keys"))
    app = create_app(Settings(database_url=module_database(request.param), keys_dir=keys, log_level="error"))
    yield {"steward": settle(app), "epr": caller(app), "next": 0}
    app.extensions["services"].store.close()


def test_the_guide_for_engines_lists_every_trigger() -> None:
    text = triggers.GUIDE.read_text()
    assert triggers.renewed(text) == text, "run `python -m tests.support.triggers --write`"
