"""Token-bound capability addresses of SMART Imaging Access: an address of one study, for one token, for as long as it lasts.

http://fhir.org/argonaut/smart-imaging: `Prefer: capability-addresses` on a search that includes Endpoints. Where this
server's own proxy stands before the archive, the answer has an Endpoint of its own for each study, never stored, whose
address holds, encrypted, whose it is and for what. The address alone opens nothing: it wants its token with every
request, and each is decided as any other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import orjson

from app.access.subject import Subject
from app.fhir.imaging_access import requiring_token
from app.fhir.resource import dump, load
from app.fhir.study import uid_of
from app.interactions import Services
from app.storage.resources import Stored

PROXY = "/archive/proxy/"
MARK = "-"  # the segment before what is sealed: no part of PS3.18's grammar
LIFE = 3_600_000_000
CONTEXT = b"capability address\x00"


def issue(services: Services, subject: Subject, endpoint_id: str, study_uid: str, at: int) -> str:
    """What is sealed for a subject's token, a study and the proxy of an Endpoint. It lasts no longer than the token."""
    until = min(subject.expires or at + LIFE, at + LIFE)
    said = [endpoint_id, study_uid, *_bearer(subject), until]
    return services.seal(CONTEXT + orjson.dumps(said))


def joined(sealed: str | None) -> str:
    """What is sealed, as the end of an address."""
    return "" if sealed is None else f"/{MARK}/{sealed}"


def split(below: str) -> tuple[str | None, str]:
    """What is sealed, if anything, and the rest of what is below a proxy's address."""
    parts = below.split("/", 2)
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == MARK else (None, below)


def check(services: Services, subject: Subject, sealed: str, endpoint_id: str, study_uid: str, at: int) -> bool:
    """Whether `sealed` was made here for this token, study and Endpoint, and still lasts."""
    try:
        content = services.open_seal(sealed)
    except ValueError:
        return False
    if not content.startswith(CONTEXT):
        return False
    *said, until = orjson.loads(content.removeprefix(CONTEXT))
    return bool(said == [endpoint_id, study_uid, *_bearer(subject)] and at < until)


def _bearer(subject: Subject) -> list[str | None]:
    return [subject.token, subject.client_id, subject.organisation, subject.practitioner, subject.patient]


def addressed(
    services: Services, subject: Subject, studies: Iterable[tuple[Stored, bytes]], endpoints: Iterable[Stored], at: int
) -> tuple[dict[int, bytes], list[tuple[str, bytes]], set[str]]:
    """The studies (by rid) with references to Endpoints of their own; these, as full URL and content; and the Endpoints
    (`Endpoint/x`) in whose place they are.

    Only Endpoints that are in the answer anyway, and stand behind this server's proxy, are put in another's place."""
    behind = {one.ref: load(one.content) for one in endpoints}
    prefix = services.settings.origin + PROXY
    behind = {ref: one for ref, one in behind.items() if one.get("address") == f"{prefix}{one['id']}"}
    changed: dict[int, bytes] = {}
    made: list[tuple[str, bytes]] = []
    for stored, content in studies:
        study = load(content)
        uid = uid_of(study)
        named = {one["reference"] for part in _parts(study) for one in part["endpoint"] if "reference" in one}
        if uid is None or not named & behind.keys():
            continue
        own = {ref: f"urn:uuid:{uuid.uuid4()}" for ref in sorted(named & behind.keys())}
        for ref, name in own.items():
            endpoint = {key: value for key, value in behind[ref].items() if key not in ("id", "meta")}
            endpoint["address"] += joined(issue(services, subject, behind[ref]["id"], uid, at))
            made.append((name, requiring_token(dump(endpoint))))
        for part in _parts(study):
            part["endpoint"] = [
                {**one, "reference": own.get(one.get("reference", ""), one.get("reference"))}
                for one in part["endpoint"]
            ]
        changed[stored.rid] = dump(study)
    return changed, made, set(behind)


def _parts(study: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for part in (study, *study.get("series", ())) if part.get("endpoint")]
