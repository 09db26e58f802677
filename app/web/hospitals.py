"""The hospitals of the region by name, for forms that offer them."""

from __future__ import annotations

import orjson

from app.fhir.identifier import ODS_ORGANISATION
from app.interactions import Asked, Services
from app.interactions.search import search

# An NHS trust by its ODS role; elsewhere a healthcare provider.
TRUST = (
    "https://fhir.nhs.uk/CodeSystem/ODSAPI-OrganizationRole|RO197"
    ",http://terminology.hl7.org/CodeSystem/organization-type|prov"
)


def hospitals(services: Services, asked: Asked) -> dict[str, str]:
    """Names by ODS code, in the order of the names: trusts, not their sites."""
    pairs = [("type", TRUST), ("active:not", "false"), ("_count", "200")]
    found = orjson.loads(search(services, asked, "Organization", pairs).body or b"{}")
    named = {
        one["value"]: entry["resource"].get("name", one["value"])
        for entry in found.get("entry", [])
        for one in entry["resource"].get("identifier", [])
        if one.get("system") == ODS_ORGANISATION and "value" in one
    }
    return dict(sorted(named.items(), key=lambda one: one[1]))
