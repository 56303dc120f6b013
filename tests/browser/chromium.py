"""A real browser, whose camera is a file."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no browser: install Debian's chromium or Google Chrome, or name one in FERLAB_BROWSER"


def found() -> str | None:
    """Where the browser is; None if there is none, and an error if one is named that is not there."""
    named = os.environ.get("FERLAB_BROWSER")
    place = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    if named and place is None:
        raise FileNotFoundError(f"FERLAB_BROWSER must name a browser, got {named}")
    return place


@contextmanager
def started(playwright: "Playwright", executable: str, camera: Path) -> Iterator["Browser"]:
    """The browser without a window; it grants the camera unasked, and its camera is this file."""
    browser = playwright.chromium.launch(
        executable_path=executable,
        # Chromium's sandbox refuses to run as root, which a container's only user often is. Here it opens nothing but
        # ferlab's own page.
        chromium_sandbox=getattr(os, "geteuid", lambda: 1)() != 0,
        args=[
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera}",
        ],
    )
    try:
        yield browser
    finally:
        browser.close()
