"""`/desk/subscriptions` in a real browser: for the privacy desk alone, readable on a small screen, naming no patient."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.support.browser import complaints


def sign_in(page: Page, name: str) -> None:
    page.goto("/desk/subscriptions")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(name)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_privacy_desk_sees_how_subscriptions_stand(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    found = complaints(page)
    sign_in(page, "privacy")
    page.get_by_role("heading", level=1, name="Subscriptions").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_text("There are no subscriptions yet.").is_visible()
    assert found == []


def test_another_role_is_told_that_the_page_is_not_for_it(page: Page) -> None:
    sign_in(page, "clinician")
    page.get_by_role("heading", level=1, name="This page is for the privacy desk").wait_for()
    page.get_by_role("link", name="MDT lists").click()
    page.get_by_role("heading", level=1, name="MDT lists").wait_for()
    page.goto("/desk")
    page.get_by_role("heading", level=1, name="MDT lists").wait_for()
