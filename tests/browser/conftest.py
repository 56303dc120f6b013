"""Chromium with a drawn camera, and `ferlab live`. Where there is no browser these tests are skipped, and say so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from e2e.page import Page, served

from . import camera, chromium
from .watched import PATIENCE_MS


# Playwright's loop stays the running one of its thread, in which no other test could then call asyncio.run: so none of
# its fixtures outlives this folder's tests.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: make setup installs it")
    with api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def executable() -> str:
    found = chromium.found()
    if found is None:
        pytest.skip(chromium.MISSING)
    return found


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="package")
def browser(playwright: Any, executable: str, folder: Path) -> Iterator[Any]:
    """Chromium with a face of 320×240 that changes."""
    with chromium.started(playwright, executable, camera.write(folder / "face.mjpeg", camera.drawn())) as started:
        yield started


@pytest.fixture(scope="package")
def server(folder: Path) -> Iterator[Page]:
    """`ferlab live` with the model in the box, which answers fast; Haar finds the drawn face and needs no file."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FERLAB_CACHE", str(folder / "cache"))
        with served(
            folder, "detect=haar", "preset=fast", "record=overlay", "show=[box,label]", "out=recordings"
        ) as started:
            yield started


@pytest.fixture(scope="session")
def axe() -> str:
    """Deque's checker of accessibility, as a locked package brings it."""
    reason = "no axe: it comes with the development dependencies (make setup)"
    package = pytest.importorskip("axe_playwright_python", reason=reason)
    return resources.files(package).joinpath("axe.min.js").read_text("utf-8")


@dataclass
class Visit:
    """A page that was opened, and what it did.

    Attributes:
        page: Playwright's.
        requests: the address of each.
        wrong: what its console called an error or a warning, and what it threw.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def foreign(self, url: str) -> list[str]:
        """Requests to another place than where the page is from."""
        hosts = {urlsplit(url).netloc, ""}  # data: and blob: have none
        return [each for each in self.requests if urlsplit(each).netloc not in hosts]


@pytest.fixture
def visits(browser: Any, server: Page) -> Iterator[Any]:
    """words of `browser.new_context` -> a Visit to the server's page; none may end with an error, or ask elsewhere.

    `before` the page is opened, scripts are put into it, and others are called with it.
    """
    opened: list[tuple[Visit, str]] = []

    def visit(url: str = server.url, before: Sequence[Any] = (), **words: Any) -> Visit:
        context = browser.new_context(**words)
        context.set_default_timeout(PATIENCE_MS)
        made = Visit(context.new_page())
        made.page.on("request", lambda request: made.requests.append(request.url))
        made.page.on("websocket", lambda socket: made.requests.append(socket.url))
        made.page.on("pageerror", lambda error: made.wrong.append(str(error)))
        made.page.on(
            "console", lambda said: made.wrong.append(said.text) if said.type in ("error", "warning") else None
        )
        for each in before:
            made.page.add_init_script(each) if isinstance(each, str) else each(made.page)
        made.page.goto(url)
        opened.append((made, url))
        return made

    yield visit
    for made, _ in opened:
        made.page.context.close()
    for made, url in opened:
        assert made.wrong == []
        assert made.foreign(url) == []
