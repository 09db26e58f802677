"""Written twice, proved equal: what SQL releases over a generated world is what the decision point permits, study by study.

Both databases; searches of one patient and of everything, reads by id, totals. A page is never short, a total never wrong.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.enforcement import Enforcement
from app.access.subject import Subject
from app.config import Settings
from app.fhir.outcome import Fault
from app.interactions import Asked, Services, read, search
from app.policy.decide import decide
from app.policy.model import Request
from app.policy.switches import Switches
from app.published import validator
from app.storage import resources
from app.storage.engine import Store, Tx
from app.storage.tables import metadata
from tests.cases.gather import Register, requester
from tests.doors.doors import ALL
from tests.support.region import STUDY_UID, consent, endpoint, episode, organization, patient, study

AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z
TRUSTS = ("RXA", "RXB", "RXC")
PEOPLE = ("p1", "p2", "p3", "p4")
DCM = "http://dicom.nema.org/resources/ontology/DCM"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

periods = st.sampled_from(
    [
        {"start": "2026-01-01"},
        {"start": "2026-01-01"},
        {},
        {"start": "2026-03-01", "end": "2026-03-10"},
        {"start": "2025-01-01", "end": "2026-03-09"},
        {"start": "2026-03-10T10:00:00Z"},
        {"start": "2026-03-20"},
        {"start": "2026-06-01"},
    ]
)
statuses = st.sampled_from(
    ["active", "active", "active", "active", "planned", "waitlist", "onhold", "finished", "cancelled"]
)


@st.composite
def provisions(draw: st.DrawFn, kind: str | None = None, depth: int = 0) -> dict[str, Any]:
    """A provision with any of the criteria that policy knows, and exceptions to it."""
    kind = kind or draw(st.sampled_from(["permit", "deny"]))
    made: dict[str, Any] = {"type": kind}
    criteria = {
        "actor": [{"role": {"text": "recipient"}, "reference": {"reference": "Organization/rxb"}}],
        "purpose": [{"system": REASON, "code": "ETREAT"}],
        "code": [{"coding": [{"system": DCM, "code": "MR"}]}],
        "dataPeriod": {"start": "2019-01-01", "end": "2019-12-31"},
        "securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}],
        "data": [{"meaning": "authoredby", "reference": {"reference": "Organization/rxa"}}],
        "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "ImagingStudy"}],
    }
    for name in draw(st.sets(st.sampled_from(sorted(criteria)), max_size=2 if depth else 1)):
        made[name] = criteria[name]
    if depth < 2 and draw(st.booleans()):
        opposite = "deny" if kind == "permit" else "permit"
        made["provision"] = [draw(provisions(opposite, depth + 1)) for _ in range(draw(st.integers(1, 2)))]
    return made


@st.composite
def worlds(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Resources in an order in which each names only what came before."""
    trusts = [organization("RXA"), organization("RXB"), organization("RXC"), organization("RXB01", "RXB")]
    found = [*trusts, *(endpoint(ods) for ods in TRUSTS)]
    found.append({"resourceType": "Practitioner", "id": "dr"})
    for number, id in enumerate(PEOPLE):
        links = draw(st.sampled_from([[], [], [], [("replaced-by", "p1")], [("seealso", "p1")]])) if id == "p2" else []
        more: dict[str, Any] = (
            {"link": [{"type": k, "other": {"reference": f"Patient/{o}"}} for k, o in links]} if links else {}
        )
        if draw(st.sampled_from([False, False, False, True])):
            more["deceasedDateTime"] = "2026-02-01"
        found.append(patient(id, f"999000000{number}") | more)
    for n in range(draw(st.integers(3, 6))):
        team = [{"role": [], "member": {"reference": "Practitioner/dr"}}] if draw(st.booleans()) else []
        made = episode(f"e{n}", draw(st.sampled_from(TRUSTS)), draw(st.sampled_from(PEOPLE)), draw(statuses))
        made |= {"period": draw(periods)}
        if not made["period"]:
            del made["period"]
        found.append(made | ({"careManager": team[0]["member"]} if team else {}))
    for n in range(draw(st.integers(0, 2))):
        team_of = {
            "resourceType": "CareTeam",
            "id": f"t{n}",
            "status": draw(st.sampled_from(["active", "inactive"])),
            "subject": {"reference": f"Patient/{draw(st.sampled_from(PEOPLE))}"},
            "participant": [{"member": {"reference": "Practitioner/dr"}}],
        }
        period = draw(periods)
        found.append(team_of | ({"period": period} if period else {}))
    for n in range(draw(st.integers(1, 4))):
        status = draw(st.sampled_from(["active", "active", "active", "proposed", "inactive"]))
        when = draw(st.sampled_from(["2026-01-15", "2026-02-15", "2025-06-01"]))
        root = draw(provisions())
        found.append(
            consent(f"c{n}", subject=draw(st.sampled_from(PEOPLE)), status=status, dateTime=when) | {"provision": root}
        )
    for n in range(draw(st.integers(4, 8))):
        made = study(f"s{n}", f"{STUDY_UID}.{n}", draw(st.sampled_from(TRUSTS)), draw(st.sampled_from(PEOPLE)))
        modality = draw(st.sampled_from(["CT", "MR", None]))
        if modality is None:
            del made["modality"], made["series"], made["numberOfSeries"], made["numberOfInstances"]
        else:
            made["modality"][0]["code"] = made["series"][0]["modality"]["code"] = modality
        made["started"] = draw(st.sampled_from(["2026-02-01", "2019-12-31", "2019", "2026-02-01T09:30:00Z"]))
        if draw(st.sampled_from([True, False, False, False])):
            del made["started"]
        if draw(st.sampled_from([True, True, True, False])):
            label = draw(st.sampled_from(["N", "R", "L", "V"]))
            made["meta"] = {"security": [{"system": CONFIDENTIALITY, "code": label}]}
        made["status"] = draw(st.sampled_from(["available", "available", "cancelled", "entered-in-error"]))
        found.append(made)
    return found


subjects = st.builds(
    lambda ods, person, role, purpose: Subject(
        "client",
        "app",
        f"ods:{ods}",
        role,
        purpose,
        ("user/*.rs",),
        practitioner="Practitioner/dr" if person else None,
    ),
    st.sampled_from(["RXB", "RXA", "RXB01", "RXC"]),
    st.booleans(),
    st.sampled_from(["clinician", "clinician", "system", "clerical"]),
    st.sampled_from(["TREAT", "TREAT", "ETREAT", "BTG", "HRESCH", None]),
)


def filled(store: Store, world: list[dict[str, Any]]) -> None:
    def work(tx: Tx) -> None:
        for table in metadata.tables.values():
            tx.run(f"DELETE FROM {table.name}")
        for one in world:
            resources.create(tx, ALL, {key: value for key, value in one.items() if key != "id"}, one["id"], "PUT")

    store.retry(work)


def ids(answer: Any) -> list[str]:
    return [entry["resource"]["id"] for entry in orjson.loads(answer.body).get("entry", ())]


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def world_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests.support.postgres import create_database

    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('world')}/w.db"
    else:
        url = create_database(request.getfixturevalue("postgresql").split("|")[0])
    store = Store(url, clock=lambda: AT)
    metadata.create_all(store.engine)
    yield store
    store.close()


@settings(max_examples=150)
@given(worlds(), st.lists(subjects, min_size=1, max_size=3))
def test_what_sql_releases_is_what_the_decision_point_permits(
    world_store: Store, world: list[dict[str, Any]], asking: list[Subject]
) -> None:
    filled(world_store, world)
    register = Register(world)
    switches = Switches()
    services = Services(world_store, Enforcement(switches), Settings(), bytes.hex, bytes.fromhex, validator())
    for subject in asking:
        said = {
            "organisation": subject.organisation,
            "practitioner": subject.practitioner,
            "role": subject.role,
            "client": subject.client_id,
            "patient": None,
        }
        request = Request(requester(register, said), subject.purpose)
        permitted: dict[str, str] = {}
        for one in register.of("ImagingStudy"):
            ref = f"ImagingStudy/{one['id']}"
            about = one["subject"]["reference"]
            decision = decide(request, register.person(about), register.study(ref), switches, AT)
            if decision.permitted:
                permitted[one["id"]] = about
        asked = Asked(subject)
        everything = search.search(services, asked, "ImagingStudy", [("_total", "accurate"), ("_count", "50")])
        assert set(ids(everything)) == set(permitted)
        assert orjson.loads(everything.body)["total"] == len(permitted)
        for id in PEOPLE:
            group, _ = register.group(f"Patient/{id}")
            expected = {study_id for study_id, about in permitted.items() if about in group}
            try:
                found = set(ids(search.search(services, asked, "ImagingStudy", [("patient", id)])))
            except Fault as fault:
                assert fault.status == 403
                found = set()
            assert found == expected
        for one in register.of("ImagingStudy"):
            try:
                read.read(services, asked, "ImagingStudy", one["id"])
                shown = True
            except Fault as fault:
                assert fault.status == 404
                shown = False
            assert shown == (one["id"] in permitted)
