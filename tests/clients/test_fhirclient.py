"""fhirclient (SMART's Python client), unmodified: https://pypi.org/project/fhirclient"""

from __future__ import annotations

import pytest
from fhirclient import client as smart
from fhirclient.models.bundle import Bundle
from fhirclient.models.imagingstudy import ImagingStudy
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException

from tests.clients.conftest import Registry

SYSTEM = "https://example.org/clients/fhirclient"


@pytest.fixture
def server(registry: Registry) -> smart.server.FHIRServer:
    made = smart.FHIRClient(settings={"app_id": "clients", "api_base": registry.base}).server
    made.session.headers["Authorization"] = f"Bearer {registry.token}"
    return made


def patient(number: int) -> Patient:
    return Patient({"identifier": [{"system": SYSTEM, "value": str(number)}], "name": [{"family": "Fictional"}]})


def test_a_day_with_fhirclient(server: smart.server.FHIRServer) -> None:
    server.get_capability()
    made = [Patient(patient(number).create(server)) for number in range(5)]
    read = Patient.read(made[0].id, server)
    assert read.name[0].family == "Fictional"
    assert read.as_json() == made[0].as_json()

    read.gender = "other"
    assert read.update(server)["meta"]["versionId"] == "2"
    assert Patient.read(made[0].id, server).gender == "other"

    wanted = ",".join(f"{SYSTEM}|{number}" for number in range(5))
    pages = list(Patient.where({"identifier": wanted, "_count": "2"}).perform_iter(server))
    assert [len(page.entry) for page in pages] == [2, 2, 1]
    found = list(Patient.where({"identifier": wanted, "_count": "2"}).perform_resources_iter(server))
    assert len({one.id for one in found}) == 5

    entry = {"request": {"method": "GET", "url": f"Patient/{made[0].id}"}}
    answered = Bundle({"type": "transaction", "entry": [entry]})
    said = server.post_json("", answered.as_json()).json()
    assert said["entry"][0]["resource"]["id"] == made[0].id
    history = server.request_json(f"Patient/{made[0].id}/_history")
    assert [one["resource"]["meta"]["versionId"] for one in history["entry"]] == ["2", "1"]

    for one in made:
        Patient.read(one.id, server).delete()
    with pytest.raises(FHIRNotFoundException):
        Patient.read("none", server)


def test_its_models_read_every_study_of_the_demo_region(server: smart.server.FHIRServer) -> None:
    studies = list(ImagingStudy.where({"_count": "100"}).perform_resources_iter(server))
    assert studies and all(isinstance(one, ImagingStudy) and one.subject.reference for one in studies)
