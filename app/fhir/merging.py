"""Putting together what is known of a study and what an archive says now, pure.

Late instances, a second archive with the same study, an archive's whole word on a study that changed, withdrawal.
Two things are never merged: a known instance under another series, and a known study under another patient. Either
would show one person's images as another's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.fhir.study import STUDY_ORDER, counted, in_order

# What only the archive's whole word may take away again; everything else in a study is another's to keep.
STATED = ("started", "basedOn", "referrer", "interpreter", "procedureCode", "location", "reasonCode", "description")
SERIES_STATED = ("number", "description", "bodySite", "laterality", "started", "performer")


class Collision(ValueError):
    """An identity collision: the study is left as it is, and the report raises an alarm. The text quotes no value."""


def merged(
    current: dict[str, Any] | None, incoming: dict[str, Any], endpoint: str, *, whole: bool = False
) -> dict[str, Any]:
    """`current` with what the archive at `endpoint` says now. Nothing new gives an equal resource.

    whole: `incoming` is everything that the archive has of the study, so its instances that are not in it are gone,
    and its words replace earlier ones; else it only adds. Raises Collision.
    """
    if current is None:
        return incoming
    _same_patient(current, incoming)
    _same_series(current, incoming)
    result = dict(current)
    if "series" not in incoming and "series" in current:
        # An announcement knows less than the instances do.
        result["endpoint"] = _references([*named(current.get("endpoint")), endpoint])
        return counted(result)
    sole = set(named(current.get("endpoint"))) <= {endpoint}
    result["identifier"] = _identifiers(
        current, incoming, replace=whole and sole, own=named(current.get("endpoint")) == [endpoint]
    )
    for name in STATED:
        if name in incoming and (name not in current or (whole and sole)):
            result[name] = incoming[name]
        elif whole and sole:
            result.pop(name, None)
    if result.get("status") in ("registered", "cancelled", "unknown"):
        result["status"] = incoming["status"]
    if "series" not in incoming:
        result.update(
            {name: incoming[name] for name in ("modality", "numberOfSeries", "numberOfInstances") if name in incoming}
        )
        result["endpoint"] = _references([*named(current.get("endpoint")), endpoint])
        return result
    holders = _holders(current)
    if whole:
        _forget(result, holders, incoming, endpoint)
    _add(result, holders, incoming, endpoint, whole=whole and sole)
    return counted(_placed(result, holders, [*named(current.get("endpoint")), endpoint]))


def withdrawn(current: dict[str, Any], endpoint: str, status: str = "cancelled") -> dict[str, Any]:
    """`current` after the archive at `endpoint` has given the study up: its endpoint goes at once; with the last
    archive the study gets `status`, and keeps what is known of it."""
    holders = _holders(current)
    left = [name for name in named(current.get("endpoint")) if name != endpoint]
    result = dict(current)
    if not left:
        result["series"] = [{k: v for k, v in one.items() if k != "endpoint"} for one in current.get("series", [])]
        result.pop("endpoint", None)
        result["status"] = status
        return result if not result["series"] else counted(result)
    for uid in holders:
        holders[uid] = [name for name in holders[uid] if name != endpoint]
    if result.get("series"):
        result["series"] = [one for one in result["series"] if holders[one["uid"]]]
        return counted(_placed(result, holders, left))
    result["endpoint"] = _references(left)
    return result


def keeping(current: dict[str, Any], sent: dict[str, Any], others: Iterable[str]) -> dict[str, Any]:
    """`sent` in place of `current`, where the sender may not speak for the archives `others`: what these hold stays,
    series by series, and a study that they hold is not cancelled. Equal to `sent` where it takes nothing away."""
    theirs = held_by(current) & set(others)
    if not theirs:
        return sent
    result = dict(sent)
    if result.get("status") == "cancelled" and current.get("status") != "cancelled":
        result["status"] = current["status"]
    had, general = _holders(current), named(sent.get("endpoint"))
    stated = _holders(sent) if "series" in sent else {uid: [n for n in of if n in general] for uid, of in had.items()}
    holders = {uid: list(of) for uid, of in stated.items()}
    for uid, of in had.items():
        holders[uid] = list(dict.fromkeys([*holders.get(uid, ()), *(name for name in of if name in theirs)]))
    present = {one["uid"] for one in sent.get("series", [])}
    kept = [one for one in current.get("series", []) if one["uid"] not in present and theirs & set(had[one["uid"]])]
    if not kept and holders == stated and theirs <= set(general):
        return result
    known = named(current.get("endpoint"))
    endpoints = [name for name in known if name in theirs or name in general] + general
    if not present and not kept:
        return in_order(result | {"endpoint": _references(endpoints)}, STUDY_ORDER)
    result["series"] = [*sent.get("series", []), *kept]
    return counted(_placed(result, holders, endpoints))


def rejected(current: dict[str, Any], instances: Iterable[str], endpoint: str, status: str) -> dict[str, Any]:
    """`current` without instances that an archive holding them rejected (IHE IOCM); the whole study withdrawn when
    none is left. What was never this patient's goes for every archive; what one archive has only done with stays where
    another holds the series too."""
    gone, holders, series = set(instances), _holders(current), []
    wrong, before = status == "entered-in-error", _holders(current)
    for one in current.get("series", []):
        uid, held = one["uid"], one.get("instance", [])
        left = [found for found in held if found["uid"] not in gone]
        if endpoint in before[uid] and len(left) < len(held):
            if not wrong and before[uid] != [endpoint]:
                holders[uid] = before[uid] if left else [name for name in before[uid] if name != endpoint]
            elif left:
                one = {**one, "instance": left}
            else:
                del holders[uid]
                continue
        series.append(one)
    if not series:
        return _withdrawn_everywhere(current, status) if wrong else withdrawn(current, endpoint, status)
    result = {**current, "series": series}
    return counted(_placed(result, holders, named(current.get("endpoint"))) if holders != before else result)


def _withdrawn_everywhere(current: dict[str, Any], status: str) -> dict[str, Any]:
    for endpoint in sorted(held_by(current)):
        current = withdrawn(current, endpoint, status)
    return current


def _same_patient(current: dict[str, Any], incoming: dict[str, Any]) -> None:
    known, stated = current.get("subject", {}).get("reference"), incoming.get("subject", {}).get("reference")
    if known and stated and known != stated:
        raise Collision("the study uid is known under another patient; refused")


def _same_series(current: dict[str, Any], incoming: dict[str, Any]) -> None:
    known = {found["uid"]: one["uid"] for one in current.get("series", []) for found in one.get("instance", [])}
    for one in incoming.get("series", []):
        for found in one.get("instance", []):
            if known.get(found["uid"], one["uid"]) != one["uid"]:
                raise Collision("a sop instance uid is known under another series; refused")


def named(references: list[dict[str, Any]] | None) -> list[str]:
    """What literal references refer to."""
    return [one["reference"] for one in references or [] if "reference" in one]


def held_by(study: dict[str, Any]) -> set[str]:
    """References of every archive that holds the study or a series of it."""
    return {name for part in (study, *study.get("series", [])) for name in named(part.get("endpoint"))}


def _references(endpoints: Iterable[str]) -> list[dict[str, Any]]:
    return [{"reference": name} for name in dict.fromkeys(endpoints)]


def _holders(study: dict[str, Any]) -> dict[str, list[str]]:
    """The archives that hold each series: its own endpoints, else the study's."""
    general = named(study.get("endpoint"))
    return {one["uid"]: named(one.get("endpoint")) or list(general) for one in study.get("series", [])}


def _placed(study: dict[str, Any], holders: dict[str, list[str]], endpoints: list[str]) -> dict[str, Any]:
    """Endpoints written where they belong: all at the study, and at a series that not all of them hold."""
    general = [name for name in dict.fromkeys(endpoints) if any(name in of for of in holders.values())]
    series = []
    for one in study.get("series", []):
        own = [name for name in general if name in holders[one["uid"]]]
        placed = {name: value for name, value in one.items() if name != "endpoint"}
        if own != general:
            placed["endpoint"] = _references(own)
        series.append(placed)
    return {**study, "endpoint": _references(general), "series": series}


def _identifiers(
    current: dict[str, Any], incoming: dict[str, Any], *, replace: bool, own: bool
) -> list[dict[str, Any]]:
    if replace:
        stated = {one.get("system") for one in incoming["identifier"]}
        kept = [one for one in current.get("identifier", []) if one.get("system") not in stated]
        order = [one for one in current.get("identifier", []) if one in incoming["identifier"]]
        return [*order, *(one for one in incoming["identifier"] if one not in order), *kept]
    found = list(current.get("identifier", []))
    keys = {(one.get("system"), one.get("value")) for one in found}
    new = [one for one in incoming["identifier"] if (one.get("system"), one.get("value")) not in keys]
    # An accession number's assigner is the study's origin, to whom no consent applies: a copy in another archive must
    # not make that archive's organisation one.
    return found + [one for one in new if own or not _is_accession(one)]


def _is_accession(identifier: dict[str, Any]) -> bool:
    return any(coding.get("code") == "ACSN" for coding in identifier.get("type", {}).get("coding", []))


def _forget(result: dict[str, Any], holders: dict[str, list[str]], incoming: dict[str, Any], endpoint: str) -> None:
    """Take away what this archive no longer has and no other archive holds."""
    still = {one["uid"]: {found["uid"] for found in one.get("instance", [])} for one in incoming["series"]}
    series = []
    for one in result.get("series", []):
        uid = one["uid"]
        if endpoint not in holders[uid]:
            series.append(one)
            continue
        if uid not in still:
            holders[uid] = [name for name in holders[uid] if name != endpoint]
        if holders[uid] == [endpoint]:
            one = {**one, "instance": [found for found in one.get("instance", []) if found["uid"] in still[uid]]}
        if holders[uid]:
            series.append(one)
        else:
            del holders[uid]
    result["series"] = series


def _add(
    result: dict[str, Any], holders: dict[str, list[str]], incoming: dict[str, Any], endpoint: str, *, whole: bool
) -> None:
    known = {one["uid"]: one for one in result.get("series", [])}
    for one in incoming["series"]:
        uid = one["uid"]
        if uid not in known:
            known[uid] = one
            holders[uid] = [endpoint]
            continue
        have = dict(known[uid])
        for name in SERIES_STATED:
            if name in one and (name not in have or whole):
                have[name] = one[name]
            elif whole:
                have.pop(name, None)
        if whole or "code" not in have["modality"]:
            have["modality"] = one["modality"]
        stated = {found["uid"]: found for found in one.get("instance", [])}
        old = have.get("instance", [])
        present = {found["uid"] for found in old}
        have["instance"] = [stated.get(found["uid"], found) if whole else found for found in old] + [
            found for key, found in stated.items() if key not in present
        ]
        known[uid] = have
        if endpoint not in holders[uid]:
            holders[uid] = [*holders[uid], endpoint]
    result["series"] = list(known.values())
