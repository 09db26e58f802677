"""Two registries that differ in what is withheld and in nothing else: one holds it, the other never did.

A door is closed when both answer alike, byte for byte but for ids and times that the server makes up. The world is small
and made to be asked about: the doctor at B treats p1, whose restricted studies (label R) p1 withholds; p3 is a stranger.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.policy.switches import Switches
from tests.properties.hidden_requests import Ask
from tests.properties.hidden_worlds import CONFIDENTIALITY, DCM, World, ref
from tests.properties.noninterference import ASKERS, Asker, Registry
from tests.support.region import STUDY_UID, consent, endpoint, episode, organization, patient, study

DOCTOR, SYSTEM, ARCHIVE = ASKERS[0], ASKERS[3], ASKERS[6]
MR_UID = f"{STUDY_UID}.2"
Json = dict[str, Any]
Sides = tuple[Registry, Registry]


def _study(id: str, subject: str, label: str, code: str, **more: Any) -> Json:
    number = id[1:]
    made = study(id, f"{STUDY_UID}.{number}", subject=subject)
    made["modality"][0]["code"] = made["series"][0]["modality"]["code"] = code
    made["meta"] = {"security": [{"system": CONFIDENTIALITY, "code": label}]}
    made["identifier"].append({"system": "urn:accession", "value": f"ACC{number}"})
    return made | more


def _report(id: str, named: Json, subject: str) -> Json:
    return {
        "resourceType": "DiagnosticReport",
        "id": id,
        "meta": {"security": [{"system": CONFIDENTIALITY, "code": "N"}]},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "18748-4"}]},
        "subject": {"reference": f"Patient/{subject}"},
        "imagingStudy": [{"reference": ref(named)}],
        "presentedForm": [{"contentType": "text/plain", "data": "d2l0aGhlbGQ=", "title": f"of {id}"}],
        "conclusion": f"conclusion of {id}",
    }


def worlds() -> tuple[World, World]:
    """The whole, and the whole without what is withheld from everybody at B."""
    refused = {"type": "deny", "securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}]}
    order = {
        "resourceType": "ServiceRequest",
        "id": "o1",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "performer": [{"reference": "Organization/rxb"}],
    }
    base = [
        organization("RXA"), organization("RXB"), organization("RXC"), endpoint("RXA"), endpoint("RXB"),
        endpoint("RXC"), {"resourceType": "Practitioner", "id": "dr", "active": True}, patient(),
        patient("p3", "9990000034"), order, episode(), episode("e3", "RXC", "p3"),
        consent(provision={"type": "permit", "provision": [refused]}),
    ]  # fmt: skip
    seen = _study("s1", "p1", "N", "CT", description="CT chest")
    rare = {
        "description": "MR zebra",
        "started": "2020-05-05T10:00:00Z",
        "basedOn": [{"reference": "ServiceRequest/o1"}],
    }
    held = _study("s2", "p1", "R", "MR", **rare, endpoint=[{"reference": "Endpoint/archive-rxc"}])
    gone = _study("s4", "p1", "R", "MR", description="MR zebra, deleted")
    strange = _study("s3", "p3", "N", "MR", basedOn=[{"reference": "ServiceRequest/o1"}])
    reports = [_report("r1", seen, "p1"), _report("r2", held, "p1"), _report("r3", strange, "p3")]
    whole = World([*base, seen, held, gone, strange, *reports], Switches())
    whole.former = {"ImagingStudy/s2": held | {"status": "registered"}}
    whole.deleted = {"ImagingStudy/s4"}
    return whole, World([*base, seen, reports[0]], Switches())


def settle(sides: Sides) -> None:
    for registry, held in zip(sides, worlds(), strict=True):
        registry.hold(held)


def alike(
    sides: Sides, *paths: str | Ask, who: Iterable[Asker] = (DOCTOR, SYSTEM), answers: Iterable[int] = (200,)
) -> None:
    """Every page of every answer is the same on both sides. `answers`: the statuses that there may be, so that a request
    which the server does not even understand proves nothing."""
    may = {str(status) for status in answers}
    for asker in who:
        for path in paths:
            pending = [(path if isinstance(path, Ask) else Ask("GET", path),) * 2]
            for _ in range(9):
                if not pending:
                    break
                asked = pending.pop()
                (one, links), (other, others) = (
                    side.answer(asker, each) for side, each in zip(sides, asked, strict=True)
                )
                assert one == other, f"{asker.name} asks {asked[0]}"
                assert one[:3].decode() in may, f"{asker.name} asks {asked[0]}: {one[:300].decode()}"
                pending += [(Ask("GET", a), Ask("GET", b)) for a, b in zip(links, others, strict=True)]


__all__ = ["ARCHIVE", "DCM", "DOCTOR", "MR_UID", "SYSTEM", "Sides", "alike", "settle"]
