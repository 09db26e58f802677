"""Every page that there is, found by the routes: on a small screen and a wide one, as whoever it is for, and nothing wrong
that axe can find. WCAG 2.2 AA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page

from app import create_app
from app.config import Settings
from tests.support.browser import axe
from tests.support.server import ROOT, Running

# What programs ask for, and not people.
PROGRAMS = (
    "/fhir", "/access/", "/archive/", "/health/", "/metrics", "/openapi.json", "/.well-known/", "/static/", "/viewer/static/",
    "/auth/jwks", "/auth/userinfo", "/auth/callback", "/auth/elsewhere/",
)  # fmt: skip
# Pages of something that must be made first, and of launches: the tests that go there, and ask axe too.
ELSEWHERE = {
    "/viewer": "test_viewer.py",
    "/viewer/launch": "test_viewer.py",
    "/ohif/": "test_ohif.py",
    "/ohif/<path:path>": "test_ohif.py",
    "/sample/launch": "test_auth_pages.py",
    "/choices/<id>/<slug>": "test_choice_journey.py",
    "/choices/<id>/check": "test_choice_journey.py",
    "/choices/<id>/done": "test_choice_journey.py",
    "/choices/<id>/letter": "test_choice_journey.py",
    "/desk/requests/<id>": "test_choice_journey.py",
    "/desk/requests/<id>/<kind>": "test_choice_journey.py",
    "/desk/reviews/<id>": "test_desk_details.py",
    "/desk/holds/<id>": "test_desk_details.py",
    "/desk/mdt/<id>": "test_care_pages.py",
}
MADE = {"/desk/mdt/new/<organisation>": "/desk/mdt/new/ZC1"}
WHO = (("/desk/mdt", "clerk"), ("/desk/emergency", "clerk"), ("/desk", "privacy"), ("/choices/seen", "patient"),
       ("/auth/launch", "clinician"))  # fmt: skip
NOWHERE = ("/nothing", "/docs/nothing", "/choices/nothing/name")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("routes")
    made = create_app(Settings(database_url=f"sqlite:///{folder}/r.db", keys_dir=f"{folder}/keys"))
    yield made
    made.extensions["services"].store.close()


def pages(app: Flask) -> list[str]:
    """The addresses that a browser may ask for."""
    rules = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    return sorted(rule for rule in rules if not rule.startswith(PROGRAMS))


def who(address: str) -> str:
    return next((name for start, name in WHO if address.startswith(start)), "")


def walked(app: Flask) -> dict[str, list[str]]:
    """The addresses to go to, by whoever goes there."""
    found: dict[str, list[str]] = {"": [*NOWHERE]}
    for rule in pages(app):
        if rule == "/docs/<name>":
            found[""] += [f"/docs/{path.stem}" for path in sorted((ROOT / "docs").glob("*.md"))]
        elif rule not in ELSEWHERE:
            found.setdefault(who(rule), []).append(MADE.get(rule, rule))
    return found


def test_every_page_with_something_made_first_is_gone_to_by_a_test_that_asks_axe(app: Flask) -> None:
    for file in set(ELSEWHERE.values()):
        path = Path(__file__).with_name(file)
        assert not path.exists() or "axe(" in path.read_text(), file
    assert not [rule for rule in pages(app) if "<" in rule and rule not in (*ELSEWHERE, *MADE, "/docs/<name>")]


@pytest.mark.parametrize("name", ["", "clerk", "privacy", "patient", "clinician"])
def test_axe_finds_nothing_wrong_and_nothing_scrolls_sideways(
    app: Flask, browser: Browser, served: Running, name: str
) -> None:
    context = browser.new_context(base_url=served.address)
    page = context.new_page()
    if name:
        page.goto("/auth/sign-in")
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password").fill(name)
        with page.expect_navigation():
            page.get_by_role("button", name="Sign in").click()
    wrong = [fault for address in walked(app)[name] for fault in faults(page, address)]
    context.close()
    assert wrong == []


def faults(page: Page, address: str) -> list[str]:
    """What is wrong with a page, each with its address."""
    page.goto(address)
    found = []
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{address} scrolls sideways at {width}")
    if page.locator("main").count() != 1 or page.locator("h1").count() != 1:
        found.append(f"{address} has not one main part and one heading")
    return found + [f"{address}: {one}" for one in axe(page)]
