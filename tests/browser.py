"""Pages in a real headless Chromium, driven by playwright; tests skip where either is absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The sandbox needs rights that containers lack; the rest keeps Chromium itself off the network.
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--no-first-run")  # fmt: skip


@dataclass
class Visit:
    """What happened while a page was open.

    Attributes
    ----------
    result
        What the script gave.
    requests
        URLs that the page asked for, itself and ``data:`` and ``blob:`` aside.
    errors
        Errors on its console, and exceptions that nothing caught.
    """

    result: Any = None
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def run_page(
    page: str | Path,
    script: str | Callable[[Any], Any],
    *,
    size: tuple[int, int] = (1280, 720),
    scheme: Literal["light", "dark"] = "light",
    media: Literal["screen", "print"] = "screen",
    timeout: float = 60,
) -> Visit:
    """Open a page, wait until it has loaded, and run a script in it.

    Parameters
    ----------
    page : str or Path
        A URL, or a file.
    script : str or callable
        JavaScript, an expression or a function, whose promise is awaited; or a callable that gets
        playwright's ``Page``, for mouse, keyboard and screenshots.
    size : (int, int)
        Of the window, in CSS pixels.
    scheme, media
        What the page's media queries see.
    timeout : float
        Seconds that any single step may take.
    """
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    binary = os.environ.get("PGF_GENOME_CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), None
    )
    if binary is None:
        pytest.skip("no Chromium here; install it or set PGF_GENOME_CHROMIUM")
    url = page.resolve().as_uri() if isinstance(page, Path) else page
    visit = Visit()

    def note_request(request: Any) -> None:
        if request.url != url and urlsplit(request.url).scheme not in ("data", "blob"):
            visit.requests.append(request.url)

    def note_message(message: Any) -> None:
        if message.type == "error":
            visit.errors.append(message.text)

    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=ARGUMENTS)
        try:
            view = {"width": size[0], "height": size[1]}
            tab = browser.new_page(viewport=view, color_scheme=scheme)
            tab.set_default_timeout(1000 * timeout)
            if media == "print":
                tab.emulate_media(media="print")
            tab.on("request", note_request)
            tab.on("console", note_message)
            tab.on("pageerror", lambda error: visit.errors.append(str(error)))
            tab.goto(url, wait_until="load")
            visit.result = tab.evaluate(script) if isinstance(script, str) else script(tab)
        finally:
            browser.close()
    return visit
