"""An Endpoint is on a host that its managing organisation lists: whoever may write one cannot send apps, with their
tokens, elsewhere. The address itself is never connected to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from app.fhir.named import LOOPBACK
from app.fhir.outcome import Fault
from app.interactions import Services
from app.policy.organisation import key_from
from app.storage import hosts
from app.storage.engine import Tx


def check(services: Services, tx: Tx, resource: dict[str, Any]) -> None:
    """Raises Fault unprocessable for an Endpoint on a host that is not listed. Its form is right already.

    A host is compared whole and letter by letter, with its port where that is not 443. An organisation that lists none,
    and none above it does, may use any host if the setting says so.
    """
    if resource["resourceType"] != "Endpoint" or "address" not in resource:
        return
    parts = urlsplit(resource["address"])
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port not in (None, 443) else "")
    if services.settings.demo and parts.hostname in LOOPBACK:
        return
    listed = _listed(tx, resource.get("managingOrganization") or {})
    if listed is None and services.settings.open_hosts:
        return
    if host not in (listed or ()):
        text = "a host that the managing organisation does not list; expected one of its own (registry-endpoint-host)"
        raise Fault("value", text, "Endpoint.address")


def _listed(tx: Tx, organisation: dict[str, Any]) -> frozenset[str] | None:
    reference = organisation.get("reference")
    if isinstance(reference, str) and reference.startswith("Organization/"):
        return hosts.listed(tx, id=reference.split("/")[1])
    identifier = organisation.get("identifier") or {}
    key = key_from(identifier.get("system"), str(identifier.get("value", "")))
    return hosts.listed(tx, key=key) if key else None
