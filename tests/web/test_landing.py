"""The landing page: what it says, in demo mode and in production, and how it is in a real browser. WCAG 2.2 AA."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from app import create_app
from app.config import Settings
from app.demo import story
from app.storage import schema
from tests.support.browser import complaints


def made(folder: Path, **settings: str) -> Flask:
    app = create_app(Settings(database_url=f"sqlite:///{folder}/r.db", keys_dir=f"{folder}/keys", **settings))
    schema.upgrade(app.extensions["services"].store)
    return app


@pytest.mark.parametrize("settings", [{"mode": "production"}, {"demo_data": "0"}])
def test_without_the_demo_region_the_page_tells_no_story(tmp_path: Path, settings: dict[str, str]) -> None:
    app = made(tmp_path, **settings)
    page = app.test_client().get("/").text
    app.extensions["services"].store.close()
    assert "curl" not in page and story.STEWARD not in page and "Hazel" not in page
    assert "CapabilityStatement" in page


def test_the_page_runs_no_script_and_fits_into_no_frame(tmp_path: Path) -> None:
    app = made(tmp_path)
    answer = app.test_client().get("/")
    app.extensions["services"].store.close()
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script-src" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in answer.text and "style=" not in answer.text


def test_a_browser_shows_it_without_a_complaint(page: Page) -> None:
    found = complaints(page)
    answer = page.goto("/")
    assert answer is not None and answer.status == 200
    assert page.title() == "Imaging registry"
    assert page.locator("html").get_attribute("lang") == "en-GB"
    assert page.locator("h1").count() == 1 and page.locator("main").count() == 1
    assert page.locator(".steps pre").count() == 3
    assert found == []


def test_each_click_of_the_story_signs_in_one_of_three_people_and_goes_where_it_says(page: Page) -> None:
    page.goto("/")
    forms = page.locator(".story form")
    leads = [(one.locator("[name=who]").input_value(), one.locator("[name=next]").input_value()) for one in forms.all()]
    assert len(leads) == 4 and {who for who, _ in leads} == {"clinician", "patient", "privacy"}
    page.get_by_role("button", name="See her imaging as her doctor").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    page.locator(".person strong", has_text="Hazel Demo").wait_for()
    expect(page.locator("ol.studies a")).to_have_count(2)


def test_a_click_from_another_site_signs_nobody_in(page: Page) -> None:
    answer = page.request.post("/auth/be", form={"who": "clinician", "next": "/"}, max_redirects=0)
    assert answer.status == 400


def test_the_guides_are_pages_whose_links_lead_somewhere(page: Page) -> None:
    page.goto("/docs/")
    names = [link.get_attribute("href") or "" for link in page.locator(".tiles a").all()]
    assert len(names) == len(list((Path(__file__).parents[2] / "docs").glob("*.md")))
    for name in names:
        answer = page.request.get(name)
        assert answer.status == 200 and '<h1 id="' in answer.text()
        assert "&lt;!--" not in answer.text() and 'href="../' not in answer.text()
    assert page.request.get("/docs/..%2fREADME").status == 404


def test_an_address_that_is_not_there_is_a_page_for_people_and_a_line_for_programs(page: Page) -> None:
    for address in ("/nothing", "/docs/nothing"):
        answer = page.goto(address)
        assert answer is not None and answer.status == 404 and answer.headers["cache-control"] == "no-store"
        assert page.get_by_role("heading", level=1).inner_text() == "There is no such page"
        page.get_by_role("link", name="To the first page").click()
        assert page.get_by_role("heading", level=1).inner_text().startswith("The registry")
    told = page.request.get("/nothing", headers={"Accept": "*/*"})
    assert (told.status, told.text()) == (404, "there is no such page; expected an address of /openapi.json\n")


def test_its_links_lead_somewhere(page: Page) -> None:
    page.goto("/")
    for link in page.locator("main a").all():
        answer = page.request.get(link.get_attribute("href") or "", headers={"Accept": "*/*"})
        assert answer.status == 200, link.inner_text()


def test_it_is_read_on_a_small_screen_without_scrolling_sideways(page: Page) -> None:
    """WCAG 1.4.10: reflow at 320 CSS pixels."""
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto("/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_every_line_to_paste_is_reached_by_keyboard_and_has_a_name(page: Page) -> None:
    page.goto("/")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-labelledby')"))
    assert {"step-1", "step-2", "step-3"} <= reached


def test_its_text_stands_out_from_its_ground(page: Page) -> None:
    """WCAG 1.4.3: contrast of at least 4.5 to 1."""
    page.goto("/")
    for selector, ground in (
        ("h1", "rgb(255, 255, 255)"),
        (".lead", "rgb(255, 255, 255)"),
        ("main a", "rgb(255, 255, 255)"),
    ):
        ink = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).color")
        assert contrast(ink, ground) >= 4.5, selector
    header = page.evaluate("getComputedStyle(document.querySelector('header')).backgroundColor")
    assert contrast("rgb(255, 255, 255)", header) >= 4.5


def contrast(ink: str, ground: str) -> float:
    lighter, darker = sorted((luminance(ink), luminance(ground)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(one) / 255 for one in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
