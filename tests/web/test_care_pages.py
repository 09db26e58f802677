"""MDT lists and emergency referrals in a real browser: what a coordinator and a clinician open for others, and that it
closes again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import axe, complaints
from tests.support.server import Running

WIDTH = 1280
PATIENT = "9990001006"  # in the care of Alderbrook; Cedarholme has one of her studies, and no part in her care
SEARCH = "ImagingStudy?patient.identifier=https://fhir.nhs.uk/Id/nhs-number%7C" + PATIENT


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("care"))
    running.start()
    yield running
    running.close()


def seen(server: Running, client: str, *more: str) -> set[str]:
    """The studies of the patient that a client finds, in somebody's name or in none."""
    token = server.flask("token", "--client", client, *more).strip()
    asked = Request(f"{server.address}/fhir/{SEARCH}", headers={"Authorization": f"Bearer {token}"})
    with urlopen(asked, timeout=30) as answer:
        found = json.load(answer)
    return {
        one["resource"]["id"] for one in found.get("entry", []) if one["resource"]["resourceType"] == "ImagingStudy"
    }


def signed_in(browser: Browser, server: Running, name: str, place: str) -> tuple[Page, list[str]]:
    page = browser.new_context(base_url=server.address, viewport={"width": WIDTH, "height": 900}).new_page()
    found = complaints(page)
    page.goto(place)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(name)
    press(page, "Sign in")
    return page, found


def press(page: Page, name: str) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name=name).click()


def checked(page: Page, found: list[str]) -> None:
    assert (axe(page), found) == ([], []), page.url
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, page.url


def refused(page: Page, found: list[str], faults: int) -> None:
    """What is wrong is told first, with the focus on it."""
    assert page.title().startswith("Error:") and page.locator(".nhsuk-error-summary li").count() == faults
    assert page.evaluate("document.activeElement.className") == "nhsuk-error-summary"
    found.clear()  # a browser notes every answer of 400
    checked(page, found)


def test_a_coordinator_opens_a_list_to_its_reviewers_and_closes_it(browser: Browser, server: Running) -> None:
    reviewer = (
        "cedarholme-epr",
        "--practitioner",
        "Practitioner/dr-egret",
        "--purpose",
        "TREAT",
    )
    colleague = (
        "cedarholme-epr",
        "--practitioner",
        "Practitioner/dr-fulmar",
        "--purpose",
        "TREAT",
    )
    before = seen(server, *reviewer)
    page, found = signed_in(browser, server, "clerk", "/desk/mdt")
    checked(page, found)
    page.get_by_label("Cedarholme").check()
    press(page, "Continue")
    checked(page, found)
    press(page, "Set it up")
    refused(page, found, 3)
    page.get_by_label("Name of the list").fill("Spine MDT")
    page.get_by_role("group", name="Who reviews").get_by_label("Dr Egret").check()
    page.get_by_label("NHS numbers").fill(f"999 000 1006\n{PATIENT}\n")
    press(page, "Set it up")
    assert page.locator("h1").inner_text() == "Spine MDT"
    checked(page, found)
    table = page.get_by_role("table").first
    assert table.get_by_role("columnheader").all_inner_texts() == ["Date", "Modality", "Source"]
    opened = seen(server, *reviewer)
    assert opened > before and seen(server, *colleague) == before
    press(page, "Close the list now")
    assert page.get_by_text("closed").first.is_visible()
    assert seen(server, *reviewer) == before
    page.goto("/desk/mdt")
    checked(page, found)
    page.context.close()


def test_a_clinician_refers_in_an_emergency_and_the_other_hospital_sees_at_once(
    browser: Browser, server: Running
) -> None:
    before = seen(server, "cedarholme-epr")
    page, found = signed_in(browser, server, "clinician", "/desk/emergency")
    checked(page, found)
    press(page, "Refer")
    refused(page, found, 4)
    page.get_by_label("NHS number of the patient").fill("999 000 1006")
    page.get_by_label("Cedarholme").check()
    page.get_by_label("At once").check()
    page.get_by_label("Why?").fill("fall from a height, spine <b>unstable</b>")
    press(page, "Refer")
    assert page.get_by_text("spine <b>unstable</b>").is_visible()
    checked(page, found)
    assert seen(server, "cedarholme-epr") > before
    press(page, "Renew")
    press(page, "Close")
    assert seen(server, "cedarholme-epr") == before
    page.context.close()
