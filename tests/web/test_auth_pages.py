"""The pages of a log-in in a real browser: by keyboard, on a small screen, with their faults told first. WCAG 2.2 AA."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.support.browser import axe, complaints


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_a_launch_goes_through_without_scrolling_sideways_and_without_a_complaint(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    found = complaints(page)
    page.goto("/sample")
    page.get_by_role("button", name="Choose a patient").click()
    for heading in ("Sign in", "Which patient?", "Allow Sample app to do this?"):
        page.get_by_role("heading", level=1, name=heading).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, heading
        assert page.locator("h1").count() == 1 and page.locator("main").count() == 1
        assert page.locator("input:not([type=hidden])").count() == page.locator("label").count(), heading
        assert axe(page) == [], heading
        if heading == "Sign in":
            page.get_by_label("User name").fill("clinician")
            page.get_by_label("Password").fill("clinician")
            page.keyboard.press("Enter")
        elif heading == "Which patient?":
            page.get_by_label("Hazel Demo").check()
            page.get_by_role("button", name="Continue").click()
        else:
            page.get_by_role("button", name="Allow", exact=True).click()
    page.get_by_role("heading", name="Studies").wait_for()
    assert page.locator("main li").count() == 2
    assert found == []


def test_what_is_wrong_is_told_first_with_the_focus_on_it_and_a_way_to_the_field(page: Page) -> None:
    page.goto("/auth/sign-in")
    page.get_by_label("User name").fill("nobody")
    page.get_by_role("button", name="Sign in").click()
    page.locator(".nhsuk-error-summary").wait_for()
    assert page.title().startswith("Error:")
    assert page.evaluate("document.activeElement.className") == "nhsuk-error-summary"
    page.locator(".nhsuk-error-summary a").click()
    assert page.evaluate("document.activeElement.id") == "username"
    assert page.locator("#username").get_attribute("aria-invalid") == "true"
