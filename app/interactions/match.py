"""Patient/$match: https://hl7.org/fhir/R4/patient-operation-match.html

For feeds, which must not make a patient twice: they find anyone. Whoever else asks finds those to whom their
organisation has a relationship, as a search would.
"""

from __future__ import annotations

from typing import Any

import orjson

from app.access import audit
from app.fhir import bundle, patient_match
from app.fhir.outcome import Fault
from app.fhir.resource import dump
from app.fhir.search import parse
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.policy.grant import Grant
from app.storage import search
from app.storage.engine import Tx
from app.storage.resources import Stored

MOST = 20


def match(services: Services, asked: Asked, parameters: dict[str, Any]) -> Answer:
    """Candidates, the best first, each with its score and grade. Raises Fault invalid where nothing is asked for."""
    wanted, certain, count = _asked(parameters)
    return carry(
        services, asked, "operation", "Patient", lambda tx: _answer(services, tx, asked, wanted, certain, count)
    )


def _asked(parameters: dict[str, Any]) -> tuple[dict[str, Any], bool, int]:
    named = {one.get("name"): one for one in parameters.get("parameter") or () if isinstance(one, dict)}
    wanted = named.get("resource", {}).get("resource")
    if parameters.get("resourceType") != "Parameters" or not isinstance(wanted, dict):
        text = "no Patient to match; expected Parameters with one as the resource of the parameter 'resource'"
        raise Fault("invalid", text, "Parameters.parameter")
    if wanted.get("resourceType") != "Patient":
        raise Fault("invalid", "not a Patient; expected one", "Parameters.parameter.resource")
    if not list(patient_match.identifiers(wanted)) and not (patient_match.families(wanted) and wanted.get("birthDate")):
        text = "too little to tell anyone by; expected an identifier with its system, or family name and birth date"
        raise Fault("unprocessable", text, "Parameters.parameter.resource")
    count = named.get("count", {}).get("valueInteger", MOST)
    certain = named.get("onlyCertainMatches", {}).get("valueBoolean", False)
    return wanted, certain is True, count if isinstance(count, int) and 0 < count < MOST else MOST


def _answer(services: Services, tx: Tx, asked: Asked, wanted: dict[str, Any], certain: bool, count: int) -> Answer:
    grant = services.enforcement.permit_match(tx, asked.subject)
    found: dict[str, tuple[str, Stored]] = {}
    for one in _candidates(services, tx, grant, wanted):
        grade = patient_match.grade(wanted, orjson.loads(one.content))
        if grade == "certain" or (grade and not certain):
            found.setdefault(one.id, (grade, one))
    best = sorted(found.values(), key=lambda pair: -patient_match.SCORES[pair[0]])[:count]
    audit.record(
        tx, asked.subject, grant, "operation", "Patient", status=200, disclosed=[one for _, one in best],
        detail="$match", request_id=asked.request_id,
    )  # fmt: skip
    entries = [_entry(services, grade, one) for grade, one in best]
    return Answer(200, bundle.matched(entries))


def _candidates(services: Services, tx: Tx, grant: Grant, wanted: dict[str, Any]) -> list[Stored]:
    ways = [[("identifier", f"{system}|{value}")] for system, value in patient_match.identifiers(wanted)]
    if born := wanted.get("birthDate"):
        ways += [[("family", name), ("birthdate", str(born))] for name in patient_match.families(wanted)]
    found: list[Stored] = []
    for pairs in ways:
        escaped = [(name, value.replace("\\", "\\\\").replace(",", "\\,").replace("$", "\\$")) for name, value in pairs]
        query = parse(
            "Patient", [*escaped, ("_count", str(MOST))], base_url=services.settings.base_url, zone=tx.zone, at=tx.at
        )
        found += search.run(tx, grant, query).entries
    return found


def _entry(services: Services, grade: str, one: Stored) -> bytes:
    told = {"url": patient_match.GRADE, "valueCode": grade}
    score = dump({"extension": [told], "mode": "match", "score": patient_match.SCORES[grade]})
    address = dump(f"{services.settings.base_url}/{one.ref}")
    return b'{"fullUrl":%b,"resource":%b,"search":%b}' % (address, one.content, score)
