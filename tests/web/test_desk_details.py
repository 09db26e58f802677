"""What the desk settles one by one, in a real browser: a study whose patient is in doubt, and choices that conflict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pydicom
import pydicom.data
import pytest
from playwright.sync_api import Browser, Page

from app.demo import story
from tests.support.browser import axe
from tests.support.region import consent
from tests.support.server import Running

DICOM = Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm"
PATIENT = story.BY_ID["willow"]  # in the care of Alderbrook
WIDTH = 390


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Alderbrook's archive has sent a study under Hazel's NHS number that is of somebody else by name and birth date."""
    folder = tmp_path_factory.mktemp("details")
    image = pydicom.dcmread(DICOM)
    image.PatientID, image.IssuerOfPatientID = story.STORY_NHS_NUMBER, "NHS"
    image.PatientName, image.PatientBirthDate = "Canary^Example", "19700302"
    image.save_as(folder / "image.dcm")
    running = Running(folder)
    running.start()
    running.flask("ingest", str(folder / "image.dcm"), "--archive", "alderbrook-archive", "--json")
    for choice in ("deny", "permit"):
        conflicting(running, choice)
    running.paste(story.curls(f"{running.address}/fhir")[1].replace(story.STORY_NHS_NUMBER, PATIENT.number))
    yield running
    running.close()


def conflicting(server: Running, choice: str) -> None:
    """A choice of the same day as the other."""
    made = consent(choice, choice, PATIENT.id, organization=[{"reference": "Organization/alderbrook"}])
    token = server.flask("token", "--client", story.STEWARD).strip()
    put = Request(f"{server.address}/fhir/Consent/{choice}", json.dumps(made).encode(), method="PUT")
    put.add_header("Authorization", f"Bearer {token}")
    put.add_header("Content-Type", "application/fhir+json")
    with urlopen(put, timeout=30) as answer:
        assert answer.status == 201


@pytest.fixture
def page(browser: Browser, server: Running) -> Iterator[Page]:
    context = browser.new_context(base_url=server.address, viewport={"width": WIDTH, "height": 800})
    page = context.new_page()
    page.goto("/desk")
    page.get_by_label("User name").fill("privacy")
    page.get_by_label("Password").fill("privacy")
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in").click()
    yield page
    context.close()


@pytest.mark.parametrize("place", ["/desk/holds", "/desk/reviews"])
def test_a_list_leads_to_what_waits_and_back_and_axe_finds_nothing_wrong(page: Page, place: str) -> None:
    page.goto(place)
    assert axe(page) == []
    with page.expect_navigation():
        page.locator("main table a").first.click()
    assert page.url.split("/desk/")[1].startswith(place.removeprefix("/desk/") + "/")
    assert page.locator("h1").count() == 1 and "{" not in page.locator("main").inner_text()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    with page.expect_navigation():
        page.get_by_role("link", name="Back").click()
    assert page.url.endswith(place)
