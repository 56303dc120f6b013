"""The page as a viewer of a source that the server has."""

from pathlib import Path
from typing import Any

from e2e.page import served

from . import camera
from .watched import PAINTS, await_paints, paints, until


def test_the_servers_own_video_is_shown_with_its_answers(visits: Any, folder: Path) -> None:
    clip = camera.write_clip(folder / "long.avi", seconds=60)  # the page may take its time to open
    sent: list[Any] = []
    with served(folder, f"source={clip}", "page=true", "paced=true", "detect=haar") as server:
        page = visits(server.url, before=[PAINTS, lambda page: page.on("websocket", heard(sent))]).page
        await_paints(page, 10)
        found = paints(page)
        assert None not in [paint["number"] for paint in found]
        assert not any(paint["mirrored"] for paint in found)
        assert all(any(text["text"].startswith("#0 ") for text in paint["texts"]) for paint in found)
        page.wait_for_selector("#faces-list .face-head .label")
        assert not any(page.is_visible(f"#{each}") for each in ("start", "file", "cameras", "record", "tab-settings"))
        for key in ("l", " ", "r", "m", "o"):
            page.keyboard.press(key)
        until(page, "paints.length && paints.at(-1).mirrored && !paints.at(-1).boxes.length")
        await_paints(page, 15)  # which takes longer than a slider rests before it is sent
        assert sent == []  # the server takes nothing from a viewer, and lets go who keeps asking
        page.close()  # before its server ends


def heard(sent: list[Any]) -> Any:
    """Puts what a WebSocket sends into the list."""
    return lambda socket: socket.on("framesent", lambda message: sent.append(message))
