"""Registries at random, and the same without what a requester may not know of: the two sides of non-interference."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from app.access.subject import Subject
from app.policy.decide import decide
from app.policy.model import Request
from app.policy.switches import Switches
from tests.cases.gather import Register, requester
from tests.support.region import STUDY_UID, consent, endpoint, episode, organization, patient, study

AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z
DCM = "http://dicom.nema.org/resources/ontology/DCM"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
TRUSTS = ("RXA", "RXB", "RXC")
PEOPLE = ("p1", "p2", "p3", "p4", "p5")
DOCTORS = ("dr", "dr-2")
Resource = dict[str, Any]

# Choices of a region that change what is withheld.
REGIONS = (
    Switches(),
    Switches(),
    Switches(),
    Switches(opt_out_binds_origin=True),
    Switches(system_may_locate=False),
    Switches(clerical="deny", proposed_optout="hold"),
    Switches(finished_grace_days=30, unmatched_root_permit="no-consent"),
)


@dataclass
class World:
    """`resources` in an order in which each names only what came before; `former` are versions that came before the
    one in `resources`; `deleted` the references of those that were deleted at the end."""

    resources: list[Resource]
    switches: Switches
    former: dict[str, Resource] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)


def ref(one: Resource) -> str:
    return f"{one['resourceType']}/{one['id']}"


def world(chance: Random) -> World:
    """A small region: care in every state, choices of every kind, studies and reports with versions and deletions."""
    made = World(list(_directory()), chance.choice(REGIONS))
    made.resources += [_patient(chance, n, id) for n, id in enumerate(PEOPLE)]
    made.resources += [_order(chance, n) for n in range(3)]
    made.resources += [_episode(chance, n) for n in range(chance.randint(3, 7))]
    made.resources += [_team(chance, n) for n in range(chance.randint(0, 3))]
    made.resources += [_consent(chance, n) for n in range(chance.randint(1, 5))]
    studies = [_study(chance, n) for n in range(chance.randint(4, 10))]
    reports = [_report(chance, n, studies) for n in range(chance.randint(0, 4))]
    made.resources += [*studies, *reports]
    for one in (*studies, *reports):
        if chance.random() < 0.2:
            made.former[ref(one)] = one | {"status": "registered"}
        if chance.random() < 0.15:
            made.deleted.add(ref(one))
    return made


def without_hidden(whole: World, subject: Subject) -> World:
    """The world less all studies and reports that the policy withholds from the requester, decided one by one."""
    held = Register(whole.resources)
    said = {
        "organisation": subject.organisation,
        "practitioner": subject.practitioner,
        "role": subject.role,
        "client": subject.client_id,
        "patient": subject.patient,
    }
    asker = requester(held, said)
    groups = frozenset(
        one.source
        for one in held.relationships()
        if one.kind == "careteam"
        and one.status == "active"
        and subject.practitioner in one.members
        and (one.start is None or one.start <= AT)
        and (one.end is None or one.end > AT)
    )
    from dataclasses import replace

    asker = replace(asker, groups=groups)
    gone: set[str] = set()
    for one in held.of("ImagingStudy", "DiagnosticReport"):
        about = one["subject"]["reference"]
        judged = held.study(ref(one))
        decision = decide(Request(asker, subject.purpose), held.person(about), judged, whole.switches, AT)
        named = [link["reference"] for link in one.get("imagingStudy", ())]
        if any(name in gone or name in whole.deleted for name in named) or (not named and not decision.permitted):
            gone.add(ref(one))
    return World(
        [one for one in whole.resources if ref(one) not in gone],
        whole.switches,
        {name: one for name, one in whole.former.items() if name not in gone},
        whole.deleted - gone,
    )


def _directory() -> list[Resource]:
    trusts = [organization("RXA"), organization("RXB"), organization("RXC"), organization("RXB01", "RXB")]
    people = [{"resourceType": "Practitioner", "id": id, "active": True} for id in DOCTORS]
    return [*trusts, *(endpoint(ods) for ods in TRUSTS), *people]


def _patient(chance: Random, number: int, id: str) -> Resource:
    made = patient(id, f"99900000{18 + 8 * number}")
    if id == "p2" and chance.random() < 0.3:
        kind = chance.choice(["replaced-by", "replaced-by", "seealso"])
        made["link"] = [{"type": kind, "other": {"reference": "Patient/p1"}}]
    if chance.random() < 0.1:
        made["meta"] = {"security": [{"system": CONFIDENTIALITY, "code": "R"}]}
    if chance.random() < 0.1:
        made["deceasedDateTime"] = "2026-02-01"
    return made


def _order(chance: Random, number: int) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": f"o{number}",
        "status": chance.choice(["active", "completed", "revoked"]),
        "intent": "order",
        "priority": chance.choice(["routine", "stat", "urgent"]),
        "subject": {"reference": f"Patient/{chance.choice(PEOPLE)}"},
        "performer": [{"reference": f"Organization/{chance.choice(TRUSTS).lower()}"}],
        "authoredOn": chance.choice(["2026-03-09T10:00:00Z", "2026-01-01T10:00:00Z"]),
    }


PERIODS = (
    {"start": "2026-01-01"},
    {"start": "2026-01-01"},
    {"start": "2026-03-01", "end": "2026-03-10"},
    {"start": "2025-01-01", "end": "2026-02-20"},
    {"start": "2026-03-20"},
)


def _episode(chance: Random, number: int) -> Resource:
    status = chance.choice(["active", "active", "active", "planned", "waitlist", "onhold", "finished", "cancelled"])
    made = episode(f"e{number}", chance.choice(TRUSTS), chance.choice(PEOPLE), status) | {
        "period": chance.choice(PERIODS)
    }
    if chance.random() < 0.3:
        made["careManager"] = {"reference": f"Practitioner/{chance.choice(DOCTORS)}"}
    return made


def _team(chance: Random, number: int) -> Resource:
    return {
        "resourceType": "CareTeam",
        "id": f"t{number}",
        "status": chance.choice(["active", "active", "inactive"]),
        "subject": {"reference": f"Patient/{chance.choice(PEOPLE)}"},
        "participant": [{"member": {"reference": f"Practitioner/{chance.choice(DOCTORS)}"}}],
        "period": chance.choice(PERIODS),
    }


def provision(chance: Random, depth: int = 0, kind: str | None = None) -> Resource:
    kind = kind or chance.choice(["permit", "deny"])
    made: Resource = {"type": kind}
    criteria: dict[str, Any] = {
        "actor": [
            {"reference": {"reference": chance.choice(["Organization/rxb", "Organization/rxc", "Practitioner/dr"])}}
        ],
        "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "ETREAT"}],
        "code": [{"coding": [{"system": DCM, "code": "MR"}]}],
        "dataPeriod": {"start": "2019-01-01", "end": "2019-12-31"},
        "securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}],
        "data": [{"meaning": "authoredby", "reference": {"reference": "Organization/rxa"}}],
        "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "ImagingStudy"}],
    }
    for name in chance.sample(sorted(criteria), chance.choice([0, 0, 1] if depth == 0 else [1, 1, 2])):
        made[name] = criteria[name]
    if depth < 2 and chance.random() < 0.5:
        other = "deny" if kind == "permit" else "permit"
        made["provision"] = [provision(chance, depth + 1, other) for _ in range(chance.randint(1, 2))]
    return made


def _consent(chance: Random, number: int) -> Resource:
    made = consent(
        f"c{number}",
        subject=chance.choice(PEOPLE),
        status=chance.choice(["active", "active", "active", "proposed", "inactive"]),
        dateTime=chance.choice(["2026-01-15", "2026-02-15", "2025-06-01"]),
    )
    return made | {"provision": provision(chance)}


def _study(chance: Random, number: int) -> Resource:
    made = study(f"s{number}", f"{STUDY_UID}.{number}", chance.choice(TRUSTS), chance.choice(PEOPLE))
    code = chance.choice(["CT", "MR", "US"])
    made["modality"][0]["code"] = made["series"][0]["modality"]["code"] = code
    made["started"] = chance.choice(["2026-02-01", "2019-12-31", "2019", "2026-02-01T09:30:00Z"])
    made["description"] = chance.choice(["CT chest", "MR brain", "Ultrasound"])
    made["identifier"].append({"system": "urn:accession", "value": f"ACC{number}"})
    for element, values in (
        ("interpreter", [{"reference": f"Practitioner/{chance.choice(DOCTORS)}"}]),
        ("basedOn", [{"reference": f"ServiceRequest/o{chance.randint(0, 2)}"}]),
        ("note", [{"text": "secret"}]),
        ("meta", {"security": [{"system": CONFIDENTIALITY, "code": chance.choice(["N", "R", "L", "V"])}]}),
    ):
        if chance.random() < 0.5:
            made[element] = values
    if chance.random() < 0.15:
        del made["started"]
    made["status"] = chance.choice(["available", "available", "available", "cancelled", "entered-in-error"])
    return made


def _report(chance: Random, number: int, studies: list[Resource]) -> Resource:
    made: Resource = {
        "resourceType": "DiagnosticReport",
        "id": f"r{number}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "18748-4"}]},
        "effectiveDateTime": "2026-02-02",
        "conclusion": "nothing abnormal",
    }
    if chance.random() < 0.7:
        one = chance.choice(studies)
        made["imagingStudy"] = [{"reference": ref(one)}]
        made["subject"] = one["subject"]
    else:
        made["subject"] = {"reference": f"Patient/{chance.choice(PEOPLE)}"}
        made["performer"] = [{"reference": f"Organization/{chance.choice(TRUSTS).lower()}"}]
    return made
