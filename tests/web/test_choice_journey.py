"""The whole way of a choice in a real browser, on both sides of it: a patient opts out, the desk acknowledges, accepts and
puts it into force, the next search finds nothing, the patient opts back in, and the studies are there again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from app.demo import story
from tests.support.browser import axe, complaints
from tests.support.server import Running

WIDTH = 390


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A region of its own, for what is changed in it."""
    running = Running(tmp_path_factory.mktemp("journey"))
    running.start()
    yield running
    running.close()


def studies(server: Running) -> int:
    """How many studies of the story's patient the trust that treats her finds."""
    _, search, _, _ = story.curls(f"{server.address}/fhir")
    found = json.loads(server.paste(search))
    return sum(one["resource"]["resourceType"] == "ImagingStudy" for one in found.get("entry", []))


def checked(page: Page, found: list[str]) -> None:
    assert axe(page) == [], page.url
    assert found == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, page.url


def press(page: Page, name: str) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name=name, exact=True).click()


def heading(page: Page) -> str:
    return page.locator("h1").inner_text()


def fill(page: Page, choice: str, found: list[str]) -> str:
    """The form from the first page to the last, as the story's patient; the reference number."""
    page.goto("/choices")
    press(page, choice)
    answers = (
        ("Who is this about?", lambda: page.get_by_label("Me", exact=True).check()),
        ("What is your name?", lambda: (page.get_by_label("First name").fill("Hazel"), page.get_by_label("Last name").fill("Demo"))),
        ("What is your date of birth?", lambda: born(page)),
        ("Do you know your NHS number?", lambda: (page.get_by_label("Yes").check(), page.locator("#number").fill("999 000 1006"))),
        ("How should we write to you?", lambda: page.get_by_label("By letter").check()),
        (
            "What is your address?",
            lambda: (
                page.get_by_label("Address line 1").fill("1 Fictional Street"),
                page.get_by_label("Postcode").fill("zz99 3wz"),
            ),
        ),
        ("What should stop?", lambda: page.get_by_label("All images, for all hospitals").check()),
        ("What it means", lambda: page.get_by_label("I understand what this means").check()),
        ("How shall we check who you are?", lambda: page.get_by_label("Ask me").check()),
    )  # fmt: skip
    for question, answer in answers:
        if question == "What should stop?" and choice != "Opt out of sharing":
            continue
        assert heading(page) == question
        checked(page, found)
        answer()
        press(page, "Continue")
    assert heading(page) == "Check your answers"
    checked(page, found)
    press(page, "Send and opt out" if choice == "Opt out of sharing" else "Send and opt back in")
    assert heading(page) == "We have your request"
    checked(page, found)
    return page.locator(".reference").inner_text()


def born(page: Page) -> None:
    for name, value in (("Day", "17"), ("Month", "4"), ("Year", "1962")):
        page.get_by_label(name).fill(value)


def told_by(page: Page) -> str:
    """The last day on which it will be decided, as the patient is told."""
    found = re.search(r"It will be decided by (\d+ \w+ \d{4})\.", page.locator("main").inner_text())
    assert found is not None
    return found[1]


def decide(page: Page, reference: str, found: list[str]) -> list[str]:
    """The desk's steps, from the worklist to the letter that is sent; what the letters say."""
    page.goto("/desk/requests")
    checked(page, found)
    with page.expect_navigation():
        page.get_by_role("link", name=reference).click()
    letters = [letter(page, "Acknowledgement", found)]
    press(page, "Mark the acknowledgement as sent")
    for step in ("Take in hand", "Accept", "Put into force"):
        checked(page, found)
        press(page, step)
        assert page.locator(".nhsuk-error-summary").count() == 0, page.locator("main").inner_text()
    letters.append(letter(page, "Confirmation", found))
    press(page, "Mark the confirmation as sent")
    assert page.locator(".lead").inner_text() == "Done"
    return letters


def letter(page: Page, kind: str, found: list[str]) -> str:
    with page.expect_navigation():
        page.get_by_role("link", name=kind, exact=True).click()
    checked(page, found)
    text = page.locator(".letter").inner_text()
    page.emulate_media(media="print")
    assert not page.locator("header").is_visible() and page.locator(".letter").is_visible()
    page.emulate_media(media="screen")
    page.go_back()
    return text


def opened(browser: Browser, server: Running) -> BrowserContext:
    return browser.new_context(
        base_url=server.address, viewport={"width": WIDTH, "height": 800}, java_script_enabled=True
    )


def test_a_choice_goes_from_the_form_to_the_letters_and_back(browser: Browser, server: Running) -> None:
    patient, officer = opened(browser, server), opened(browser, server)
    page, desk = patient.new_page(), officer.new_page()
    found, seen = complaints(page), complaints(desk)
    desk.goto("/desk")
    desk.get_by_label("User name").fill("privacy")
    desk.get_by_label("Password").fill("privacy")
    press(desk, "Sign in")
    assert studies(server) == 2

    reference = fill(page, "Opt out of sharing", found)
    assert re.fullmatch(r"IMG-[A-Z0-9]{4}-[A-Z0-9]{4}", reference)
    assert studies(server) == 2  # not before it is decided
    page.goto("/choices/status")
    page.get_by_label("Reference number").fill(reference)
    born(page)
    press(page, "Show how it stands")
    assert "We have your request" in page.locator(".panel").inner_text()
    by = told_by(page)
    assert "Hazel" not in page.content()

    letters = decide(desk, reference, seen)
    assert f"We will decide it by {by} and write" in letters[0]
    assert studies(server) == 0
    for text in letters:
        assert "Hazel Demo" in text and reference in text and "national data opt-out" in text
    page.reload()
    page.goto("/choices/status")
    page.get_by_label("Reference number").fill(reference)
    born(page)
    press(page, "Show how it stands")
    assert "Your choice is in force" in page.locator(".panel").inner_text()

    decide(desk, fill(page, "Opt back in", found), seen)
    assert studies(server) == 2
    desk.goto("/desk")
    checked(desk, seen)
    patient.close()
    officer.close()


def test_a_patient_who_signs_in_chooses_at_once_and_sees_who_has_looked(browser: Browser, server: Running) -> None:
    context = opened(browser, server)
    page = context.new_page()
    found = complaints(page)
    page.goto("/choices/seen")
    page.get_by_label("User name").fill("patient")
    page.get_by_label("Password").fill("patient")
    press(page, "Sign in")
    assert heading(page) == "Who has seen your images"
    checked(page, found)
    assert page.get_by_role("table").get_by_text("Alderbrook Hospitals Trust").count() >= 1
    context.close()


def test_every_way_through_works_in_a_browser_without_script(browser: Browser, server: Running, tmp_path: Path) -> None:
    context = browser.new_context(base_url=server.address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/choices")
    page.get_by_role("button", name="Opt out of sharing").click()
    page.get_by_role("button", name="Continue").click()
    assert page.title().startswith("Error:")
    page.get_by_label("Somebody else").check()
    page.get_by_role("button", name="Continue").click()
    assert heading(page) == "What is the name of the person you act for?"
    context.close()
