"""`/viewer` in a real browser: launched from a record and by itself, the timeline, its filters, and what is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import axe, complaints
from tests.support.server import Running
from tests.web.viewing import enter, open_patient


@pytest.fixture(scope="module")
def clinician(browser: Browser, served: Running) -> Iterator[Page]:
    """Signed in, at the choice of a patient. One for the file: each test goes on to a patient of its own."""
    context = browser.new_context(base_url=served.address, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    enter(page)
    yield page
    context.close()


@pytest.fixture
def viewer(clinician: Page) -> Page:
    clinician.goto("/viewer")
    another = clinician.get_by_role("button", name="Another patient")
    heading = clinician.get_by_role("heading", name="Which patient?")
    another.or_(heading).first.wait_for()
    if another.is_visible():
        another.click()
    heading.wait_for()
    return clinician


def look_for(viewer: Page, words: str) -> None:
    viewer.get_by_label("Name or NHS number").fill(words)
    viewer.get_by_role("button", name="Find").click()


def titles(viewer: Page) -> list[str]:
    return viewer.locator("ol.studies strong").all_inner_texts()


def test_a_clinician_sees_the_studies_of_all_trusts_newest_first_with_source_and_report(viewer: Page) -> None:
    open_patient(viewer, "Hazel Demo")
    first = viewer.locator("ol.studies a").first
    expect(first).to_contain_text("Report")
    assert titles(viewer) == ["Head CT", "XR C Spine Comp Min 4 Views"]
    said = [one.inner_text().split("\n") for one in viewer.locator("ol.studies a").all()]
    assert said[0][:4] == ["19 Oct 2019", "CT", "Head CT", "Head · Cedarholme Specialist Trust · 1 image"]
    assert said[1][3] == "Cervical spine · Birchwater Hospitals Trust · 3 images"
    assert viewer.locator(".person").inner_text().startswith("Hazel Demo")
    assert "999\u00a0000\u00a01006" in viewer.locator(".person").inner_text()


def test_the_study_that_is_open_tells_its_report_and_why_it_may_be_seen(viewer: Page) -> None:
    open_patient(viewer, "Hazel Demo")
    viewer.get_by_role("link", name="XR C Spine").click()
    viewer.get_by_role("link", name="Head CT").click()
    study = viewer.get_by_role("region", name="Head CT")
    expect(study.get_by_role("heading", name="CT head report")).to_be_visible()
    expect(study.get_by_text("No acute intracranial abnormality.").first).to_be_visible()
    assert viewer.evaluate("document.activeElement.id") == "study-heading"
    study.get_by_text("Why you see this").click()
    expect(study.get_by_text("an episode of care is active at the organisation")).to_be_visible()
    assert viewer.url.endswith("#study/hazel-head")


def test_filters_narrow_the_list_say_how_many_are_left_and_can_be_cleared(viewer: Page) -> None:
    open_patient(viewer, "Willow Demo")
    viewer.get_by_text("Filter", exact=True).click()
    count = viewer.locator(".timeline .count")
    expect(count).to_have_text("1 study")  # the MR ones are withheld by choice, and nothing tells of them
    viewer.get_by_label("Words").fill("nothing of this kind")
    expect(count).to_have_text("0 of 1 study")
    expect(viewer.get_by_text("No study fits these filters.")).to_be_visible()
    viewer.get_by_role("button", name="Clear filters").click()
    expect(count).to_have_text("1 study")
    viewer.get_by_label("Source").select_option("Birchwater Hospitals Trust")
    viewer.get_by_label("With a report").check()
    expect(count).to_have_text("1 study")


def test_of_a_patient_who_shares_nothing_it_says_neither_that_there_is_something_nor_that_there_is_nothing(
    viewer: Page,
) -> None:
    open_patient(viewer, "Rowan Demo")
    viewer.get_by_text("No study of Rowan Demo is shown to you.").wait_for()
    expect(viewer.get_by_text("the registry does not tell one from the other")).to_be_visible()
    expect(viewer.locator("ol.studies a")).to_have_count(0)


def test_a_source_that_is_silent_is_named_beside_the_list_because_studies_may_be_missing(viewer: Page) -> None:
    """The answer of the operation is put in its place here: in the demo region every archive is well."""
    said = "has not been read since 2026-11-24 08:00 UTC; studies made there since then may be missing"
    organisation = {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "ZB1"}}
    parts = [
        {"name": "endpoint", "valueReference": {"reference": "Endpoint/birchwater-archive"}},
        {"name": "organization", "valueReference": organisation},
        {"name": "state", "valueCode": "silent"},
        {"name": "said", "valueString": said},
    ]
    answer = {"resourceType": "Parameters", "parameter": [{"name": "source", "part": parts}]}
    viewer.route("**/Endpoint/$source-health", lambda route: route.fulfill(json=answer))
    try:
        open_patient(viewer, "Hazel Demo")
        warning = viewer.get_by_text(f"The archive of Birchwater Hospitals Trust {said}.").first
        expect(warning).to_be_visible()
        expect(viewer.get_by_text("A source is silent or behind.")).to_be_visible()
    finally:
        viewer.unroute("**/Endpoint/$source-health")


def test_without_a_relationship_it_says_how_one_comes_about_and_the_same_of_somebody_unknown(viewer: Page) -> None:
    said = []
    for number in ("999 000 1170", "999 000 1804"):  # yew, who is not in Alderbrook's care; and a number of nobody
        look_for(viewer, number)
        viewer.get_by_role("button", name="What can I do?").click()
        viewer.get_by_role("heading", name="No care relationship is recorded").wait_for()
        said.append(viewer.locator(".absent").inner_text())
        expect(viewer.get_by_text("This is not the same as “no imaging”.")).to_be_visible()
        expect(viewer.get_by_text("How a relationship comes about")).to_be_visible()
        viewer.get_by_role("button", name="Another patient").click()
    assert said[0] == said[1]


def test_a_mistyped_number_is_told_as_such(viewer: Page) -> None:
    look_for(viewer, "999 000 1171")
    expect(viewer.get_by_text("This is not an NHS number")).to_be_visible()


def test_arrow_keys_go_from_study_to_study_and_enter_opens_one(viewer: Page) -> None:
    open_patient(viewer, "Hazel Demo")
    links = viewer.locator("ol.studies a")
    links.first.focus()
    viewer.keyboard.press("ArrowDown")
    assert "XR C Spine" in viewer.evaluate("document.activeElement.textContent")
    viewer.keyboard.press("Enter")
    viewer.get_by_role("region", name="XR C Spine Comp Min 4 Views").wait_for()
    assert links.nth(1).get_attribute("aria-current") == "true"


def test_a_reload_keeps_patient_and_study_and_closing_the_tab_ends_it(viewer: Page) -> None:
    open_patient(viewer, "Hazel Demo")
    viewer.get_by_role("link", name="Head CT").click()
    viewer.reload()
    viewer.get_by_role("region", name="Head CT").wait_for()
    fresh = viewer.context.new_page()
    fresh.goto("/viewer")
    expect(fresh.get_by_role("button", name="Sign in")).to_be_visible()
    fresh.close()


def shown(viewer: Page) -> tuple[str, int]:
    """What the picture is called, and how wide it came; it must have come."""
    picture = viewer.locator(".screen img")
    expect(picture).to_be_visible()
    expect(viewer.locator(".screen")).to_have_attribute("aria-busy", "false")
    width = picture.evaluate("image => image.decode().then(() => image.naturalWidth)")
    return picture.get_attribute("alt") or "", width


def test_the_pictures_come_from_the_archive_through_the_gate_and_say_that_they_are_not_for_diagnosis(
    viewer: Page,
) -> None:
    open_patient(viewer, "Hazel Demo")
    assert shown(viewer) == ("Lv2, picture 1 of 1", 512)
    expect(viewer.get_by_text("Not for diagnosis")).to_be_visible()
    expect(viewer.locator(".series .thumb img")).to_be_visible()
    before = viewer.locator(".screen img").get_attribute("src")
    viewer.get_by_label("Window").select_option(label="Bone (480 / 2500)")
    expect(viewer.locator(".screen img")).not_to_have_attribute("src", before or "")
    assert shown(viewer)[1] == 512


def test_a_stack_is_gone_through_by_keys_by_slider_and_by_touch(viewer: Page) -> None:
    open_patient(viewer, "Birch Demo")
    viewer.get_by_role("link", name="Ultrasound").click()
    where = viewer.locator(".where")
    expect(where).to_have_text("1 of 30")
    screen = viewer.locator(".screen")
    screen.focus()
    for key, at in (("ArrowDown", 2), ("PageDown", 12), ("ArrowUp", 11), ("End", 30), ("Home", 1)):
        viewer.keyboard.press(key)
        expect(where).to_have_text(f"{at} of 30")
    viewer.get_by_label("Place in the stack").fill("15")
    expect(where).to_have_text("15 of 30")
    box = screen.bounding_box()
    assert box is not None
    viewer.mouse.move(box["x"] + 50, box["y"] + 50)
    viewer.mouse.down()
    viewer.mouse.move(box["x"] + 50, box["y"] + 50 + 5 * 12, steps=5)
    viewer.mouse.up()
    expect(where).to_have_text("20 of 30")
    assert shown(viewer)[0] == "Series, picture 20 of 30"


def test_reports_are_shown_from_their_source_text_at_once_and_pdf_on_request(viewer: Page) -> None:
    open_patient(viewer, "Hazel Demo")
    expect(viewer.locator(".report-text")).to_contain_text("Grey-white differentiation is preserved.")
    viewer.get_by_role("link", name="XR C Spine").click()
    with viewer.expect_response(re.compile("/reports/")) as fetched:
        viewer.get_by_role("button", name="Show Cervical spine X-ray report (PDF)").click()
    assert fetched.value.headers["content-type"] == "application/pdf"
    document = viewer.get_by_role("link", name="Open it in a tab of its own")
    expect(document).to_have_attribute("href", re.compile("^blob:"))


def test_what_is_withdrawn_while_it_is_looked_at_is_not_shown_any_more(viewer: Page, served: Running) -> None:
    open_patient(viewer, "Birch Demo")
    viewer.get_by_role("link", name="Ultrasound").click()
    shown(viewer)
    steward = {"Authorization": f"Bearer {served.flask('token', '--client', 'demo-steward').strip()}"}
    episode = "/fhir/EpisodeOfCare/birch-at-alderbrook"
    before = viewer.request.get(episode, headers=steward).json()
    told = steward | {"Content-Type": "application/fhir+json"}

    def keep(resource: dict[str, Any]) -> None:
        answer = viewer.request.put(episode, headers=told, data=resource)
        assert answer.status == 200, answer.text()

    keep(before | {"status": "cancelled"})
    try:
        viewer.locator(".screen").focus()
        viewer.keyboard.press("End")
        refusal = viewer.get_by_role("alert").filter(has_text="This may no longer be shown to you")
        expect(refusal).to_be_visible()
        assert not viewer.locator(".screen img").is_visible()
        viewer.reload()
        viewer.get_by_role("heading", name="No care relationship is recorded").wait_for()
    finally:
        keep(before)


def test_emergency_access_warns_asks_why_counts_down_and_can_be_ended(viewer: Page) -> None:
    look_for(viewer, "999 000 1170")
    viewer.get_by_role("button", name="What can I do?").click()
    viewer.get_by_role("button", name="Emergency access…").click()
    expect(viewer.get_by_text("Use this only where you must treat this patient now.")).to_be_visible()
    expect(viewer.get_by_text("to you alone, for 4 hours.")).to_be_visible()
    expect(viewer.get_by_text("review it within 3 working days")).to_be_visible()
    send = viewer.get_by_role("button", name="Open emergency access")
    wrong = viewer.get_by_role("alert").filter(has_text="It was not opened")
    send.click()
    expect(wrong).to_contain_text("Choose a reason.")
    viewer.get_by_label("A decision that cannot wait").check()
    viewer.get_by_label("What is happening").fill("too short")
    send.click()
    expect(wrong).to_contain_text("at least 15 characters")
    viewer.get_by_label("What is happening").fill("Unconscious, the earlier scan is needed now")
    send.click()
    expect(wrong).to_contain_text("Confirm")
    assert viewer.evaluate("document.activeElement.className") == "nhsuk-error-summary"
    viewer.get_by_label("I need this to treat the patient now").check()
    assert axe(viewer) == []
    send.click()
    viewer.locator(".person strong", has_text="Yew Demo").wait_for()
    expect(viewer.locator(".emergency-strip")).to_contain_text("3 h 59 min left")
    assert shown(viewer)[1] == 800
    viewer.get_by_text("Why you see this").click()
    expect(viewer.get_by_text("the clinician broke the glass")).to_be_visible()
    viewer.get_by_role("button", name="End it now").click()
    viewer.get_by_role("heading", name="No care relationship is recorded").wait_for()
    assert viewer.locator(".emergency-strip").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_wrong_and_nothing_is_complained_of(viewer: Page, width: int) -> None:
    viewer.set_viewport_size({"width": width, "height": 900})
    found = complaints(viewer)
    try:
        assert axe(viewer) == []
        open_patient(viewer, "Hazel Demo")
        expect(viewer.locator("ol.studies .tag").first).to_be_visible()
        viewer.get_by_text("Filter", exact=True).click()
        assert axe(viewer) == []
        viewer.get_by_role("link", name="XR C Spine").click()
        shown(viewer)
        viewer.get_by_text("Why you see this").click()
        assert axe(viewer) == []
        assert found == []
    finally:
        viewer.set_viewport_size({"width": 1280, "height": 900})


def test_on_a_phone_list_and_study_take_turns_and_nothing_runs_out_of_sight(viewer: Page) -> None:
    viewer.set_viewport_size({"width": 390, "height": 800})
    try:
        open_patient(viewer, "Hazel Demo")
        expect(viewer.locator("ol.studies a")).to_have_count(2)
        assert viewer.evaluate("document.documentElement.scrollWidth") <= 390
        viewer.get_by_role("link", name="Head CT").click()
        viewer.get_by_role("region", name="Head CT").wait_for()
        expect(viewer.locator("ol.studies").first).to_be_hidden()
        assert viewer.evaluate("document.documentElement.scrollWidth") <= 390
        viewer.get_by_role("link", name="Back to the studies").click()
        expect(viewer.locator("ol.studies").first).to_be_visible()
    finally:
        viewer.set_viewport_size({"width": 1280, "height": 900})


def test_a_record_system_opens_it_with_its_patient_who_cannot_be_changed(page: Page) -> None:
    page.goto("/auth/launch")
    page.get_by_label("User name").fill("clinician")
    page.get_by_label("Password").fill("clinician")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Birch Demo").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("App", exact=True).select_option(label="Imaging viewer")
    page.get_by_role("button", name="Open the app").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    page.locator(".person strong", has_text="Birch Demo").wait_for()
    expect(page.locator("ol.studies strong")).to_have_text(["Testing File-set", "Ultrasound"])
    assert page.get_by_role("button", name="Another patient").count() == 0


def test_an_app_of_another_server_is_not_launched_from_here(page: Page) -> None:
    found = complaints(page)
    page.goto("/viewer/launch?iss=https://elsewhere.example/fhir&launch=x")
    expect(page.get_by_text("opened by a record system that uses this registry")).to_be_visible()
    assert found == []
