"""Appointment/[id]/$prefetch and EpisodeOfCare/[id]/$prefetch: which priors are worth fetching before a visit, and may be.

The list is made of what a search for the patient's studies would find for whoever asks, at the moment at which they ask:
so it is decided again at each reading, and nothing is on it that may not be fetched. The same body region and modality come
first, then the same region, then the same modality, then the newest; how many, and how far back, the region says (P3).
For a visit that is cancelled or over there is nothing to fetch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.access import audit
from app.access.subject import Subject
from app.fhir import bundle
from app.fhir.outcome import Fault
from app.fhir.resource import dump
from app.fhir.search import parse
from app.fhir.temporal import DAY, format_instant
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.options import counted, once_each
from app.interactions.presenting import content, outcome
from app.interactions.read import unknown
from app.policy.grant import Grant
from app.storage import resources, search
from app.storage.engine import Tx
from app.storage.resources import Stored

Json = dict[str, Any]
Pairs = Sequence[tuple[str, str]]

AHEAD = {
    "Appointment": ("proposed", "pending", "booked", "arrived", "checked-in", "waitlist"),
    "EpisodeOfCare": ("planned", "waitlist", "active", "onhold"),
}
OPTIONS = ("modality", "bodysite", "_count")
LOOKED_AT = 500  # of a patient's studies, the newest
REGION, MODALITY, PROCEDURE = 4, 2, 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the visit is about: codes of body sites, modalities and procedures, without their systems."""

    regions: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    procedures: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Prior:
    """A study on the list. `score` from 0 to 1: how much it has to do with the visit."""

    study: Stored
    score: float


def prefetch(services: Services, asked: Asked, type_name: str, id: str, pairs: Pairs) -> Answer:
    """A searchset with the studies, the first to be fetched first (`search.score`), and the Endpoints that hold them. Raises
    Fault not-found as a read of the visit would, forbidden as a search for the patient's studies would, invalid."""
    options = once_each(pairs, OPTIONS)
    counted(options, 1, LOOKED_AT, clamped=False)
    return carry(
        services, asked, "operation", type_name, lambda tx: _answer(services, tx, asked, type_name, id, options)
    )


def _answer(services: Services, tx: Tx, asked: Asked, type_name: str, id: str, options: dict[str, str]) -> Answer:
    grant = services.enforcement.permit(tx, asked.subject, "read", type_name, id=id)
    visit = resources.get(tx, grant, type_name, id)
    if visit is None or visit.deleted:
        raise unknown(type_name)
    granted, priors, endpoints = listed(services, tx, asked.subject, visit, options)
    audit.record(
        tx, asked.subject, granted or grant, "operation", type_name, status=200,
        disclosed=[*(one.study for one in priors), *endpoints], detail=f"$prefetch of {visit.versioned}",
        request_id=asked.request_id, counts={"matches": len(priors)},
        named=tuple((granted or grant).patients.values()) if (granted or grant).reason is None else (),
    )  # fmt: skip
    base = services.settings.base_url
    entries = []
    if granted is None:
        entries.append(
            b'{"resource":%b,"search":{"mode":"outcome"}}'
            % outcome("the visit is not to come; nothing is to be fetched for it")
        )
    else:
        entries += [
            _entry(base, content(granted, one.study), one.study, b'"match","score":%.2f' % one.score) for one in priors
        ]
        entries += [_entry(base, content(granted, one), one, b'"include"') for one in endpoints]
    return Answer(200, bundle.matched(entries, total=len(priors), at=tx.at))


def _entry(base: str, body: bytes, one: Stored, mode: bytes) -> bytes:
    return b'{"fullUrl":%b,"resource":%b,"search":{"mode":%b}}' % (dump(f"{base}/{one.ref}"), body, mode)


def anything(services: Services, tx: Tx, subject: Subject, visit: Stored) -> bool:
    """Whether there is anything to fetch for the visit, as things stand now: what is cancelled, opted out or without a
    prior is not announced."""
    try:
        return bool(listed(services, tx, subject, visit, {})[1])
    except Fault:
        return False


def listed(
    services: Services, tx: Tx, subject: Subject, visit: Stored, options: dict[str, str]
) -> tuple[Grant | None, list[Prior], list[Stored]]:
    """The list for whoever asks, with the Endpoints; no Grant where the visit is not to come. Raises Fault forbidden."""
    said = orjson.loads(visit.content)
    if said.get("status") not in AHEAD[visit.type]:
        return None, [], []
    switches = services.enforcement.switches
    patient = _patient(said)
    if patient is None:
        return None, [], []
    pairs = [
        ("patient", patient),
        ("_sort", "-started"),
        ("_count", str(LOOKED_AT)),
        ("_include", "ImagingStudy:endpoint"),
    ]
    if switches.prefetch_years:
        pairs.append(("started", f"ge{format_instant(tx.at - switches.prefetch_years * 365 * DAY)[:10]}"))
    query = parse("ImagingStudy", pairs, base_url=services.settings.base_url, zone=tx.zone, at=tx.at)
    grant = services.enforcement.permit(tx, subject, "search-type", "ImagingStudy", query=query)
    page = search.run(tx, grant, query)
    wanted = _wanted(services, tx, subject, said, options)
    own = services.enforcement.requester(tx, subject).tree
    priors = [_prior(one, wanted) for one in page.entries if one.owner not in own and one.locatable]
    priors.sort(key=lambda one: -one.score)  # stable: the newest first among equals
    kept = priors[: counted(options, switches.prefetch_most, LOOKED_AT)]
    named = {ref for one in kept for ref in _endpoints(orjson.loads(one.study.content))}
    return grant, kept, [one for one in page.included if one.ref in named]


def _patient(said: Json) -> str | None:
    people = [said.get("patient"), *(one.get("actor") for one in said.get("participant", ()))]
    for one in people:
        text = one.get("reference") if isinstance(one, dict) else None
        if isinstance(text, str) and text.startswith("Patient/"):
            return text
    return None


def _prior(one: Stored, wanted: Wanted) -> Prior:
    said = orjson.loads(one.content)
    series = said.get("series", ())
    regions = {code for part in series for code in _codings(part.get("bodySite"))}
    modalities = {code for part in said.get("modality", ()) for code in _codings(part)}
    modalities |= {code for part in series for code in _codings(part.get("modality"))}
    procedures = {code for part in said.get("procedureCode", ()) for code in _codings(part)}
    score = REGION * bool(regions & wanted.regions) + MODALITY * bool(modalities & wanted.modalities)
    score += PROCEDURE * bool(procedures & wanted.procedures)
    return Prior(one, round((score + 1) / (REGION + MODALITY + PROCEDURE + 1), 2))


def _endpoints(study: Json) -> Iterator[str]:
    for holder in (study, *study.get("series", ())):
        for one in holder.get("endpoint", ()):
            if isinstance(one.get("reference"), str):
                yield one["reference"]


def _wanted(services: Services, tx: Tx, subject: Subject, said: Json, options: dict[str, str]) -> Wanted:
    """What the visit, and the referrals it rests on as far as the asker may read them, say that it is about."""
    concepts = [*said.get("serviceType", ()), *said.get("reasonCode", ()), *said.get("type", ())]
    codes = {code for one in concepts for code in _codings(one)}
    regions, modalities = set(codes), set(codes)
    for request in _requests(services, tx, subject, said):
        regions |= {code for one in request.get("bodySite", ()) for code in _codings(one)}
        codes |= {code for one in (request.get("code"), *request.get("orderDetail", ())) for code in _codings(one)}
        modalities |= codes
    if "bodysite" in options:
        regions = {one.rpartition("|")[2] for one in options["bodysite"].split(",")}
    if "modality" in options:
        modalities = {one.rpartition("|")[2] for one in options["modality"].split(",")}
    return Wanted(frozenset(regions - {""}), frozenset(modalities - {""}), frozenset(codes))


def _requests(services: Services, tx: Tx, subject: Subject, said: Json) -> Iterator[Json]:
    for one in (*said.get("basedOn", ()), *said.get("referralRequest", ())):
        text = one.get("reference") if isinstance(one, dict) else None
        if not isinstance(text, str) or not text.startswith("ServiceRequest/"):
            continue
        try:
            id = text.split("/")[1]
            grant = services.enforcement.permit(tx, subject, "read", "ServiceRequest", id=id)
        except Fault:
            continue
        found = resources.get(tx, grant, "ServiceRequest", id)
        if found is not None and not found.deleted:
            yield orjson.loads(found.content)


def _codings(value: object) -> Iterator[str]:
    """The codes of a Coding or a CodeableConcept."""
    if isinstance(value, dict):
        for one in value.get("coding", (value,)):
            if isinstance(one, dict) and isinstance(one.get("code"), str):
                yield one["code"]
