"""A real browser for the pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.support.npm import package
from tests.support.parts import chromium

AXE = "4.14.1"  # axe-core


@contextmanager
def chromium_running() -> Iterator[Browser]:
    """Headless, and without the sandbox, which refuses to run as root."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


def complaints(page: Page) -> list[str]:
    """What the page will write to the console as errors or warnings, or fail to load, from now on.

    What the browser gives up because the page is left, such as its icon, did not fail."""

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":
            found.append(request.url)

    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", failed)
    return found


def axe(page: Page) -> list[str]:
    """What axe finds wrong with the page as it stands: rules of WCAG 2.2 A and AA, and best practice.

    It is run from the outside, as a tester's tool would be: the page's own policy lets no such script in."""
    script = (package("axe-core", AXE) / "axe.min.js").read_text()
    page.evaluate(f"() => {{ if (!window.axe) {{ {script}\n }} }}")
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [f"{one['id']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"]]
