"""Search in SQL where it has gone wrong or could: long texts, types not held, absolute references, cursors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.fhir.elements import resource_type
from app.fhir.registry import TYPES
from app.fhir.search import parse
from app.policy.grant import Everything, Grant
from app.storage import resources, search
from app.storage.engine import Store, Tx
from app.storage.keys import param_number, type_number

AT = 1_773_136_800_000_000
BASE = "https://registry.example/fhir"
EVERYTHING = Grant("d", AT, {name: (Everything(),) for name in TYPES}, writer="ods:RXA")

# Types of R4 that R4B took away.
GONE = """EffectEvidenceSynthesis MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication
MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured
MedicinalProductPackaged MedicinalProductPharmaceutical MedicinalProductUndesirableEffect RiskEvidenceSynthesis
SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial
SubstanceSpecification"""


@pytest.fixture
def tx(store: Store) -> Iterator[Tx]:
    store.base_url = BASE
    with store.begin() as tx:
        yield tx


def keep(tx: Tx, type: str, id: str, **elements: Any) -> None:
    resources.create(tx, EVERYTHING, {"resourceType": type, **elements}, id)


def find(tx: Tx, type: str, *pairs: tuple[str, str]) -> list[str]:
    query = parse(type, pairs, base_url=BASE, at=AT)
    return [entry.id for entry in search.run(tx, EVERYTHING, query).entries]


def test_no_two_search_parameters_and_no_two_types_have_one_number() -> None:
    keys = {param.key for row in TYPES.values() for param in row.params.values()}
    assert len({param_number(key) for key in keys}) == len(keys)
    from fhir.resources.R4B import fhirtypes

    named = {name.removesuffix("Type") for name in dir(fhirtypes)}
    kinds = {name for name in named if resource_type(name)} | set(GONE.split())
    assert len(kinds) > 140
    assert len({type_number(name) for name in kinds}) == len(kinds)
    assert all(-32768 <= type_number(name) < 0 for name in kinds - set(TYPES))


def test_a_reference_to_a_type_that_is_not_held_is_found_and_is_not_missing(tx: Tx) -> None:
    keep(tx, "ImagingStudy", "with", encounter={"reference": "Encounter/1"})
    keep(tx, "ImagingStudy", "without")
    for asked in ("Encounter/1", "1", f"{BASE}/Encounter/1"):
        assert find(tx, "ImagingStudy", ("encounter", asked)) == ["with"], asked
    assert find(tx, "ImagingStudy", ("encounter", "Encounter/2")) == []
    assert find(tx, "ImagingStudy", ("encounter:missing", "true")) == ["without"]
    assert find(tx, "ImagingStudy", ("encounter:missing", "false")) == ["with"]


def test_a_reference_to_any_type_is_found_by_its_id_alone(tx: Tx) -> None:
    keep(tx, "Task", "of-study", focus={"reference": "ImagingStudy/x"})
    keep(tx, "Task", "of-claim", focus={"reference": "Claim/x"})
    keep(tx, "Task", "elsewhere", focus={"reference": "https://other.example/Claim/x"})
    assert find(tx, "Task", ("focus", "x")) == ["of-claim", "of-study"]
    assert find(tx, "Task", ("focus", "Claim/x")) == ["of-claim"]
    assert find(tx, "Task", ("focus", "https://other.example/Claim/x")) == ["elsewhere"]


def test_a_reference_by_this_servers_address_is_one_to_this_server(tx: Tx) -> None:
    keep(tx, "Patient", "p", name=[{"family": "Willow"}])
    keep(tx, "ImagingStudy", "s", subject={"reference": f"{BASE}/Patient/p"})
    assert find(tx, "ImagingStudy", ("patient", "p")) == ["s"]
    assert find(tx, "ImagingStudy", ("patient.family", "will")) == ["s"]
    (made,) = search.run(tx, EVERYTHING, parse("ImagingStudy", [], at=AT)).entries
    assert made.patient != 0
    assert f'"{BASE}/Patient/p"'.encode() in made.content


def test_a_code_of_another_system_does_not_match_a_bare_code(tx: Tx) -> None:
    keep(tx, "Endpoint", "e", status="active")
    assert find(tx, "Endpoint", ("status", "http://hl7.org/fhir/endpoint-status|active")) == ["e"]
    assert find(tx, "Endpoint", ("status", "|active")) == ["e"]
    assert find(tx, "Endpoint", ("status", "http://other.example|active")) == []
    assert find(tx, "Endpoint", ("status:not", "http://other.example|active")) == ["e"]
    assert find(tx, "Endpoint", ("status", "http://other.example|")) == []


def test_texts_longer_than_an_index_takes_are_found_whole_and_by_their_beginning(tx: Tx) -> None:
    text = "chest " * 20_000 + "end"
    value = "v" * 5000
    address = "https://other.example/" + "a" * 5000
    keep(
        tx,
        "ImagingStudy",
        "long",
        description=text,
        identifier=[{"system": "urn:x", "value": value}],
        basedOn=[{"reference": address}],
        reasonCode=[{"text": text}],
        meta={"source": address},
    )
    keep(tx, "ImagingStudy", "other", description="chest " * 20_000)
    assert find(tx, "ImagingStudy", ("description", text[:900])) == ["other", "long"]
    assert find(tx, "ImagingStudy", ("description:contains", "chest end")) == ["long"]
    assert find(tx, "ImagingStudy", ("description", "chest end")) == []
    assert find(tx, "ImagingStudy", ("reason:text", text[:900])) == ["long"]
    assert find(tx, "ImagingStudy", ("identifier:missing", "false")) == ["long"]
    assert find(tx, "ImagingStudy", ("identifier", value[:600])) == []
    assert find(tx, "ImagingStudy", ("_sort", "-description")) == ["other", "long"]


def test_a_page_key_stays_short_whatever_the_results_are_sorted_by(tx: Tx) -> None:
    names = [("语" * 400 + f"{n}") for n in range(7)]
    for n, name in enumerate(names):
        keep(tx, "Patient", f"p{n}", name=[{"family": name, "given": [name]}], address=[{"city": name, "line": [name]}])
    for order in ("family,given,address,address-city", "-family,given,-address", "family"):
        query = parse("Patient", [("_sort", order), ("_count", "2")], at=AT)
        found: list[str] = []
        while True:
            page = search.run(tx, EVERYTHING, query)
            found += [entry.id for entry in page.entries]
            if page.next is None:
                break
            assert len(page.next) <= 240
            query = replace(query, cursor=page.next)
        expected = [f"p{n}" for n in range(7)]
        assert found == (expected if order.startswith("family") else expected[::-1]), order


def test_the_patients_of_two_joined_records_are_one_person_in_both_directions(tx: Tx) -> None:
    keep(tx, "Patient", "kept")
    keep(tx, "Patient", "old", link=[{"other": {"reference": "Patient/kept"}, "type": "replaced-by"}])
    keep(tx, "ImagingStudy", "s", status="available", subject={"reference": "Patient/old"})
    assert find(tx, "ImagingStudy", ("patient", "kept")) == ["s"]
    assert find(tx, "ImagingStudy", ("patient._id", "kept")) == ["s"]
    assert find(tx, "Patient", ("_has:ImagingStudy:patient:status", "available"), ("_sort", "_id")) == ["kept", "old"]


def test_reversed_includes_that_build_on_each_other_start_from_every_type(tx: Tx) -> None:
    keep(tx, "Endpoint", "e")
    keep(tx, "Organization", "o", endpoint=[{"reference": "Endpoint/e"}])
    keep(tx, "Organization", "inner", partOf={"reference": "Organization/o"})
    keep(
        tx,
        "Location",
        "l",
        endpoint=[{"reference": "Endpoint/e"}],
        managingOrganization={"reference": "Organization/o"},
    )
    pairs = [("_revinclude", "Location:endpoint"), ("_revinclude", "Organization:endpoint")]
    pairs += [("_revinclude:iterate", "Organization:partof")]
    page = search.run(tx, EVERYTHING, parse("Endpoint", pairs, at=AT))
    assert {entry.ref for entry in page.included} == {"Location/l", "Organization/o", "Organization/inner"}
