"""A registry with the demo region in it, but for its studies, for the ingest tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from app.access.enforcement import Enforcement
from app.config import Settings
from app.demo.cli import STEWARD
from app.demo.organisations import CEDARHOLME
from app.demo.region import region
from app.fhir.search import parse
from app.ingest.archive import REGION
from app.interactions import Asked, Services, update
from app.policy.switches import Switches
from app.published import validator
from app.storage import resources, reviews, search, sources, tables  # noqa: F401  (reviews, sources: their tables)
from app.storage.engine import Store, Tx

AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z
SYSTEM = CEDARHOLME.source.patient_system
MORE_NUMBERS = ("2008-4", "H31EXAMPLE", "4MR1")


def opened(url: str, wanted: Iterable[dict[str, Any]] | None = None) -> Services:
    """Services on a new database that holds `wanted`, by default the demo region without its studies."""
    store = Store(url)
    tables.metadata.create_all(store.engine)
    services = Services(store, Enforcement(Switches()), Settings(), bytes.hex, bytes.fromhex, validator())
    if wanted is None:
        wanted = without_studies(store.clock())
    put(services, *wanted)
    return services


def without_studies(at: int) -> list[dict[str, Any]]:
    """The demo region as it is at an instant, but for its studies and their reports."""
    return [one for one in region(at) if one["resourceType"] not in ("ImagingStudy", "DiagnosticReport")]


def people() -> list[dict[str, Any]]:
    """The demo region without studies, where Cedarholme knows the patients of all files."""
    wanted = without_studies(AT)
    (elder,) = [one for one in wanted if one["id"] == "elder"]
    for number in MORE_NUMBERS:
        elder["identifier"].append({"system": SYSTEM, "value": number})
    # The files disagree with each other on these, as files of several people do.
    del elder["gender"], elder["birthDate"]
    return wanted


def put(services: Services, *wanted: dict[str, Any]) -> None:
    """Write resources under their ids, as the steward."""

    def work(tx: Tx) -> None:
        for one in wanted:
            update.apply(services, tx, Asked(STEWARD), one["resourceType"], one["id"], one)

    services.store.retry(work)


def studies(services: Services) -> dict[str, dict[str, Any]]:
    """Every study by its UID, without id and meta."""
    with services.store.begin() as tx:
        query = parse("ImagingStudy", [("_count", "500")], at=tx.at)
        grant = services.enforcement.permit(tx, REGION, "update", "ImagingStudy", query=query)
        found = [orjson.loads(one.content) for one in search.run(tx, grant, query).entries]
    kept = [{name: value for name, value in one.items() if name not in ("id", "meta")} for one in found]
    return {one["identifier"][0]["value"].removeprefix("urn:oid:"): one for one in kept}


def in_sqlite(folder: Path, name: str = "registry") -> str:
    return f"sqlite:///{folder}/{name}.db"


def version_of(services: Services, reference: str) -> int:
    type_name, id = reference.split("/")
    with services.store.begin() as tx:
        grant = services.enforcement.permit(tx, REGION, "update", type_name, id=id)
        found = resources.get(tx, grant, type_name, id)
    assert found is not None
    return found.version
