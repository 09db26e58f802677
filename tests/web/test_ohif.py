"""OHIF in a real browser: a study of the demo region through the gate, and what is left of it once the patient has opted out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from app import assets
from app.demo import story
from tests.support.browser import axe, complaints
from tests.support.server import Running
from tests.web.viewing import enter, open_patient

# How many shades of grey the picture has.
SHADES = """() => {
  const canvas = document.querySelector("canvas.cornerstone-canvas");
  if (!canvas) return 0;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let at = 0; at < data.length; at += 4) found.add(data[at]);
  return found.size;
}"""


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """As `make run OHIF=1` does it."""
    if not assets.ohif_there():
        assets.fetch_ohif()


@pytest.fixture(scope="module")
def clinician(browser: Browser, served: Running) -> Iterator[Page]:
    context = browser.new_context(base_url=served.address, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    enter(page)
    open_patient(page, "Hazel Demo")
    yield page
    context.close()


def opened(clinician: Page) -> None:
    clinician.goto("/viewer")
    clinician.get_by_role("link", name="Head CT").click()
    clinician.get_by_role("link", name="Open in OHIF").click()


def shades(page: Page) -> int:
    """Once there are some; OHIF takes its time on a slow machine."""
    page.locator("canvas.cornerstone-canvas").first.wait_for(timeout=60_000)
    end = time.monotonic() + 60
    while (found := int(page.evaluate(SHADES))) < 50 and time.monotonic() < end:
        page.wait_for_timeout(100)
    return found


def decide(page: Page, served: Running, choice: str) -> None:
    """What the patient wants goes on record, and into force."""
    token = served.flask("token", "--client", "demo-steward").strip()
    told = [
        {"name": "patient", "valueReference": {"reference": f"Patient/{story.STORY_PATIENT}"}},
        {"name": "choice", "valueCode": choice},
    ]
    answer = page.request.post(
        "/fhir/Consent/$record-choice",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"},
        data={"resourceType": "Parameters", "parameter": told},
    )
    assert answer.status == 201, answer.text()


def test_a_study_opens_in_ohif_through_the_gate_and_no_address_names_patient_or_token(
    clinician: Page, served: Running
) -> None:
    asked: list[Request] = []
    clinician.on("request", lambda request: asked.append(request))
    opened(clinician)
    clinician.wait_for_url("**/ohif/**")
    found = complaints(clinician)  # of what the viewer had still to fetch when it was left, nothing
    assert shades(clinician) > 50
    expect(clinician.get_by_text("Not for diagnosis")).to_be_visible()
    expect(clinician.locator("#ohif-title")).to_have_text("Head CT")
    assert not clinician.get_by_role("alert").is_visible()
    gate = [one for one in asked if "/frames/" in one.url]
    assert gate and all(one.url.startswith(f"{served.address}/archive/proxy/cedarholme-archive/") for one in gate)
    assert {urlsplit(one.url).netloc for one in asked if one.url.startswith("http")} == {
        urlsplit(served.address).netloc
    }
    assert not [one.url for one in asked if "9990001006" in one.url or "token=" in one.url]
    pages = [one.url for one in asked if one.is_navigation_request()]
    assert not [one for one in pages if "1.2." in one]
    # How this test reads the picture; a timer of the page of OHIF's own; what it asks for twice, and lets go of once; an
    # archive that begins to answer a moment after the registry.
    ours = ("willReadFrequently", "scriptToView", "/frames/", "(Service Unavailable)")
    assert [one for one in found if not any(known in one for known in ours)] == []


def test_after_an_opt_out_nothing_of_it_is_left_but_words(clinician: Page, served: Running) -> None:
    opened(clinician)
    assert shades(clinician) > 50
    decide(clinician, served, "opt-out")
    try:
        clinician.reload()
        expect(clinician.get_by_role("alert").filter(has_text="not available to you")).to_be_visible(timeout=60_000)
        assert clinician.locator("canvas.cornerstone-canvas").count() == 0
        assert "19-Oct-2019" not in clinician.locator("body").inner_text()
        clinician.get_by_role("link", name="Back to the studies").first.click()
        expect(clinician.get_by_text("No study of Hazel Demo is shown to you.")).to_be_visible()
    finally:
        decide(clinician, served, "opt-in")


def test_without_a_study_handed_over_it_says_where_to_begin(page: Page) -> None:
    page.goto("/ohif/viewer?StudyInstanceUIDs=1.2.3")
    expect(page.get_by_role("alert")).to_contain_text("OHIF is opened from a study in the clinician’s view.")
    assert axe(page) == []
