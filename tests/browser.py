"""A real browser: Chromium, how it is started, how one signs in to Argilla."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import Page

from tutelage.feedback.server.lifecycle import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def sign_in(page: Page, server: Server) -> None:
    sign_in_as(page, server.url, server.annotator, server.annotator_password)


def sign_in_as(page: Page, url: str, name: str, password: str) -> None:
    page.goto(url)
    page.locator("input:not([type=password])").first.fill(name)
    page.locator("input[type=password]").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "sign-in" not in url)


def screenshot(page: Page, name: str) -> None:
    """Keeps what was seen where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / name)
