"""Each HL7 example of the types held goes in and comes back as it was but for id and meta, as JSON and as XML.

https://hl7.org/fhir/R4/json.html and https://hl7.org/fhir/R4/xml.html; the examples are those of npm's
hl7.fhir.r4.examples 4.0.1, fetched when the test runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from app.fhir.lossless import dump, load
from app.fhir.registry import TYPES
from app.fhir.xml import from_xml, to_xml
from tests.support import hl7
from tests.support.parts import requires
from tests.support.region import Caller, caller

pytestmark = requires("npm")

FHIR_XML = "application/fhir+xml"
WRITTEN = [name for name, kind in TYPES.items() if "create" in kind.interactions]
BASE = "http://hl7.org/fhir/StructureDefinition"

# What the registry's own profiles refuse, which base R4 allows: why, and the element that is refused.
REFUSED = {
    "Consent": ("a choice says who made it, by which policy, and on what form", "Consent.policy"),
    "Endpoint-direct-endpoint": ("an archive is reached by a web service", "Endpoint.connectionType"),
    "Endpoint-example": ("addresses are https", "Endpoint.address"),
    "Endpoint-example-iid": ("an archive has an organisation", "Endpoint.managingOrganization"),
    "Endpoint-example-wadors": ("an archive has an organisation", "Endpoint.managingOrganization"),
    "ImagingStudy-example-xr": ("an accession number is its issuer's", "ImagingStudy.identifier[1]"),
    "Patient-mom": ("a record of a patient joins those of patients", "Patient.link[0].other"),
    "Subscription": ("criteria are on types held, and headers are one's own", "Subscription.criteria"),
}
# What base R4 itself does not allow: items without a linkId.
WRONG = {"Questionnaire-qs1": "Questionnaire.item[0].item[0].linkId"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def steward(
    request: pytest.FixtureRequest, module_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Caller]:
    """Somebody who may write everything, where references need not resolve."""
    app: Flask = create_app(
        Settings(
            database_url=module_database(request.param),
            keys_dir=str(tmp_path_factory.mktemp("keys")),
            log_level="error",
            references="lenient",
        )
    )
    yield caller(app, "steward", "ZZZ", purpose=None)
    app.extensions["services"].store.close()


def refusal(path: Path) -> tuple[str, str] | None:
    return REFUSED.get(path.stem) or REFUSED.get(path.stem.split("-")[0])


def sound(type_name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The examples that go in, each with what is in it."""
    for path in hl7.examples(type_name):
        if refusal(path) is None and path.stem not in WRONG:
            yield path, load(path.read_bytes(), 1 << 30)


def told(resource: dict[str, Any]) -> bytes:
    """The resource but for id and meta: order and spelling of numbers included."""
    return dump({name: value for name, value in resource.items() if name not in ("id", "meta")})


@pytest.mark.parametrize("type_name", WRITTEN)
def test_an_example_comes_back_as_it_went_in(steward: Caller, type_name: str) -> None:
    for path, sent in sound(type_name):
        made = steward.put(f"/{type_name}/{sent['id']}", path.read_bytes())
        assert made.status_code == 201, (path.name, made.text)
        read = steward.get(f"/{type_name}/{sent['id']}")
        assert told(load(read.data)) == told(sent), path.name
        kept = {name: value for name, value in sent.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
        assert {name: load(read.data)["meta"].get(name) for name in kept} == kept, path.name
        again = steward.put(f"/{type_name}/{sent['id']}", path.read_bytes())
        assert (again.status_code, again.headers["ETag"]) == (200, 'W/"1"'), "the same again makes no version"


@pytest.mark.parametrize("type_name", WRITTEN)
def test_an_example_comes_back_through_xml(steward: Caller, type_name: str) -> None:
    for path, sent in sound(type_name):
        id = f"x-{sent['id']}"[:64]
        body = to_xml(sent | {"id": id})
        made = steward.put(f"/{type_name}/{id}", body, Content_Type=FHIR_XML, Accept=FHIR_XML)
        if made.status_code == 200 and type_name == "ImagingStudy":
            continue  # one study UID is one resource, whatever its id
        assert made.status_code == 201, (path.name, made.text)
        read = steward.get(f"/{type_name}/{id}", Accept=FHIR_XML)
        assert read.headers["Content-Type"].startswith(FHIR_XML)
        back = {name: value for name, value in from_xml(read.data).items() if name not in ("id", "meta")}
        there = {name: value for name, value in from_xml(body).items() if name not in ("id", "meta")}
        assert back == there, path.name
        assert dump(back) == dump(there), path.name


@pytest.mark.parametrize("type_name", WRITTEN)
def test_what_is_refused_is_so_by_our_own_profiles_alone(steward: Caller, type_name: str) -> None:
    for path in hl7.examples(type_name):
        reason, body = refusal(path), path.read_bytes()
        if reason is None and path.stem not in WRONG:
            continue
        answer = steward.put(f"/{type_name}/{load(body, 1 << 30)['id']}", body)
        places = [place for issue in answer.json["issue"] for place in issue.get("expression", ())]
        assert answer.status_code == 422, path.name
        assert (reason[1] if reason else WRONG[path.stem]) in places, (path.name, places)
        base = steward.post(f"/{type_name}/$validate?profile={BASE}/{type_name}", body)
        errors = [issue for issue in base.json["issue"] if issue["severity"] in ("error", "fatal")]
        assert (errors == []) == (path.stem not in WRONG), (path.name, errors)


def test_there_are_examples_of_nearly_every_type() -> None:
    assert sum(1 for name in WRITTEN for _ in sound(name)) >= 120
