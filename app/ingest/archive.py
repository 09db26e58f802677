"""From an Endpoint's id to the archive behind it: its source settings, and the client on whose behalf ingest writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from app.access.subject import Subject
from app.ingest.adapter import InteractionsRegistry
from app.ingest.configured import Configured
from app.ingest.source import Source, of_organisation
from app.interactions import Services
from app.pathways.identity_review import REGION
from app.policy.organisation import key_of
from app.storage import resources
from app.storage.engine import Tx

ARCHIVE_SCOPES = ("system/ImagingStudy.cruds", "system/Patient.rs", "system/Endpoint.rs", "system/Organization.rs")


class Unknown(ValueError):
    """The endpoint cannot be ingested for; the text says why, and what was expected."""


@dataclass(frozen=True)
class Archive:
    source: Source
    registry: InteractionsRegistry


def archive(services: Services, endpoint: str, configured: Configured | None = None) -> Archive:
    """The archive of `endpoint` (an id or `Endpoint/id`). Raises Unknown."""
    id = endpoint.removeprefix("Endpoint/")
    with services.store.begin() as tx:
        found = _read(services, tx, "Endpoint", id)
        if found is None:
            raise Unknown("there is no Endpoint with this id; expected the id of an archive's Endpoint")
        manager = str(found.get("managingOrganization", {}).get("reference", ""))
        organisation = _read(services, tx, "Organization", manager.removeprefix("Organization/"))
    if organisation is None:
        raise Unknown("the Endpoint has no managing organisation here; expected one, to write on its behalf")
    key = key_of(organisation)
    if not key.startswith("ods:"):
        raise Unknown("the Endpoint's managing organisation has no ODS code; expected one, for accession numbers")
    source = of_organisation(f"Endpoint/{id}", manager, key.removeprefix("ods:"))
    if configured is not None:
        source = configured.over(source)
    client = Subject(f"ingest-{id}", "archive", key, scopes=ARCHIVE_SCOPES)
    return Archive(source, InteractionsRegistry(services, f"Endpoint/{id}", client, REGION))


def _read(services: Services, tx: Tx, type_name: str, id: str) -> dict[str, Any] | None:
    if not id:
        return None
    grant = services.enforcement.permit(tx, REGION, "update", type_name, id=id)
    found = resources.get(tx, grant, type_name, id)
    return None if found is None or found.deleted else orjson.loads(found.content)
