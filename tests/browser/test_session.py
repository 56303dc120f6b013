"""The session viewer: what was recorded, as it was, at any time of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.page import Page, served
from ferlab.cli import main

from . import camera
from .test_access import PHONE, check
from .watched import PAINTS, await_painted, paints, until

AT = "ferlabViewer.player.time"


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[dict[str, Any]]:
    """What a session says of six seconds of the drawn face: rest, surprise, rest; with a video of the bare frames."""
    clip = camera.write_clip(folder / "short.avi", seconds=6)
    words = [f"source={clip}", "detect=haar", "preset=fast", "record=plain", f"out={folder / 'session'}"]
    assert main(["live", *words]) == 0
    (folder / "session" / "annotations.csv").write_text("kind,start,end,track,label\nevent,1.0,,,a <b>note\n")
    return [json.loads(line) for line in (folder / "session" / "frames.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def viewer(folder: Path, lines: list[dict[str, Any]]) -> Any:
    with served(folder, f"view={folder / 'session'}") as started:
        yield started


def opened(visits: Any, viewer: Page, **words: Any) -> Any:
    page = visits(viewer.url, before=[PAINTS], **words).page
    page.wait_for_selector("html[data-state=running]")
    until(page, "paints.some(({levels}) => levels[0] > 127)")  # the video is there
    return page


def test_each_frame_is_shown_with_what_was_said_of_it(visits: Any, viewer: Page, lines: list[dict[str, Any]]) -> None:
    page = opened(visits, viewer)
    for frame in (5, 100, 59, 131):
        page.evaluate(f"ferlabViewer.player.seek({frame / 30 + 0.001})")
        until(
            page, f"({camera.LEVELS})(document.querySelector('#picture')).length && !ferlabViewer.player.video.seeking"
        )
        until(page, "paints.length > 0")
        found = paints(page)[-1]
        assert found["number"] == frame % 120
        (face,) = lines[frame]["faces"]
        scale = found["width"] / 320
        assert found["boxes"][0] == pytest.approx([scale * side for side in face["box"]], abs=1)
        assert face["label"] in found["texts"][0]["text"]


def test_it_plays_and_goes_to_changes_of_the_label(visits: Any, viewer: Page, lines: list[dict[str, Any]]) -> None:
    page = opened(visits, viewer)
    labels = [line["faces"][0]["label"] for line in lines]
    changes = [i for i in range(1, len(labels)) if labels[i] != labels[i - 1]]
    assert len(changes) >= 2
    for change in changes[:2]:
        page.keyboard.press("]")
        assert page.evaluate(AT) == pytest.approx(lines[change]["time"], abs=0.04)
    page.keyboard.press("[")
    assert page.evaluate(AT) == pytest.approx(lines[changes[0]]["time"], abs=0.04)
    page.keyboard.press("Home")
    await_painted(page, 0)  # the video may still be on its way from the seek before
    page.keyboard.press(" ")
    until(page, f"{AT} > 0.5")
    page.keyboard.press(" ")
    numbers = [paint["number"] for paint in paints(page)]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 5
    page.click("#tab-annotated")
    page.click("#annotated-list :text('a <b>note')")
    assert page.evaluate(AT) == pytest.approx(1, abs=0.04)


def test_all_can_use_it(visits: Any, viewer: Page, axe: str) -> None:
    page = opened(visits, viewer, viewport=PHONE, has_touch=True, is_mobile=True)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth && innerWidth === screen.width")
    page.set_viewport_size({"width": 1280, "height": 800})
    wrong: dict[tuple[str, ...], Any] = {}
    for tab in page.locator("[role=tab]").all():
        tab.click()
        wrong |= check(page, axe, tab.inner_text())
    assert wrong == {}
