"""read, vread, create, update, patch, delete, history, search and Bundles: https://hl7.org/fhir/R4/http.html"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask

from tests.support.region import NHS, STUDY_UID, Caller, caller, episode, patient, study


def new(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "id"}


def expressions(answer: Any) -> list[str]:
    return [expression for issue in answer.json["issue"] for expression in issue.get("expression", ())]


def test_create_gives_an_id_a_version_and_a_location(steward: Caller) -> None:
    answer = steward.post("/Patient", new(patient(number="9990000026")))
    assert answer.status_code == 201
    assert answer.json["meta"]["versionId"] == "1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Location"].endswith(f"/fhir/Patient/{answer.json['id']}/_history/1")
    read = steward.get(f"/Patient/{answer.json['id']}")
    assert (read.status_code, read.data) == (200, answer.data)
    assert read.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert read.headers["Cache-Control"] == "no-store"


def test_what_was_sent_comes_back_number_for_number(steward: Caller) -> None:
    extension = [
        {"url": "https://example.org/x", "valueDecimal": "N"},
        {"url": "https://example.org/y", "valueInteger": 7},
    ]
    body = new(patient(number="9990000034")) | {"extension": extension}
    import orjson

    raw = orjson.dumps(body).replace(b'"N"', b"1.500")
    made = steward.post("/Patient", raw)
    assert made.status_code == 201, made.text
    assert b'"valueDecimal":1.500' in steward.get(f"/Patient/{made.json['id']}").data


def test_read_answers_304_to_who_has_the_version(steward: Caller) -> None:
    assert steward.get("/Patient/p1", If_None_Match='W/"1"').status_code == 304
    assert steward.get("/Patient/p1", If_None_Match='W/"2"').status_code == 200
    modified = steward.get("/Patient/p1").headers["Last-Modified"]
    assert steward.get("/Patient/p1", If_Modified_Since=modified).status_code == 304


def test_update_makes_versions_and_history_keeps_them(steward: Caller) -> None:
    changed = patient() | {"gender": "other"}
    assert steward.put("/Patient/p1", changed).headers["ETag"] == 'W/"2"'
    assert steward.put("/Patient/p1", changed).headers["ETag"] == 'W/"2"', "nothing changed, no new version"
    assert steward.get("/Patient/p1/_history/1").json["gender"] == "female"
    entries = steward.get("/Patient/p1/_history").json["entry"]
    assert [(e["response"]["etag"], e["request"]["method"]) for e in entries] == [('W/"2"', "PUT"), ('W/"1"', "PUT")]


def test_if_match_guards_an_update(steward: Caller) -> None:
    stale = steward.put("/Patient/p1", patient() | {"gender": "other"}, If_Match='W/"7"')
    assert stale.status_code == 412
    assert steward.put("/Patient/p1", patient() | {"gender": "other"}, If_Match='W/"1"').status_code == 200
    assert steward.put("/Patient/p1", patient(), If_None_Match="*").status_code == 412
    assert steward.put("/Patient/p1", patient(), If_Match="nonsense").status_code == 400


def test_delete_is_remembered_and_can_be_undone_by_an_update(steward: Caller) -> None:
    assert steward.delete("/EpisodeOfCare/e1").status_code == 204
    gone = steward.get("/EpisodeOfCare/e1")
    assert (gone.status_code, gone.headers["ETag"]) == (410, 'W/"2"')
    assert steward.delete("/EpisodeOfCare/e1").status_code == 204
    assert steward.get("/EpisodeOfCare/e1/_history/1").status_code == 200
    assert steward.put("/EpisodeOfCare/e1", episode()).status_code == 201
    assert steward.get("/EpisodeOfCare/e1").json["meta"]["versionId"] == "3"


def test_conditional_create_makes_one_and_then_finds_it(steward: Caller) -> None:
    condition = f"identifier={NHS}|9990000026"
    first = steward.post("/Patient", new(patient(number="9990000026")), If_None_Exist=condition)
    again = steward.post("/Patient", new(patient(number="9990000026")), If_None_Exist=condition)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json["id"] == again.json["id"]
    assert first.headers["Location"] == again.headers["Location"]
    several = steward.post("/Patient", new(patient()), If_None_Exist="gender=female")
    assert several.status_code == 412
    assert steward.post("/Patient", new(patient()), If_None_Exist="").status_code in (201, 400)


def test_conditional_create_is_exact_under_concurrency(app: Flask, steward: Caller) -> None:
    answers: list[tuple[int, str]] = []

    def work() -> None:
        own = Caller(app.test_client(), steward.token)
        for n in range(4):
            number = f"urn:test|{n}"
            body = {"resourceType": "Patient", "identifier": [{"system": "urn:test", "value": str(n)}]}
            answer = own.post("/Patient", body, If_None_Exist=f"identifier={number}")
            answers.append((answer.status_code, answer.headers.get("Location", "")))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in answers) == [200] * 28 + [201] * 4
    assert len({location for _, location in answers}) == 4


def test_conditional_update_patch_and_delete_act_on_the_one_match(steward: Caller) -> None:
    changed = new(patient()) | {"gender": "other"}
    assert steward.put(f"/Patient?identifier={NHS}|9990000018", changed).status_code == 200
    assert steward.get("/Patient/p1").json["gender"] == "other"
    patch = [{"op": "replace", "path": "/gender", "value": "male"}]
    answer = steward.send(
        "PATCH", f"/Patient?identifier={NHS}|9990000018", patch, Content_Type="application/json-patch+json"
    )
    assert (answer.status_code, answer.json["gender"]) == (200, "male")
    made = steward.put(
        "/Patient?identifier=urn:x|1", {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "1"}]}
    )
    assert made.status_code == 201
    assert steward.delete("/Patient?identifier=urn:x|1").status_code == 204
    assert steward.delete("/Patient?identifier=urn:x|1").status_code == 204
    assert steward.delete("/Patient").status_code == 400


def test_patch_says_which_operation_cannot_be_done(steward: Caller) -> None:
    patch = [{"op": "test", "path": "/gender", "value": "male"}]
    answer = steward.send("PATCH", "/Patient/p1", patch, Content_Type="application/json-patch+json")
    assert (answer.status_code, expressions(answer)) == (422, ["[0]"])
    wrong_type = steward.send("PATCH", "/Patient/p1", patch, Content_Type="text/plain")
    assert wrong_type.status_code == 415
    moved = [{"op": "replace", "path": "/id", "value": "p2"}]
    assert steward.send("PATCH", "/Patient/p1", moved, Content_Type="application/json-patch+json").status_code == 422


def test_get_and_post_search_are_the_same(steward: Caller) -> None:
    got = steward.get(f"/ImagingStudy?patient=p1&identifier=urn:oid:{STUDY_UID}")
    posted = steward.send(
        "POST",
        "/ImagingStudy/_search",
        f"patient=p1&identifier=urn:oid:{STUDY_UID}",
        Content_Type="application/x-www-form-urlencoded",
    )
    assert [e["resource"]["id"] for e in got.json["entry"]] == ["s1"]
    assert got.json["entry"] == posted.json["entry"]
    assert got.json["link"] == posted.json["link"]


@pytest.mark.parametrize(
    "query",
    [
        f"identifier=urn:dicom:uid|urn:oid:{STUDY_UID}",
        f"identifier=urn:oid:{STUDY_UID}",
        f"identifier={STUDY_UID}",
        "patient.identifier=9990000018",
        f"patient.identifier={NHS}|9990000018",
        "patient=Patient/p1",
        "subject=p1",
        "status=available&modality=CT",
        "started=2026-02-01",
        "started=ge2026-01-01&started=lt2026-03-01",
        "endpoint=Endpoint/archive-rxa",
        f"series={STUDY_UID}.1",
        "_id=s1,other",
        "_lastUpdated=gt2020-01-01",
        "patient.birthdate=1970-02-03",
        "patient:Patient.family=demo",
        "modality:not=MR",
        "encounter:missing=true",
    ],
)
def test_a_study_is_found_by_its_main_parameters(steward: Caller, query: str) -> None:
    assert steward.ids(f"/ImagingStudy?{query}") == ["s1"]


@pytest.mark.parametrize(
    "query",
    [
        "identifier=1.2.3",
        "modality=MR",
        "started=2025",
        "patient=other",
        "status=cancelled",
        "patient.identifier=9990000026",
    ],
)
def test_and_not_by_other_values(steward: Caller, query: str) -> None:
    assert steward.ids(f"/ImagingStudy?{query}") == []


def test_has_and_reverse_include(steward: Caller) -> None:
    assert steward.ids("/Patient?_has:ImagingStudy:patient:modality=CT") == ["p1"]
    assert steward.ids("/Patient?_has:ImagingStudy:patient:modality=MR") == []
    entries = steward.get("/Patient?_id=p1&_revinclude=ImagingStudy:patient").json["entry"]
    assert [(e["resource"]["resourceType"], e["search"]["mode"]) for e in entries] == [
        ("Patient", "match"),
        ("ImagingStudy", "include"),
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("modalty=CT", "modality"),
        ("status:exact=available", "exact"),
        ("started=xx2026", "xx"),
        ("_include=ImagingStudy:endpoints", "endpoint"),
        ("_include=*", "_include"),
        ("_sort=nothing", "nothing"),
        ("_count=-1", "_count"),
        ("_cursor=forged", "page link"),
    ],
)
def test_what_is_not_known_is_refused_by_name(steward: Caller, query: str, names: str) -> None:
    answer = steward.get(f"/ImagingStudy?{query}")
    assert answer.status_code == 400
    assert any(names in issue["details"]["text"] for issue in answer.json["issue"])


def test_lenient_handling_drops_what_is_not_known_and_says_so(steward: Caller) -> None:
    answer = steward.get("/ImagingStudy?patient=p1&modalty=CT", Prefer="handling=lenient")
    assert answer.status_code == 200
    assert "modalty" not in answer.json["link"][0]["url"]
    outcomes = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "outcome"]
    assert "modalty" in outcomes[0]["issue"][0]["details"]["text"]


@pytest.mark.attack(44)
def test_a_page_link_is_for_whom_it_was_given_to_and_for_that_search(app: Flask, steward: Caller) -> None:
    for n in range(3):
        steward.put(f"/Patient/q{n}", {"resourceType": "Patient", "id": f"q{n}", "active": True})
    page = steward.get("/Patient?_count=2").json
    following = next(link["url"] for link in page["link"] if link["relation"] == "next").split("/fhir")[1]
    assert len(following.split("_cursor=")[1]) <= 512
    assert steward.get(following).status_code == 200
    other = caller(app, "steward", "ZZY", purpose=None)
    assert other.get(following).status_code == 400
    assert steward.get(following.replace("/Patient?", "/Patient?active=true&")).status_code == 400


def transaction(*entries: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(
    method: str, url: str, resource: dict[str, Any] | None = None, full: str | None = None, **request: str
) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url} | request}
    return made | ({"resource": resource} if resource else {}) | ({"fullUrl": full} if full else {})


def test_a_transaction_is_whole_and_its_references_are_resolved(steward: Caller) -> None:
    uuid = "urn:uuid:5c5b9a4e-31a4-4e3e-8a3e-0d6b6f7f0001"
    who = new(patient(number="9990000026"))
    what = new(study(uid="1.2.3.9")) | {"subject": {"reference": uuid}}
    which = new(episode()) | {"patient": {"reference": f"Patient?identifier={NHS}|9990000018"}}
    answer = steward.post(
        "",
        transaction(
            entry("POST", "ImagingStudy", what),
            entry("POST", "Patient", who, uuid),
            entry("POST", "EpisodeOfCare", which),
        ),
    )
    assert answer.status_code == 200, answer.text
    statuses = [e["response"]["status"][:3] for e in answer.json["entry"]]
    assert statuses == ["201", "201", "201"]
    made = answer.json["entry"][0]["resource"]
    assert made["subject"]["reference"] == f"Patient/{answer.json['entry'][1]['resource']['id']}"
    assert answer.json["entry"][2]["resource"]["patient"]["reference"] == "Patient/p1"
    assert steward.ids("/ImagingStudy?patient.identifier=9990000026") == [made["id"]]


def test_a_transaction_with_one_fault_leaves_nothing_and_names_the_entry(steward: Caller) -> None:
    good = new(patient(number="9990000026"))
    bad = new(study(uid="1.2.3.9")) | {"status": "nonsense"}
    answer = steward.post("", transaction(entry("POST", "Patient", good), entry("POST", "ImagingStudy", bad)))
    assert answer.status_code == 422
    assert expressions(answer) == ["Bundle.entry[1].resource.status"]
    both = steward.post("", transaction(entry("POST", "ImagingStudy", bad), entry("POST", "ImagingStudy", bad)))
    assert expressions(both) == [f"Bundle.entry[{number}].resource.status" for number in (0, 1)]
    assert steward.ids("/Patient?identifier=9990000026") == []


def test_a_batch_answers_entry_by_entry(steward: Caller) -> None:
    answer = steward.post(
        "",
        transaction(
            entry("GET", "Patient/p1"),
            entry("GET", "Patient/nobody"),
            entry("POST", "Patient", {"resourceType": "Patient", "gender": "nonsense"}),
            entry("GET", "ImagingStudy?patient=p1"),
            kind="batch",
        ),
    )
    assert [e["response"]["status"][:3] for e in answer.json["entry"]] == ["200", "404", "422", "200"]
    assert answer.json["entry"][3]["resource"]["entry"][0]["resource"]["id"] == "s1"


BAD: list[tuple[str, str, Any, int, str | None]] = [
    ("not JSON", "/Patient", b"{", 400, None),
    ("a list", "/Patient", b"[]", 400, None),
    ("not a number", "/Patient", b'{"resourceType":"Patient","multipleBirthInteger":NaN}', 400, None),
    ("a key twice", "/Patient", b'{"resourceType":"Patient","active":true,"active":false}', 400, None),
    ("150 deep", "/Patient", b'{"resourceType":"Patient","x":' + b'{"x":' * 150 + b"1" + b"}" * 151, 413, None),
    ("of another type", "/Patient", {"resourceType": "Practitioner"}, 400, "resourceType"),
    ("an unknown element", "/Patient", {"resourceType": "Patient", "colour": "red"}, 422, "Patient"),
    ("a wrong code", "/Patient", {"resourceType": "Patient", "gender": "red"}, 422, "Patient.gender"),
    ("null", "/Patient", b'{"resourceType":"Patient","gender":null}', 422, "Patient.gender"),
    ("an empty list", "/Patient", {"resourceType": "Patient", "name": []}, 422, "Patient.name"),
    ("a day that is not", "/Patient", {"resourceType": "Patient", "birthDate": "1970-02-30"}, 422, "Patient.birthDate"),
    (
        "two of a choice",
        "/Patient",
        {"resourceType": "Patient", "deceasedBoolean": True, "deceasedDateTime": "2020"},
        422,
        "Patient.deceased",
    ),
    (
        "a wrong NHS number",
        "/Patient",
        {"resourceType": "Patient", "identifier": [{"system": NHS, "value": "9990000019"}]},
        422,
        "Patient.identifier[0].value",
    ),
    ("no study UID", "/ImagingStudy", new(study()) | {"identifier": [{"value": "x"}]}, 422, "ImagingStudy.identifier"),
    ("a 65-character UID", "/ImagingStudy", new(study(uid="1." + "2" * 63)), 422, "ImagingStudy.identifier[0].value"),
    (
        "a subject that is not there",
        "/ImagingStudy",
        new(study()) | {"subject": {"reference": "Patient/nobody"}},
        422,
        "ImagingStudy.subject",
    ),
    (
        "a subject of the wrong type",
        "/ImagingStudy",
        new(study()) | {"subject": {"reference": "Endpoint/archive-rxa"}},
        422,
        "ImagingStudy.subject",
    ),
    (
        "script in the narrative",
        "/Patient",
        {"resourceType": "Patient", "text": {"status": "generated", "div": "<div><script>x</script></div>"}},
        422,
        "Patient.text.div",
    ),
    (
        "an unknown contained type",
        "/Patient",
        {"resourceType": "Patient", "contained": [{"resourceType": "Nothing"}]},
        422,
        "Patient.contained[0]",
    ),
]


@pytest.mark.parametrize(("what", "path", "body", "status", "place"), BAD, ids=[row[0] for row in BAD])
def test_bad_input_is_refused_at_its_place_and_nothing_is_stored(
    steward: Caller, what: str, path: str, body: Any, status: int, place: str | None
) -> None:
    before = steward.get(f"{path}?_summary=count").json["total"]
    answer = steward.post(path, body)
    assert answer.status_code == status, answer.text
    assert answer.json["resourceType"] == "OperationOutcome"
    assert answer.headers["X-Request-Id"]
    if place is not None:
        assert place in expressions(answer)
    assert steward.get(f"{path}?_summary=count").json["total"] == before


def test_wrong_addresses_methods_and_formats_have_their_own_answers(steward: Caller) -> None:
    assert steward.get("/Nothing").status_code == 404
    assert steward.get("/Patient/p1", Accept="text/html").status_code == 406
    assert steward.send("POST", "/Patient", b"x", Content_Type="text/plain").status_code == 415
    wrong = steward.send("PUT", "/metadata", b"x")
    assert wrong.status_code in (400, 404, 405, 415)
    assert steward.post("/AuditEvent", {"resourceType": "AuditEvent"}).status_code in (403, 405)
    large = steward.post("/Patient", b'{"resourceType":"Patient","id":"' + b"x" * 5_100_000 + b'"}')
    assert large.status_code == 413


def test_xml_goes_in_and_comes_out(steward: Caller) -> None:
    xml = b'<Patient xmlns="http://hl7.org/fhir"><active value="true"/><birthDate value="1971-02-03"/></Patient>'
    made = steward.send("POST", "/Patient", xml, Content_Type="application/fhir+xml")
    assert (made.status_code, made.json["birthDate"]) == (201, "1971-02-03")
    shown = steward.get(f"/Patient/{made.json['id']}?_format=xml")
    assert shown.headers["Content-Type"].startswith("application/fhir+xml")
    assert b'<birthDate value="1971-02-03"/>' in shown.data


def test_the_metadata_state_what_the_table_holds(app: Flask) -> None:
    said = app.test_client().get("/fhir/metadata").json
    assert said["resourceType"] == "CapabilityStatement"
    study_row = next(row for row in said["rest"][0]["resource"] if row["type"] == "ImagingStudy")
    assert {"code": "search-type"} in study_row["interaction"]
    assert "ImagingStudy:endpoint" in study_row["searchInclude"]
    assert "patient" in [param["name"] for param in study_row["searchParam"]]


def test_return_preferences_are_kept(steward: Caller) -> None:
    minimal = steward.put("/Patient/p1", patient() | {"gender": "other"}, Prefer="return=minimal")
    assert (minimal.status_code, minimal.data) == (200, b"")
    said = steward.put("/Patient/p1", patient() | {"gender": "male"}, Prefer="return=OperationOutcome")
    assert said.json["resourceType"] == "OperationOutcome"


def test_the_database_is_sound_after_all_that(app: Flask, steward: Caller) -> None:
    steward.put("/Patient/p1", patient() | {"gender": "other"})
    steward.delete("/EpisodeOfCare/e1")
    checked = app.test_cli_runner().invoke(args=["db", "check"])
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("before", ["", "?", "Patient?", "http://127.0.0.1:8080/fhir/Patient?"])
def test_the_criteria_of_a_conditional_create_may_come_with_the_address_they_are_for(
    steward: Caller, before: str
) -> None:
    criteria = f"{before}identifier={NHS}|9990000018"
    answer = steward.post("/Patient", new(patient()), If_None_Exist=criteria)
    assert (answer.status_code, answer.json["id"]) == (200, "p1")
    assert steward.post("/Patient", new(patient()), If_None_Exist="Organization?name=x").status_code == 400


def test_criteria_in_the_address_of_a_create_are_those_of_if_none_exist(steward: Caller) -> None:
    path = f"/Patient?_format=json&identifier={NHS}|9990000018"
    answer = steward.post(path, new(patient()))
    assert (answer.status_code, answer.json["id"]) == (200, "p1")
    assert steward.post("/Patient?_pretty=true", new(patient(number="9990000026"))).status_code == 201
    both = steward.post(path, new(patient()), If_None_Exist=f"identifier={NHS}|9990000018")
    assert (both.status_code, expressions(both)) == (400, ["If-None-Exist"])
    assert steward.post("/Patient?nonsense=1", new(patient())).status_code == 400
