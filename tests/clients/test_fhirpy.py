"""fhirpy, unmodified: https://pypi.org/project/fhirpy"""

from __future__ import annotations

import pytest
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

from tests.clients.conftest import Registry

SYSTEM = "https://example.org/clients/fhirpy"


@pytest.fixture
def client(registry: Registry) -> SyncFHIRClient:
    return SyncFHIRClient(registry.base, authorization=f"Bearer {registry.token}")


def named(number: int) -> dict[str, object]:
    return {"identifier": [{"system": SYSTEM, "value": str(number)}], "name": [{"family": "Fictional"}]}


def test_a_day_with_fhirpy(client: SyncFHIRClient) -> None:
    made = client.resource("Patient", **named(0))
    made.save()
    assert made.id and made["meta"]["versionId"] == "1"
    assert client.reference("Patient", made.id).to_resource().serialize() == made.serialize()

    again, created = (
        client.resources("Patient")
        .search(identifier=f"{SYSTEM}|0")
        .get_or_create(client.resource("Patient", **named(0)))
    )
    assert (again.id, created) == (made.id, False)

    made["gender"] = "other"
    made.save()
    assert made["meta"]["versionId"] == "2"
    made["gender"] = "male"
    made.save(fields=["gender"])  # which it sends as a merge patch
    read = client.get("Patient", made.id)
    assert (read["gender"], read["meta"]["versionId"]) == ("male", "3")

    entries = [
        {"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Patient", **named(number)}}
        for number in range(1, 5)
    ]
    bundle = client.resource("Bundle", type="transaction", entry=entries)
    bundle.save()
    assert [entry["response"]["status"][:3] for entry in bundle["entry"]] == ["201"] * 4

    wanted = ",".join(f"{SYSTEM}|{number}" for number in range(5))
    search = client.resources("Patient").search(identifier=wanted)
    assert len(search.limit(2).fetch()) == 2
    found = search.limit(2).fetch_all()
    assert len({one.id for one in found}) == 5
    # Its count() sends a parameter that is no FHIR, and is refused by name as any other that there is not.
    assert search.search(_total="accurate").limit(0).fetch_raw()["total"] == 5
    with pytest.raises(OperationOutcome, match="_totalMethod"):
        search.count()
    with pytest.raises(MultipleResourcesFound):
        search.get()
    history = client.execute(f"Patient/{made.id}/_history", method="get")
    assert len(history["entry"]) == 3

    with pytest.raises(OperationOutcome) as refused:
        client.resource("Patient", gender="unheard-of").save()
    assert refused.value.resource["issue"][0]["expression"] == ["Patient.gender"]
    for one in found:
        one.delete()
    with pytest.raises(ResourceNotFound):
        client.resources("Patient").search(_id=made.id).get()
