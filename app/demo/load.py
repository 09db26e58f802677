"""Loading the demo region: each resource that is not there yet, under its own id, as the region's steward.

What is there stays as it is, so a second load changes nothing, and what someone did in the demo is not undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import orjson

from app.access.subject import Subject
from app.demo import clients
from app.demo.naming import Resource
from app.demo.region import region
from app.fhir.negotiation import Preference
from app.interactions import Asked, Services, update
from app.storage import resources
from app.storage.engine import Tx

TOGETHER = 200  # resources in one transaction


@dataclass
class Loaded:
    created: int = 0
    unchanged: int = 0

    def as_json(self) -> dict[str, int]:
        return {"created": self.created, "unchanged": self.unchanged}


def load(
    services: Services, steward: Subject, patients: int = 0, done: Callable[[int], None] = lambda _number: None
) -> Loaded:
    """The demo region and `patients` more. `done` is told how many resources each step dealt with."""
    loaded = Loaded()
    services.store.retry(lambda tx: clients.register(tx, services.settings.origin))
    everything = region(services.store.clock(), patients, services.settings.origin)
    for start in range(0, len(everything), TOGETHER):
        part = everything[start : start + TOGETHER]
        created = services.store.retry(partial(_missing, services, steward, part))
        loaded.created += created
        loaded.unchanged += len(part) - created
        done(len(part))
    return loaded


def _missing(services: Services, steward: Subject, part: list[Resource], tx: Tx) -> int:
    asked = Asked(steward, prefer=Preference(returns="minimal"))
    created = 0
    for resource in part:
        type_name, id = resource["resourceType"], resource["id"]
        if not resources.taken(tx, type_name, id) or _moved(services, tx, resource):
            update.apply(services, tx, asked, type_name, id, resource)
            created += 1
    return created


def _moved(services: Services, tx: Tx, resource: Resource) -> bool:
    """Whether this names an address behind the server's own proxy, which was elsewhere when it was loaded."""
    type_name, address = resource["resourceType"], _address(resource)
    if not address:
        return False
    held = resources.get(tx, services.enforcement.for_deciding(tx, "DEMO", type_name), type_name, resource["id"])
    before = "" if held is None or held.deleted else _address(orjson.loads(held.content))
    return before != address and urlsplit(before).path == urlsplit(address).path


def _address(resource: Resource) -> str:
    """Of an Endpoint, or of a report's document."""
    return str(resource.get("address") or next((one.get("url") for one in resource.get("presentedForm", ())), ""))
