"""Each search parameter of each type finds what has its value and nothing else, and refuses a wrong value in words.

The tests are made from the table. `search_samples.json` has resources of each type in which every parameter has a
value, most in one; a parameter that is added without one has no sample, and fails here. https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from app.fhir.index import extract
from app.fhir.outcome import Fault
from app.fhir.query import Param
from app.fhir.registry import TYPES, modifiers
from app.fhir.search import parse
from app.policy.grant import Everything, Grant
from app.published import validator
from app.storage import resources
from tests.properties.search_strategies import asking
from tests.support.region import Caller, caller

SAMPLES: list[dict[str, Any]] = list(json.loads(Path(__file__).with_name("search_samples.json").read_text()).values())
KINDS = sorted({sample["resourceType"] for sample in SAMPLES})
PARAMS = [(name, param) for name in KINDS for param in TYPES[name].params.values()]
EACH = pytest.mark.parametrize(("kind", "param"), PARAMS, ids=[param.key for _, param in PARAMS])

WRONG = {
    "token": "a|b|c",
    "reference": "not a reference",
    "date": "yesterday",
    "number": "many",
    "string": "!?",
    "uri": "not a uri",
}


@dataclass
class Samples:
    """A server that holds the samples of each type, `full-1` and so on, and `blank`, with no value at all."""

    steward: Caller
    full: dict[str, list[dict[str, Any]]]

    def found(self, path: str) -> set[str]:
        return set(self.steward.ids(path))


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def samples(
    request: pytest.FixtureRequest, module_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Samples]:
    keys = str(tmp_path_factory.mktemp("keys"))
    app = create_app(Settings(database_url=module_database(request.param), keys_dir=keys, log_level="error"))
    services = app.extensions["services"]
    everything = Grant("d", 0, {name: (Everything(),) for name in TYPES})
    full: dict[str, list[dict[str, Any]]] = {}
    for kind in KINDS:
        blank = {"resourceType": kind}
        if kind in services.published:
            # One dictionary for all applications: a type's resources are put back at the end.
            services.published[kind]["blank"] = blank | {"id": "blank"}
        else:
            with services.store.begin() as tx:
                resources.create(tx, everything, blank, "blank")
    for sample in SAMPLES:
        kind = sample["resourceType"]
        id = f"full-{len(full.setdefault(kind, [])) + 1}"
        if kind in services.published:
            meta = {"versionId": "1", "lastUpdated": "2025-01-02T10:00:00Z"} | sample.get("meta", {})
            services.published[kind][id] = sample | {"id": id, "meta": meta}
            full[kind].append(services.published[kind][id])
        else:
            with services.store.begin() as tx:
                full[kind].append(orjson.loads(resources.create(tx, everything, sample, id).content))
    yield Samples(caller(app, "steward", "ZZZ", purpose=None), full)
    for kind in services.published:
        for id in [id for id in services.published[kind] if id == "blank" or id.startswith("full-")]:
            del services.published[kind][id]
    services.store.close()


def test_every_type_has_a_sample_and_every_sample_could_be_stored() -> None:
    assert set(KINDS) == set(TYPES) - {"AuditEvent"}, "the audit's own parameters are tested with the audit"
    for sample in SAMPLES:
        assert [issue for issue in validator().validate(sample) if issue.severity == "error"] == [], sample


def positive(samples: list[dict[str, Any]], param: Param) -> tuple[str, list[tuple[str, str]]]:
    """The first sample that has a value, and searches by the parameter that it is found by."""
    for one in samples:
        if param.name == "_id":
            return one["id"], [("_id", one["id"])]
        if param.name == "_lastUpdated":
            return one["id"], [("_lastUpdated", one["meta"]["lastUpdated"])]
        asked = [pair for pair in asking(one["resourceType"], extract(one)) if pair[0].partition(":")[0] == param.name]
        if asked:
            return one["id"], asked
    raise AssertionError(f"there is no sample of {param.key}: add a value to search_samples.json")


@EACH
def test_a_parameter_finds_what_has_its_value_and_nothing_else(samples: Samples, kind: str, param: Param) -> None:
    full, asked = positive(samples.full[kind], param)
    for name, value in asked:
        found = samples.found(f"/{kind}?{urlencode([(name, value), ('_count', '500')])}")
        assert full in found, (name, value)
        assert "blank" not in found, (name, value)
    allowed = modifiers(param)
    if "missing" in allowed and param.shape != "exists":
        assert full in samples.found(f"/{kind}?{param.name}:missing=false&_count=500")
        absent = samples.found(f"/{kind}?{param.name}:missing=true&_count=500")
        assert "blank" in absent and full not in absent
    plain = next((value for name, value in asked if name == param.name), None)
    if "not" in allowed and plain is not None:
        others = samples.found(f"/{kind}?{param.name}:not={quote(plain)}&_count=500")
        assert "blank" in others and full not in others


@EACH
def test_a_parameter_refuses_a_wrong_value_and_a_wrong_modifier_by_its_name(
    samples: Samples, kind: str, param: Param
) -> None:
    for asked in (f"{param.name}={quote(WRONG[param.kind])}", f"{param.name}=", f"{param.name}:below=x"):
        answer = samples.steward.get(f"/{kind}?{asked}")
        assert answer.status_code == 400, (asked, answer.text)
        (issue,) = answer.json["issue"]
        assert issue["code"] == "invalid"
        assert f'"{param.name}"' in issue["details"]["text"], issue
        assert "expected" in issue["details"]["text"] or "known" in issue["details"]["text"], issue
    whole = samples.found(f"/{kind}?_count=500")
    lenient = samples.steward.get(
        f"/{kind}?{param.name}={quote(WRONG[param.kind])}&_count=500", Prefer="handling=lenient"
    ).json
    assert {one["resource"]["id"] for one in lenient["entry"] if one["search"]["mode"] == "match"} == whole
    (outcome,) = [one["resource"] for one in lenient["entry"] if one["search"]["mode"] == "outcome"]
    assert f'"{param.name}"' in outcome["issue"][0]["details"]["text"]
    (link,) = [one["url"] for one in lenient["link"] if one["relation"] == "self"]
    assert link.endswith(f"/{kind}?_count=500")


@EACH
def test_results_are_sorted_by_a_parameter_both_ways(samples: Samples, kind: str, param: Param) -> None:
    full, _ = positive(samples.full[kind], param)
    path = f"/{kind}?_id={full},blank&_sort="
    if param.shape == "uid":
        answer = samples.steward.get(f"{path}{param.name}")
        said = answer.json["issue"][0]["details"]["text"]
        assert said == f'"_sort" by "{param.name}" is not supported: UIDs have no order, expected another'
        return
    rising, falling = samples.steward.ids(path + param.name), samples.steward.ids(f"{path}-{param.name}")
    if param.name in ("_id", "_lastUpdated") or param.shape == "exists":
        # Both have a value; of our own conformance resources `blank` has no date.
        assert sorted(rising) == ["blank", full]
        assert rising == falling[::-1] or param.name == "_lastUpdated"
    else:
        assert rising == falling == [full, "blank"], "what has no value comes last either way"


def test_a_value_set_of_our_own_names_its_codes_and_another_is_refused(samples: Samples) -> None:
    ours = "https://imaging-registry.example/fhir/ValueSet/registry-modality"
    assert samples.found(f"/ImagingStudy?modality:in={quote(ours)}") == {"full-1"}
    answer = samples.steward.get("/ImagingStudy?modality:in=http://example.org/ValueSet/none")
    assert answer.status_code == 400
    assert answer.json["issue"][0]["details"]["text"].startswith(
        'in "modality:in": a value set that is not held here after ":in": the nearest known is "'
    )


def test_the_nearest_known_parameter_is_named() -> None:
    for kind, asked, nearest in (
        ("ImagingStudy", "modalitty", "modality"),
        ("EpisodeOfCare", "care_manager", "care-manager"),
        ("Consent", "perod", "period"),
    ):
        with pytest.raises(Fault) as refused:
            parse(kind, [(asked, "x")], at=0)
        assert f'"{asked}"' in refused.value.text
        assert f'"{nearest}"' in refused.value.text


def test_the_three_main_types_have_every_search_parameter_of_r4() -> None:
    """https://hl7.org/fhir/R4/searchparameter-registry.html"""
    base = {
        "ImagingStudy": "basedon bodysite dicom-class encounter endpoint identifier instance interpreter modality patient"
        " performer reason referrer series started status subject",
        "EpisodeOfCare": "care-manager condition date identifier incoming-referral organization patient status type",
        "Consent": "action actor category consentor data date identifier organization patient period purpose scope"
        " security-label source-reference status",
    }
    common = {"_id", "_lastUpdated", "_tag", "_security", "_profile", "_source"}
    for kind, names in base.items():
        assert {*names.split(), *common} <= set(TYPES[kind].params), kind
    for row in TYPES.values():
        assert common <= set(row.params) or row.name == "AuditEvent", row.name


AUDITED = {
    "_id": ("", "none"),
    "_lastUpdated": ("gt2020", "lt2020"),
    "date": ("gt2020", "lt2020"),
    "action": ("R", "D"),
    "outcome": ("0", "8"),
    "type": ("http://terminology.hl7.org/CodeSystem/audit-event-type|", "http://none.example|"),
    "subtype": ("http://hl7.org/fhir/restful-interaction|read", "vread"),
    "patient": ("Patient/p1", "Patient/none"),
    "agent": ("Practitioner/dr-x", "Practitioner/none"),
    "entity": ("ImagingStudy/s1", "ImagingStudy/none"),
}


def test_each_parameter_of_the_audit_finds_and_leaves_out_and_no_other_is_stated(app: Flask, steward: Caller) -> None:
    assert set(AUDITED) == set(TYPES["AuditEvent"].params)
    clinician = caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/dr-x")
    assert clinician.get("/ImagingStudy/s1").status_code == 200
    (event, *_) = steward.ids("/AuditEvent?agent=Practitioner/dr-x&type=rest&subtype=read")
    for name, (value, other) in AUDITED.items():
        assert event in steward.ids(f"/AuditEvent?{name}={quote(value or event)}&_count=500"), name
        assert event not in steward.ids(f"/AuditEvent?{name}={quote(other)}&_count=500"), name
    for name in ("_tag", "_security", "_profile", "_source"):
        answer = steward.get(f"/AuditEvent?{name}=http://x.example")
        assert answer.status_code == 400 and f'"{name}"' in answer.json["issue"][0]["details"]["text"], name
