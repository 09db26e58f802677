"""The doors by which a study can leave, each as a function: what the requester learns of the study through it.

A door answers None where the study does not appear at all, else what is shown of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from app.access.deciding import Asked as AskedOf
from app.access.enforcement import Enforcement
from app.access.explain import explained
from app.access.information import Names
from app.access.subject import Subject
from app.archives.authzen import Point
from app.archives.deciding import Gatekeeper
from app.config import Settings
from app.fhir.outcome import Fault
from app.fhir.registry import TYPES
from app.fhir.subscription import Watch
from app.interactions import (
    Asked,
    Services,
    everything,
    explain_access,
    exporting,
    history,
    manifest,
    pointers,
    read,
    search,
    transaction,
    vread,
)
from app.interactions.notifying import event_of
from app.policy.grant import Everything, Grant
from app.policy.switches import load
from app.published import validator
from app.smart.approvals import Authorization
from app.smart.authorize import Context
from app.smart.blueprint import introspected
from app.smart.keys import KeyStore
from app.smart.person import Person
from app.storage import authorizations, resources
from app.storage.authorizations import Family
from app.storage.engine import Store, Tx
from app.storage.subscriptions import Notice
from tests.cases.world import Case, World

STUDY = TYPES["ImagingStudy"].code
Shown = dict[str, Any] | None
ALL = Grant("test", 0, {name: (Everything(),) for name in TYPES})


@dataclass
class House:
    """A registry that holds the world of a case, at the instant of the case."""

    services: Services
    asked: Asked
    world: World

    @property
    def study_id(self) -> str:
        return self.world.study.split("/")[1]


def settled(case: Case, store: Store, keys: KeyStore) -> House:
    """Put the world of the case into an empty registry, refused resources too: they stand for data that came another way."""
    world = case.world()
    store.clock = lambda: world.at
    switches = load("\n".join(f"{name} = {orjson.dumps(value).decode()}" for name, value in world.switches.items()))
    services = Services(store, Enforcement(switches), Settings(), keys.seal, keys.open_seal, validator())
    store.retry(lambda tx: _fill(tx, world))
    who = world.requester
    subject = Subject(
        client_id=who["client"],
        kind="backend" if who["role"] == "system" else "app",
        organisation=who["organisation"],
        role=who["role"],
        purpose=world.purpose,
        scopes=("user/*.rs", "system/*.rs"),
        practitioner=who["practitioner"],
        patient=who["patient"],
    )
    return House(services, Asked(subject), world)


def _fill(tx: Tx, world: World) -> None:
    for resource in world.resources:
        if resource["resourceType"] not in TYPES:
            continue  # what the study refers to may be held elsewhere
        rest = {key: value for key, value in resource.items() if key != "id"}
        resources.create(tx, ALL, rest, resource["id"], "PUT")
    for one in world.grants:
        patient = tx.one("SELECT patient FROM person WHERE id = ?", one["patient"].split("/")[1])
        assert patient is not None
        tx.run(
            "INSERT INTO emergency_grant (patient, id, version, practitioner, organisation, low, high, reason, note, revoked)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            patient[0],
            one["ref"],
            one["version"],
            one["practitioner"],
            one["organisation"],
            one["start"],
            one["end"],
            one["reason"],
            "",
            one["revoked"],
        )


def _answer(work: Callable[[], Any]) -> dict[str, Any] | None:
    """The body of an answer; None where policy refuses it openly or hides what was asked for."""
    try:
        answer = work()
    except Fault as fault:
        assert fault.status in (403, 404), fault.text
        return None
    return orjson.loads(answer.body)  # type: ignore[no-any-return]


def _in_bundle(house: House, bundle: dict[str, Any] | None) -> Shown:
    entries = (bundle or {}).get("entry", [])
    found = [e["resource"] for e in entries if e.get("resource", {}).get("id") == house.study_id]
    return found[0] if found else None


def _search(house: House, type_name: str, *pairs: tuple[str, str], compartment: tuple[str, str] | None = None) -> Any:
    return _answer(lambda: search.search(house.services, house.asked, type_name, pairs, compartment))


def by_read(house: House) -> Shown:
    return _answer(lambda: read.read(house.services, house.asked, "ImagingStudy", house.study_id))


def by_manifest(house: House) -> Shown:
    try:
        answer = manifest.manifest(house.services, house.asked, house.study_id)
    except Fault as fault:
        # A role without UIDs is told so (P24), once the study is one that it may know of.
        return {"located": False} if fault.text == manifest.REDACTED else None
    study = _in_bundle(house, orjson.loads(answer.body or b""))
    assert study is not None
    return study | {"located": "endpoint" in study}


def by_pointer(house: House) -> Shown:
    return _answer(lambda: pointers.read(house.services, house.asked, house.study_id))


def by_pointer_search(house: House) -> Shown:
    pairs = (("subject", house.world.patient), ("type", "18748-4"), ("_total", "accurate"))
    found = _answer(lambda: pointers.search(house.services, house.asked, pairs))
    assert found is None or found["total"] == len(found.get("entry", ()))
    return _in_bundle(house, found)


def by_vread(house: House) -> Shown:
    return _answer(lambda: vread.vread(house.services, house.asked, "ImagingStudy", house.study_id, "1"))


def by_history(house: House) -> Shown:
    found = _answer(lambda: history.history(house.services, house.asked, (), "ImagingStudy", house.study_id))
    return _in_bundle(house, found)


def by_type_history(house: House) -> Shown:
    return _in_bundle(house, _answer(lambda: history.history(house.services, house.asked, (), "ImagingStudy")))


def by_patient_search(house: House) -> Shown:
    return _in_bundle(house, _search(house, "ImagingStudy", ("patient", house.world.patient)))


def by_identifier_search(house: House) -> Shown:
    patient = next(r for r in house.world.resources if f"Patient/{r['id']}" == house.world.patient)
    named = patient["identifier"][0]
    value = f"{named['system']}|{named['value']}"
    return _in_bundle(house, _search(house, "ImagingStudy", ("patient.identifier", value)))


def by_search_of_everything(house: House) -> Shown:
    return _in_bundle(house, _search(house, "ImagingStudy"))


def by_id_search(house: House) -> Shown:
    return _in_bundle(house, _search(house, "ImagingStudy", ("_id", house.study_id)))


def by_count(house: House) -> Shown:
    found = _search(house, "ImagingStudy", ("_id", house.study_id), ("_summary", "count"))
    return found if found and found["total"] else None


def by_compartment(house: House) -> Shown:
    id = house.world.patient.split("/")[1]
    return _in_bundle(house, _search(house, "ImagingStudy", compartment=("Patient", id)))


def by_reverse_include(house: House) -> Shown:
    id = house.world.patient.split("/")[1]
    return _in_bundle(house, _search(house, "Patient", ("_id", id), ("_revinclude", "ImagingStudy:patient")))


def by_batch(house: House) -> Shown:
    entry = {"request": {"method": "GET", "url": house.world.study}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    return _in_bundle(house, _answer(lambda: transaction.process(house.services, house.asked, bundle)))


def by_transaction(house: House) -> Shown:
    entry = {"request": {"method": "GET", "url": f"ImagingStudy?_id={house.study_id}"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    found = _answer(lambda: transaction.process(house.services, house.asked, bundle))
    return _in_bundle(house, found["entry"][0]["resource"] if found else None)


def by_system_history(house: House) -> Shown:
    found: Shown = None
    pairs: list[tuple[str, str]] = [("_count", "500")]
    while found is None:
        page = _answer(lambda pairs=pairs: history.history(house.services, house.asked, pairs))  # type: ignore[misc]
        found = _in_bundle(house, page)
        pairs = _following(page)
        if not pairs:
            return found
    return found


def by_page_link(house: House) -> Shown:
    pairs: list[tuple[str, str]] = [("_count", "1")]
    while pairs:
        page = _search(house, "ImagingStudy", *pairs)
        if found := _in_bundle(house, page):
            return found
        pairs = _following(page)
    return None


def _following(page: dict[str, Any] | None) -> list[tuple[str, str]]:
    following = [one["url"] for one in (page or {}).get("link", ()) if one["relation"] == "next"]
    return parse_qsl(urlsplit(following[0]).query) if following else []


def by_chain(house: House) -> Shown:
    id = house.world.patient.split("/")[1]
    return _in_bundle(house, _search(house, "ImagingStudy", ("subject:Patient._id", id)))


def by_has(house: House) -> Shown:
    """That the patient has such a study is told by the patient being found."""
    found = _search(house, "Patient", ("_has:ImagingStudy:patient:_id", house.study_id))
    return found if found and found.get("entry") else None


def by_iterated_include(house: House) -> Shown:
    id = house.world.patient.split("/")[1]
    pairs = (("_id", id), ("_revinclude", "ImagingStudy:subject"), ("_include:iterate", "ImagingStudy:endpoint"))
    return _in_bundle(house, _search(house, "Patient", *pairs))


def by_everything(house: House) -> Shown:
    id = house.world.patient.split("/")[1]
    return _in_bundle(house, _answer(lambda: everything.everything(house.services, house.asked, id, ())))


def by_explanation(house: House) -> Shown:
    """To an ordinary requester: why they see what they see. The privacy role is told of refusals too, which is its work."""
    if house.asked.subject.role == "privacy":
        return by_read(house)
    return _answer(lambda: explain_access.explain_access(house.services, house.asked, (), house.study_id))


def by_archive_gate(house: House) -> Shown:
    """What an archive is told of the bearer of a token; `located` is whether it gives the pictures."""
    subject = replace(house.asked.subject, scopes=("user/*.rs", "system/*.rs", "patient/*.rs"))
    keeper = Gatekeeper(house.services, lambda token: subject, "gate")
    about = AskedOf(house.world.study)
    located = keeper.decide("token", about).allowed
    known = keeper.decide("token", about, "read").allowed
    assert known or not located
    return {"resourceType": "Verdict", "located": located} if known else None


def by_authzen(house: House) -> Shown:
    """The same question in AuthZEN's words, by a gate that hands on the requester's token."""
    point = Point(
        house.services, lambda token: house.asked.subject, Subject("gate", "gate", "ods:RXA", decision_point=True), ""
    )
    said = {"subject": {"type": "token", "id": "t"}, "resource": {"type": "ImagingStudy", "id": house.world.study}}
    answers = {one: point.evaluation(said | {"action": {"name": one}})["decision"] for one in ("read", "locate")}
    return {"resourceType": "Verdict", "located": answers["locate"]} if answers["read"] else None


def by_notification(house: House) -> Shown:
    """What a subscriber is sent of an event about the study, with full content."""
    watch = Watch(None, (), "", "full-resource", False, (), None, 10, 1, None)

    def work(tx: Tx) -> Shown:
        row = tx.one("SELECT rid, patient FROM identity WHERE type = ? AND id = ?", STUDY, house.study_id)
        assert row is not None
        notice = Notice(1, 1, 0, None, "", STUDY, house.study_id, row[0], row[1], 1, 1, tx.at)
        event, _ = event_of(house.services, tx, house.asked.subject, watch, "Subscription/x", notice)
        return orjson.loads(event.content) if event is not None and event.content else None

    return house.services.store.retry(work)


def by_introspection(house: House) -> Shown:
    """What is said of a token that was given with the study in context."""
    subject = replace(house.asked.subject, family="f")
    person = Person("u", "", subject.role, subject.organisation, subject.practitioner, subject.patient, 0)
    context = Context(patient=house.world.patient.split("/")[1], imagingstudy=house.study_id)
    approved = Authorization("f", subject.client_id, person, "user/*.rs", context)

    def work(tx: Tx) -> None:
        tx.run("DELETE FROM oauth_family")
        tx.run("DELETE FROM oauth_code")
        record = Family("f", subject.client_id, None, approved.dump(), tx.at + 1_000_000)
        authorizations.begin_family(tx, record, "code", "[]", tx.at + 1_000_000)

    house.services.store.retry(work)
    told = introspected(house.services, subject)
    return {"resourceType": "Introspection"} if "fhirContext" in told else None


def by_command_line(house: House) -> Shown:
    """What `flask explain` says that this requester would get."""

    def work(tx: Tx) -> Shown:
        names = Names(ids=(house.world.patient.split("/")[1],))
        found = explained(tx, house.services.enforcement, house.asked.subject, names, house.world.at)
        effects = [one.effect for one in found if one.ref == house.world.study]
        return {"resourceType": "Explained"} if effects and effects[0] != "DENY" else None

    return house.services.store.retry(work)


def export(house: House) -> None:
    """No requester's way: an export is an operator's, at the command line, and refuses everybody else."""
    with pytest.raises(Fault) as refused:
        exporting.page(house.services, house.asked, "ImagingStudy")
    assert refused.value.status == 403


DOORS: dict[str, Callable[[House], Shown]] = {
    name.removeprefix("by_"): door for name, door in list(globals().items()) if name.startswith("by_")
}
