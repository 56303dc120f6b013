"""Frames and answers between the page and the server: what is painted is what was answered."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from e2e.page import served

from . import camera
from .watched import PAINTS, Wire, await_paints, paints, until

FRAMES_AFTER = """(count) => new Promise((resolve) => {
  const video = document.querySelector("video");
  const next = () => (count-- ? video.requestVideoFrameCallback(next) : resolve());
  next();
})"""


def test_a_frame_is_painted_with_its_own_answer(visits: Any) -> None:
    wire = Wire(lag=1)  # so that the camera has gone on when an answer comes
    page = visits(before=[wire, PAINTS]).page
    page.click("#begin")
    await_paints(page, 40)
    answered = defaultdict(list)  # the clip begins again, and with it the numbers in its strip
    for number, answer in wire.answers.items():
        answered[wire.frames[number]].append(answer)
    boxes = []
    for paint in paints(page):
        expected = [mirrored(paint, answer) for answer in answered[paint["number"]] if answer["faces"]]
        if paint["boxes"]:
            drawn = paint["boxes"][0]  # then its label
            assert paint["mirrored"]  # a camera is a mirror at first
            assert any(drawn == pytest.approx(box, abs=0.5) for box in expected), (drawn, expected)
            boxes.append(tuple(drawn))
    assert len(boxes) > 20
    assert len(set(boxes)) > len(boxes) / 2  # the face sways, so that another frame's box would have been seen


def mirrored(paint: dict[str, Any], answer: dict[str, Any]) -> list[float]:
    """Where the box of an answer's only face must be painted."""
    (face,) = answer["faces"]
    scale = paint["width"] / answer["width"]
    left, top, width, height = (scale * side for side in face["box"])
    return [paint["width"] - left - width, top, width, height]


def test_two_frames_at_most_are_on_their_way_and_the_newest_goes_next(visits: Any) -> None:
    wire = Wire(lag=2)
    page = visits(before=[wire, PAINTS]).page
    page.click("#begin")
    wire.await_held(2)
    page.evaluate(FRAMES_AFTER, 15)
    assert len(wire.frames) == 2
    newest = camera.number_of(page.evaluate(f"({camera.LEVELS})(document.querySelector('video'))"))
    wire.release(0)
    wire.await_held(2)
    _, second, third = wire.frames.values()
    assert (third - newest) % 120 < 60  # and not one of those that came after the second
    assert (newest - second) % 120 >= 15
    until(page, "Number(document.querySelector('#n-dropped').textContent) >= 10")


def test_an_answer_that_comes_after_a_newer_one_is_dropped(visits: Any) -> None:
    wire = Wire(lag=2)
    page = visits(before=[wire, PAINTS]).page
    page.click("#begin")
    wire.await_held(2)
    first, second = wire.frames.values()
    wire.release(1, 0)
    await_paints(page)
    wire.await_held(2)
    assert {paint["number"] for paint in paints(page)} == {second}
    wire.release(0, 1)
    await_paints(page)
    assert first not in [paint["number"] for paint in paints(page)]


def test_an_answer_of_a_source_that_ended_is_dropped(visits: Any) -> None:
    wire = Wire(lag=2)
    page = visits(before=[wire, PAINTS]).page
    page.click("#begin")
    wire.await_held(2)
    page.click("#start")
    until(page, "!document.querySelector('video')")
    wire.release(0, 1)
    page.click("#start")
    wire.await_held(2)
    assert paints(page) == []
    assert [text["type"] for text in wire.texts if text["type"] in ("start", "stop")][-1] == "start"


def test_the_page_goes_on_when_the_server_comes_back(visits: Any, folder: Path) -> None:
    with served(folder, "detect=none") as first:
        visit = visits(first.url, before=[PAINTS])
        page = visit.page
        page.click("#begin")
        await_paints(page, 5)
        assert first.end()[0] == 0
    until(page, "document.documentElement.dataset.connection === 'lost'")
    page.wait_for_selector("#lost", state="visible")
    assert "Trying again" in page.inner_text("#lost")
    paints(page)
    with served(folder, "detect=none", f"port={first.port}"):
        await_paints(page, 5)
        page.wait_for_selector("#lost", state="hidden")
        numbers = [paint["number"] for paint in paints(page)]
        assert all((after - before) % 120 < 60 for before, after in pairwise(numbers))
    page.wait_for_selector("#lost", state="visible")
    page.close()
    assert all("WebSocket" in said for said in visit.wrong)  # Chromium calls it an error that nobody was there
    visit.wrong.clear()
