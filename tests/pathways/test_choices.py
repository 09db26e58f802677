"""A patient's choice from the form to the letter, with the functions that the pages at /choices and /desk call: each step
and each that does not follow, the clocks, what a status tells, double submission, proxies and the young."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.interactions import Asked, Services
from app.pathways.choice import desk, requests
from app.pathways.choice.form import Form
from app.pathways.choice.model import Request
from app.pathways.clocks import local_date, one_month, working_days
from app.pathways.scheduled import carry_out
from app.policy.switches import Switches
from app.storage import resources
from app.storage.engine import microseconds
from tests.pathways.conftest import Clock
from tests.support.region import NHS, Caller, caller, consent, organization, patient

SEARCH = f"/ImagingStudy?patient.identifier={NHS}|9990000018"
FORM = Form(
    choice="opt-out", given="Willow", family="Demo", birth_date="1970-02-03", nhs_number="999 000 0018",
    address="1 Mill Lane\nAlderbrook", postcode="ZZ1 1ZZ", understood=True,
)  # fmt: skip
HOUR = 3_600_000_000


@pytest.fixture
def public() -> Asked:
    return Asked(Subject("choices", "user", None, "public", address="192.0.2.7"))


@pytest.fixture
def officer(steward: Caller) -> Asked:
    """An officer of the region's desk."""
    steward.put("/Organization/za1", organization("ZA1"))
    return of_desk()


def of_desk(ods: str = "ZA1", role: str = "privacy") -> Asked:
    return Asked(
        Subject(
            "desk", "user", f"ods:{ods}", role, None, ("user/*.cruds",), practitioner=f"Practitioner/ig-{ods.lower()}"
        )
    )


def refused(work: Callable[[], Any]) -> tuple[int, str, str | None]:
    with pytest.raises(Fault) as raised:
        work()
    return raised.value.status, raised.value.text, raised.value.expression


def accepted(services: Services, officer: Asked, id: str) -> Request:
    desk.receive(services, officer, id)
    return desk.accept(services, officer, id)


def test_the_whole_way_from_the_form_to_the_confirmation_and_back(
    services: Services, steward: Caller, treating: Caller, public: Asked, officer: Asked
) -> None:
    assert treating.ids(SEARCH) == ["s1"]
    receipt = requests.submit(services, public, FORM, submission="page-1")
    assert receipt.reference.startswith("IMG-") and not receipt.in_force and not receipt.again
    assert receipt.acknowledge_by == working_days(receipt.received, 2, "Europe/London")
    assert receipt.decide_by == one_month(receipt.received, "Europe/London")
    (one,) = desk.worklist(services, officer)
    assert (one.id, one.state, one.patient, one.checks, one.overdue) == (
        receipt.id, "requested", "Patient/p1", ("identity",), (),
    )  # fmt: skip
    assert one.form == replace(FORM, nhs_number="9990000018")
    assert steward.get(f"/Consent/{receipt.id}-consent").json["status"] == "proposed"
    assert treating.ids(SEARCH) == ["s1"], "a choice that was not confirmed does not act (P10)"
    desk.receive(services, officer, receipt.id)
    sent = desk.sent(services, officer, receipt.id, "acknowledgement")
    assert sent.acknowledged is not None and [one.kind for one in sent.letters] == ["acknowledgement"]
    assert sent.letters[0].to == ("Willow Demo", "1 Mill Lane", "Alderbrook", "ZZ1 1ZZ")
    assert receipt.reference in sent.letters[0].paragraphs[0]
    assert desk.accept(services, officer, receipt.id).state == "accepted"
    done = desk.confirm(services, officer, receipt.id)
    assert (done.state, done.consent) == ("in-progress", f"Consent/{receipt.id}-consent")
    assert treating.ids(SEARCH) == []
    last = desk.sent(services, officer, receipt.id, "confirmation")
    assert last.state == "completed" and last.decided is not None
    assert [one.what for one in last.history] == [
        "requested", "received", "acknowledgement sent", "accepted", "in-progress", "confirmation sent",
    ]  # fmt: skip
    assert {one.who for one in last.history} == {"form", "Practitioner/ig-za1"}
    provenance = steward.get(f"/Provenance/{receipt.id}-consent-provenance").json
    assert provenance["target"][0]["reference"].startswith(f"Consent/{receipt.id}-consent/_history/")
    assert desk.worklist(services, officer) == []

    back = requests.submit(services, public, replace(FORM, choice="opt-in"))
    accepted(services, officer, back.id)
    desk.confirm(services, officer, back.id)
    assert treating.ids(SEARCH) == ["s1"]
    assert steward.get(f"/Consent/{receipt.id}-consent").json["status"] == "inactive"
    seen = steward.get("/AuditEvent?entity=Consent").json
    assert seen["resourceType"] == "Bundle"


def test_a_form_that_is_sent_twice_is_one_request(services: Services, public: Asked, officer: Asked) -> None:
    first = requests.submit(services, public, FORM, submission="page-1")
    for again in (
        requests.submit(services, public, FORM, submission="page-1"),
        requests.submit(services, public, replace(FORM, family=" demo "), submission="page-2"),
    ):
        assert (again.reference, again.id, again.again) == (first.reference, first.id, True)
    assert len(desk.worklist(services, officer)) == 1
    desk.reject(services, officer, first.id, "withdrawn")
    assert not requests.submit(services, public, FORM, submission="page-3").again


def test_the_same_choice_of_the_same_person_on_paper_is_a_duplicate(
    services: Services, public: Asked, officer: Asked
) -> None:
    first = requests.submit(services, public, FORM)
    status, text, _ = refused(lambda: desk.record(services, officer, replace(FORM, postcode="ZZ2 2ZZ")))
    assert status == 409 and first.reference in text


def test_two_of_the_desk_who_type_in_one_choice_differently_at_once_make_one_request(
    services: Services, steward: Caller, officer: Asked
) -> None:
    """Whose it is is told by the record, not by what was typed."""
    made: list[Request | Fault] = []

    def typed(form: Form) -> None:
        try:
            made.append(desk.record(services, officer, form))
        except Fault as fault:
            made.append(fault)

    forms = [FORM, replace(FORM, postcode="ZZ2 2ZZ")]
    waiting = [threading.Thread(target=typed, args=(form,)) for form in forms]
    with services.store.begin() as tx:
        resources.lock_match_keys(tx, [requests.key("Patient/p1 opt-out")])
        tx.flush()
        for one in waiting:
            one.start()
        time.sleep(0.5)
    for one in waiting:
        one.join()
    assert sorted(one.status if isinstance(one, Fault) else 201 for one in made) == [201, 409]


def test_a_paper_form_runs_from_the_day_it_came(services: Services, officer: Asked) -> None:
    now = services.store.clock()
    day = local_date(now - 40 * 24 * HOUR, "Europe/London").isoformat()
    made = desk.record(services, officer, FORM, received=day, submission="paper-1")
    assert (made.channel, made.overdue, made.history[0].who) == (
        "paper", ("acknowledge", "decide"), "Practitioner/ig-za1",
    )  # fmt: skip
    assert desk.record(services, officer, FORM, received=day, submission="paper-1").id == made.id
    for wrong in ("2026-13-01", "yesterday", "2999-01-01", "1999-01-01"):
        assert refused(lambda wrong=wrong: desk.record(services, officer, FORM, received=wrong))[0] == 422


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"choice": "maybe"}, "choice", "not one of the answers"),
        ({"given": "  "}, "given", "missing; expected a name"),
        ({"family": ""}, "family", "missing; expected a name"),
        ({"family": "x" * 201}, "family", "too long; expected at most 200 characters"),
        ({"family": "a\x00b"}, "family", "contains characters that cannot be kept"),
        ({"birth_date": ""}, "birth_date", "not a date"),
        ({"birth_date": "1970-02-30"}, "birth_date", "not a date"),
        ({"birth_date": "2970-02-03"}, "birth_date", "not in a lifetime"),
        ({"nhs_number": "9990000019"}, "nhs_number", "not an NHS number"),
        ({"nhs_number": "12345"}, "nhs_number", "not ten digits"),
        ({"nhs_number": "٩٩٩٠٠٠٠٠١٨"}, "nhs_number", "not ten digits"),
        ({"address": ""}, "address", "missing; expected an address"),
        ({"contact": "email", "email": "nobody"}, "email", "not an email address"),
        ({"contact": "phone", "phone": "call me"}, "phone", "not a telephone number"),
        ({"contact": "pigeon"}, "contact", "not one of the answers"),
        ({"extent": "trusts"}, "trusts", "no hospital is chosen"),
        ({"extent": "trusts", "trusts": ("a b",)}, "trusts", "not an organisation's code"),
        ({"extent": "trusts", "trusts": ("NOBODY",)}, "trusts", "an organisation is not known here"),
        ({"understood": False}, "understood", "not confirmed; expected a yes"),
        ({"on_behalf": True}, "proxy_name", "missing; expected the name"),
        ({"on_behalf": True, "proxy_name": "A", "relationship": "parent"}, "authority", "not one of the answers"),
    ],
)  # fmt: skip
def test_each_wrong_answer_is_named_at_its_field(
    services: Services, steward: Caller, public: Asked, changes: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(Fault) as raised:
        requests.submit(services, public, replace(FORM, **changes))
    assert raised.value.status == 422
    assert any(one.expression == field and one.text.startswith(says) for one in raised.value.issues)


def test_text_in_other_alphabets_and_with_script_is_kept_as_it_is(
    services: Services, public: Asked, officer: Asked
) -> None:
    form = replace(FORM, given="Åsa 李", family="O'Brien <script>alert(1)</script>", nhs_number="")
    receipt = requests.submit(services, public, form)
    one = desk.find(services, officer, receipt.reference)
    assert (one.form, one.patient, one.candidates) == (form, None, ())


def test_steps_that_do_not_follow_are_refused_and_a_rejected_request_stays_so(
    services: Services, steward: Caller, public: Asked, officer: Asked
) -> None:
    id = requests.submit(services, public, FORM).id
    for step in (desk.accept, desk.confirm):
        status, text, place = refused(lambda step=step: step(services, officer, id))
        assert (status, place) == (422, "Task.status") and "does not follow requested" in text
    assert refused(lambda: desk.sent(services, officer, id, "confirmation"))[0] == 422
    assert refused(lambda: desk.reject(services, officer, id, "mood"))[0] == 422
    assert refused(lambda: desk.reject(services, officer, id, "other"))[2] == "note"
    version = desk.find(services, officer, id).version
    desk.receive(services, officer, id, version=version)
    assert refused(lambda: desk.receive(services, officer, id, version=version))[0] == 412
    gone = desk.reject(services, officer, id, "not-identified")
    assert (gone.state, gone.reason) == ("rejected", "not-identified")
    assert [one.kind for one in gone.letters] == ["acknowledgement", "rejection"]
    assert steward.get(f"/Consent/{id}-consent").json["status"] == "rejected"
    for step in (desk.receive, desk.accept, desk.confirm):
        assert refused(lambda step=step: step(services, officer, id))[0] == 422


def test_a_request_is_its_own_desks(app: Flask, services: Services, public: Asked, officer: Asked) -> None:
    id = requests.submit(services, public, replace(FORM, family="Stranger", nhs_number="")).id
    for other in (of_desk("RXC"), of_desk("ZA1", "clinician"), of_desk("ZA1", "clerical"), public):
        assert refused(lambda other=other: desk.find(services, other, id))[0] in (403, 404)
        assert refused(lambda other=other: desk.receive(services, other, id))[0] in (403, 404)
        assert refused(lambda other=other: desk.record(services, other, FORM))[0] == 403
    known = requests.submit(services, public, FORM).id
    elsewhere = of_desk("RXB")  # where the patient is in care: it may be read there, and not decided
    assert desk.find(services, elsewhere, known).id == known
    assert refused(lambda: desk.receive(services, elsewhere, known))[0] == 403
    assert refused(lambda: desk.find(services, officer, "no-such"))[0] == 404
    assert refused(lambda: desk.find(services, officer, "IMG-0000-0000"))[0] == 404


def test_a_status_tells_nothing_but_how_the_request_stands(services: Services, public: Asked, officer: Asked) -> None:
    receipt = requests.submit(services, public, FORM)
    said = requests.status(services, public, f" {receipt.reference.lower()} ", "1970-02-03")
    assert said is not None
    assert (said.reference, said.choice, said.state, said.acknowledged, said.decided) == (
        receipt.reference, "opt-out", "requested", None, None,
    )  # fmt: skip
    assert set(said.__slots__) == {"reference", "choice", "state", "received", "acknowledged", "decide_by", "decided"}
    for reference, born in (
        (receipt.reference, "1970-02-04"),
        (receipt.reference, ""),
        ("IMG-0000-0000", "1970-02-03"),
        ("", ""),
        ("x" * 5000, "1970-02-03"),
        ("IMG,|\\$-é", "1970-02-03"),
    ):
        assert requests.status(services, public, reference, born) is None


def test_guessing_at_a_status_is_slowed_down_for_whoever_guesses(
    services: Services, public: Asked, officer: Asked
) -> None:
    receipt = requests.submit(services, public, FORM)
    for n in range(10):
        asked = replace(public, subject=replace(public.subject, address=f"198.51.100.{n}"))
        assert requests.status(services, asked, receipt.reference, "1999-01-01") is None
    other = replace(public, subject=replace(public.subject, address="192.0.2.99"))
    assert refused(lambda: requests.status(services, other, receipt.reference, "1970-02-03"))[0] == 429
    for n in range(30):
        requests.status(services, public, f"IMG-{n}", "1970-02-03")
    assert refused(lambda: requests.status(services, public, "IMG-2222-2222", "1970-02-03"))[0] == 429


def test_forms_from_one_address_are_bounded(
    services: Services, public: Asked, officer: Asked, monkeypatch: Any
) -> None:
    monkeypatch.setattr(requests, "FORMS_AN_HOUR", 2)
    for name in ("A", "B"):
        requests.submit(services, public, replace(FORM, given=name))
    assert refused(lambda: requests.submit(services, public, replace(FORM, given="C")))[0] == 429
    elsewhere = replace(public, subject=replace(public.subject, address="192.0.2.8"))
    assert requests.submit(services, elsewhere, replace(FORM, given="C")).reference


def test_letters_go_where_the_person_says_they_should(services: Services, public: Asked, officer: Asked) -> None:
    receipt = requests.submit(services, public, FORM)
    moved = replace(FORM, address="2 Weir Road", postcode="ZZ9 9ZZ", given="ignored")
    assert requests.change_contact(services, public, receipt.reference, "1970-02-03", moved)
    assert not requests.change_contact(services, public, receipt.reference, "1970-02-04", moved)
    one = desk.find(services, officer, receipt.id)
    assert one.letters[0].to == ("Willow Demo", "2 Weir Road", "ZZ9 9ZZ")
    wrong = replace(moved, contact="email", email="nowhere")
    assert refused(lambda: requests.change_contact(services, public, receipt.reference, "1970-02-03", wrong))[0] == 422
    desk.reject(services, officer, receipt.id, "withdrawn")
    assert not requests.change_contact(services, public, receipt.reference, "1970-02-03", moved)


def test_who_has_logged_in_needs_no_proof_and_their_choice_acts_at_once(
    services: Services, treating: Caller, public: Asked, officer: Asked
) -> None:
    receipt = requests.submit(services, public, FORM, proven="Patient/p1")
    assert receipt.in_force and treating.ids(SEARCH) == []
    one = desk.find(services, officer, receipt.id)
    assert (one.state, one.proven, one.checks, [letter.kind for letter in one.letters]) == (
        "in-progress", True, (), ["acknowledgement", "confirmation"],
    )  # fmt: skip
    nobody = requests.submit(services, public, replace(FORM, family="Else", nhs_number=""), proven="Patient/nobody")
    assert not nobody.in_force
    for wrong in ({"birth_date": "1971-02-03"}, {"family": "Else"}, {"nhs_number": "9990000026"}):
        again = requests.submit(services, public, replace(FORM, choice="opt-in", **wrong), proven="Patient/p1")
        assert not again.in_force, wrong


def test_a_refusal_that_is_not_confirmed_yet_acts_where_the_region_says_so(
    services: Services, treating: Caller, public: Asked, officer: Asked
) -> None:
    services.enforcement.switches = Switches(proposed_optout="hold")
    requests.submit(services, public, FORM)
    assert treating.ids(SEARCH) == []


def test_except_in_an_emergency_and_except_for_a_trust_are_what_they_say(
    app: Flask, services: Services, steward: Caller, treating: Caller, public: Asked, officer: Asked
) -> None:
    emergency = caller(app, purpose="ETREAT")
    requests.submit(services, public, replace(FORM, extent="except-emergency"), proven="Patient/p1")
    assert (treating.ids(SEARCH), emergency.ids(SEARCH)) == ([], ["s1"])
    steward.put("/EpisodeOfCare/e2", {
        "resourceType": "EpisodeOfCare", "id": "e2", "status": "active", "patient": {"reference": "Patient/p1"},
        "managingOrganization": {"reference": "Organization/rxc"}, "period": {"start": "2026-01-01"},
    })  # fmt: skip
    requests.submit(services, public, replace(FORM, extent="trusts", trusts=("rxb",)), proven="Patient/p1")
    assert (treating.ids(SEARCH), caller(app, ods="RXC").ids(SEARCH)) == ([], ["s1"])


def test_an_opt_in_supersedes_what_was_recorded_before_it_and_not_what_came_after(
    services: Services, steward: Caller, treating: Caller, public: Asked, officer: Asked
) -> None:
    steward.put("/Consent/old", consent("old"))
    receipt = requests.submit(services, public, replace(FORM, choice="opt-in"))
    steward.put("/Consent/newer", consent("newer", dateTime="2999-01-01"))
    accepted(services, officer, receipt.id)
    desk.confirm(services, officer, receipt.id)
    assert steward.get("/Consent/old").json["status"] == "inactive"
    assert steward.get("/Consent/newer").json["status"] == "active"
    assert treating.ids(SEARCH) == []


def test_somebody_who_is_not_known_for_certain_is_chosen_by_the_officer(
    services: Services, steward: Caller, treating: Caller, public: Asked, officer: Asked
) -> None:
    receipt = requests.submit(services, public, replace(FORM, nhs_number=""))
    one = desk.find(services, officer, receipt.id)
    assert one.patient is None
    assert [(c.patient, c.name, c.born, c.number, c.grade) for c in one.candidates] == [
        ("Patient/p1", "Willow Demo", "1970-02-03", "9990000018", "probable")
    ]
    desk.receive(services, officer, receipt.id)
    for patient_ in (None, "Patient/nobody", "nonsense"):
        assert refused(lambda patient_=patient_: desk.accept(services, officer, receipt.id, patient=patient_)) == (
            422, "the patient is not known; expected one who is", "patient",
        )  # fmt: skip
    assert desk.accept(services, officer, receipt.id, patient="Patient/p1").patient == "Patient/p1"
    desk.confirm(services, officer, receipt.id)
    assert treating.ids(SEARCH) == []
    sure = requests.submit(services, public, replace(FORM, choice="opt-in"))
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    desk.receive(services, officer, sure.id)
    assert refused(lambda: desk.accept(services, officer, sure.id, patient="Patient/p2"))[0] == 422


PROXY = {"on_behalf": True, "proxy_name": "Ash Demo", "relationship": "parent", "authority": "parental-responsibility"}


def test_the_young_choose_for_themselves_from_the_age_that_the_region_says(
    services: Services, steward: Caller, treating: Caller, public: Asked, officer: Asked
) -> None:
    year = local_date(services.store.clock(), "Europe/London").year
    ages = {age: f"{year - age}-01-01" for age in (12, 14, 17)}
    for age, born in ages.items():
        steward.put(f"/Patient/p{age}", patient(f"p{age}", "9990000026") | {"birthDate": born})
    child, young, grown = (replace(FORM, birth_date=born, nhs_number="") for born in ages.values())
    assert refused(lambda: requests.submit(services, public, child))[2] == "birth_date"
    assert requests.submit(services, public, young).reference
    services.enforcement.switches = Switches(minor_own_choice_age=16)
    assert refused(lambda: requests.submit(services, public, replace(young, given="W")))[2] == "birth_date"
    assert refused(lambda: requests.submit(services, public, replace(grown, **PROXY)))[2] == "authority"
    by_parent = requests.submit(services, public, replace(child, **PROXY))
    assert desk.find(services, officer, by_parent.id).checks == ("identity", "authority")
    asked = requests.submit(services, public, replace(young, given="Y", **PROXY))
    assert desk.find(services, officer, asked.id).checks == ("identity", "authority", "young-person")


def test_a_permission_by_a_proxy_counts_once_the_desk_has_verified_it(
    services: Services, steward: Caller, treating: Caller, public: Asked, officer: Asked
) -> None:
    steward.put("/Consent/old", consent("old"))
    form = replace(FORM, choice="opt-in", **PROXY | {"relationship": "attorney", "authority": "power-of-attorney"})
    receipt = requests.submit(services, public, form, proven="Patient/p1")
    assert not receipt.in_force, "a log-in proves who fills it in, not for whom they may choose"
    one = accepted(services, officer, receipt.id)
    assert one.letters[0].to[0] == "Ash Demo" and "on behalf of Willow Demo" in one.letters[0].paragraphs[0]
    desk.confirm(services, officer, receipt.id)
    made = steward.get(f"/Consent/{receipt.id}-consent").json
    assert made["verification"][0]["verified"] is True and "Ash" not in str(made)
    assert treating.ids(SEARCH) == ["s1"]


def test_a_clock_that_has_run_out_makes_the_request_stand_out_once(
    services: Services, steward: Caller, public: Asked, officer: Asked, clock: Clock
) -> None:
    receipt = requests.submit(services, public, FORM)
    assert carry_out(services) == 0
    clock.shift = receipt.acknowledge_by - microseconds() + HOUR
    assert [carry_out(services), carry_out(services)] == [1, 0]
    (one,) = desk.worklist(services, officer)
    assert one.overdue == ("acknowledge",)
    clock.shift = receipt.decide_by - microseconds() + HOUR
    assert [carry_out(services), carry_out(services)] == [1, 0]
    assert desk.find(services, officer, receipt.id).overdue == ("acknowledge", "decide")
    told = caller(steward.http.application, "steward", "ZZZ", purpose=None).get("/Communication?category=overdue").json
    assert len(told["entry"]) == 2 and "Willow" not in str(told)
    accepted(services, officer, receipt.id)
    desk.confirm(services, officer, receipt.id)
    clock.forward(days=7)
    assert carry_out(services) == 1
    assert desk.find(services, officer, receipt.id).overdue == ("confirm",)


def test_what_was_done_in_time_never_stands_out(
    services: Services, steward: Caller, public: Asked, officer: Asked, clock: Clock
) -> None:
    receipt = requests.submit(services, public, FORM)
    desk.sent(services, officer, receipt.id, "acknowledgement")
    accepted(services, officer, receipt.id)
    desk.confirm(services, officer, receipt.id)
    desk.sent(services, officer, receipt.id, "confirmation")
    clock.forward(days=60)
    assert carry_out(services) == 0
    assert desk.find(services, officer, receipt.id).overdue == ()


def test_the_form_is_a_published_questionnaire_that_the_responses_answer(
    services: Services, steward: Caller, treating: Caller, public: Asked, officer: Asked
) -> None:
    receipt = requests.submit(services, public, FORM)
    form = treating.get("/Questionnaire/registry-choice").json
    answers = steward.get(f"/QuestionnaireResponse/{receipt.id}-form").json
    assert answers["questionnaire"] == form["url"]
    assert {one["linkId"] for one in answers["item"]} <= {one["linkId"] for one in form["item"]}


def test_without_a_desk_there_is_no_form(services: Services, public: Asked) -> None:
    closed = replace(services, settings=replace(services.settings, mode="production"))
    assert refused(lambda: requests.submit(closed, public, FORM))[0] == 405
