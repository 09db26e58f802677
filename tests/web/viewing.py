"""Getting into the viewer, as people do."""

from __future__ import annotations

from playwright.sync_api import Page


def enter(page: Page, user: str = "clinician") -> None:
    """From the viewer's first page to the choice of a patient."""
    page.goto("/viewer")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(user)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    page.get_by_role("heading", name="Which patient?").wait_for()


def open_patient(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    page.locator(".person strong", has_text=name).wait_for()
