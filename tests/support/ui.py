"""Airflow's UI in the system's Chromium, as a person uses it, and pictures of it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

_PATIENCE_MILLISECONDS = 60_000
_SIZE = {"width": 1280, "height": 800}
_PICTURES = "SLIPWAY_SCREENSHOTS"


class AirflowUi:
    """One window.

    Args:
        page: The browser's.
        url: Address of Airflow's API server.
    """

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self._url = url
        self._wraps = False

    def open(self, path: str) -> None:
        """Open a page and wait until it has settled."""
        self._page.goto(f"{self._url}{path}")
        self._page.wait_for_load_state("networkidle")

    def shows(self, text: str) -> None:
        """Wait until the page shows a text."""
        expect(self._page.get_by_text(text).first).to_be_visible()

    def press(self, name: str) -> None:
        """Press a button, in the dialog that is open if one is, once it can be pressed."""
        self._place().get_by_role("button", name=name, exact=True).last.click()

    def fill(self, parameter: str, value: str) -> None:
        """Fill in a field of the form."""
        self._page.locator(f"[name=element_{parameter}]").fill(value)

    def ask_to_clear(self) -> None:
        """Open the dialog that clears what the page shows."""
        self._page.keyboard.press("Shift+C")
        expect(self._page.get_by_role("dialog")).to_be_visible()

    def read_failure(self) -> None:
        """Show the whole message of a failed task's log, without its traceback."""
        message = self._page.get_by_text("TerminalError").first
        expect(message).to_be_visible()
        if not self._wraps:  # Airflow remembers it
            self._page.keyboard.press("w")
            self._wraps = True
        message.click()

    def closed(self) -> None:
        """Wait until no dialog is open."""
        expect(self._page.get_by_role("dialog")).to_have_count(0)

    def picture(self, name: str) -> None:
        """Keep what the window looks like, if somebody asked for pictures."""
        folder = os.environ.get(_PICTURES)
        if folder:
            self._page.wait_for_load_state("networkidle")
            self._page.mouse.move(0, 0)
            self._page.wait_for_timeout(1000)  # what moves on the page comes to rest
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._page.screenshot(path=Path(folder, f"{name}.png"))

    def _place(self) -> Page | Locator:
        dialog = self._page.get_by_role("dialog")
        return dialog if dialog.count() else self._page


@contextmanager
def airflow_ui(url: str) -> Iterator[AirflowUi]:
    """A window of a browser of its own; gone afterwards."""
    # The system's browser: playwright would download one of its own.
    chromium = shutil.which("chromium")
    with sync_playwright() as playwright:
        # The pages are our own, and a container's root has no sandbox.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport=_SIZE)  # type: ignore[arg-type]  # a TypedDict there
            page.set_default_timeout(_PATIENCE_MILLISECONDS)
            expect.set_options(timeout=_PATIENCE_MILLISECONDS)
            yield AirflowUi(page, url)
        finally:
            browser.close()
