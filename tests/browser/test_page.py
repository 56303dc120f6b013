"""What a person sees and does in the page, with the camera, a picture and a video."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from . import camera, chromium
from .conftest import Visit
from .watched import PAINTS, await_paints, paints, until

LABEL = "#faces-list .face-head .label"
# The name beside the longest bar.
LONGEST = """[...document.querySelectorAll("#faces-list .bars li")]
  .map((row) => [row.querySelector(".fill").getBoundingClientRect().width, row.querySelector(".name").textContent])
  .sort(([a], [b]) => b - a)[0]?.[1]"""
# A frame's number -> the label that its face has shown for more than a second.
SETTLED = {number: camera.SHOWN[number // 60] for number in range(120) if number % 60 >= 40}


def begin(visit: Visit) -> Any:
    """Start the camera, and give the page once it shows a face."""
    visit.page.click("#begin")
    visit.page.wait_for_selector(LABEL)
    return visit.page


def text_of(page: Any, label: str) -> None:
    """Until the face is given this label."""
    until(page, f"document.querySelector({LABEL!r})?.textContent.startsWith(words[0])", label)


def test_the_label_follows_the_face(visits: Any) -> None:
    visit = visits(before=[PAINTS])
    page = begin(visit)
    seen = dict.fromkeys(camera.SHOWN, 0)
    while min(seen.values()) < 5:
        await_paints(page, 10)
        for paint in paints(page):
            if paint["number"] in SETTLED and paint["texts"]:
                label = SETTLED[paint["number"]]
                assert label in paint["texts"][0]["text"]
                seen[label] += 1
    # The panels beside tell the same.
    before = page.locator("#timeline").screenshot()
    for label in camera.SHOWN:
        text_of(page, label)
        until(page, f"{LONGEST} === words[0]", label)
    assert page.locator("#timeline").screenshot() != before
    assert any(label in page.get_attribute("#timeline", "aria-label") for label in camera.SHOWN)
    page.click("#tab-history")
    labels = page.locator("#history-list .label").all_inner_texts()
    assert {"neutral", "surprise"} <= set(labels)
    for number in ("camera", "shown", "answered", "p50", "p95", "age"):
        assert float(page.inner_text(f"#n-{number}")) > 0


def test_a_mirror_mirrors_the_picture_and_no_text(visits: Any) -> None:
    page = begin(visits(before=[PAINTS]))
    for mirrored in (True, False):
        paints(page)
        await_paints(page, 5)
        found = [paint for paint in paints(page) if paint["texts"]][-1]
        assert found["mirrored"] == mirrored
        assert (found["levels"][0] < 128) == mirrored  # the strip begins white
        assert not any(text["mirrored"] for text in found["texts"])
        left, _, width, _ = found["boxes"][0]
        assert (left + width / 2 > found["width"] / 2) == mirrored  # the face is left of the middle
        page.keyboard.press("m")
        page.wait_for_selector(f"#mirror[aria-pressed={str(not mirrored).lower()}]")


def test_settings_change_what_is_shown(visits: Any) -> None:
    visit = visits(before=[PAINTS])
    page = begin(visit)
    page.keyboard.press("o")
    until(page, "paints.length && !paints.at(-1).boxes.length && !paints.at(-1).texts.length")
    page.keyboard.press("o")
    until(page, "paints.at(-1).boxes.length > 0")
    page.click("#tab-settings")
    page.fill("#set-smallest", "300")
    until(page, "!paints.at(-1).boxes.length")  # the face is smaller
    assert "smallest=300" in page.inner_text("#settings code")
    page.fill("#set-smallest", "40")
    until(page, "paints.at(-1).boxes.length > 0")
    page.click("#preset-raw")
    page.wait_for_selector("#preset-raw[aria-pressed=true]")
    until(page, "document.querySelector('#settings code').textContent.includes('preset=raw')")


def test_a_screenshot_is_the_frame_with_its_overlay(visits: Any, tmp_path: Path) -> None:
    page = begin(visits())
    frames = list(camera.drawn())
    changed = []
    for _ in range(2):
        with page.expect_download() as download:
            page.keyboard.press("s")
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert file.suffix == ".png"
        image = cv2.imread(str(file))[:, :, ::-1]
        assert image.shape == (960, 1280, 3)
        number = camera.number_in(image)
        assert number is not None
        frame = cv2.resize(frames[number][:, ::-1], (1280, 960))  # mirrored, as it is shown
        changed.append((np.abs(image.astype(int) - frame).max(2) > 50).mean())
        page.keyboard.press("o")
    with_overlay, without = changed
    assert 0.01 < with_overlay < 0.1  # a box and a label
    assert without < 0.001


def test_a_camera_that_is_upright_is_shown_upright(
    playwright: Any, executable: str, server: Any, tmp_path: Path
) -> None:
    clip = camera.write(tmp_path / "upright.mjpeg", camera.drawn(240, 320, seconds=0.5))
    with chromium.started(playwright, executable, clip) as browser:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.add_init_script(PAINTS)
        page.goto(server.url)
        page.click("#begin")
        page.wait_for_selector(LABEL)
        found = paints(page)[-1]
        assert found["height"] / found["width"] == pytest.approx(4 / 3, abs=0.02)
        assert found["number"] is not None
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def surprised() -> np.ndarray:
    """A frame in which the face is surprised."""
    return list(camera.drawn())[-1]


def test_a_picture_is_answered(visits: Any, surprised: np.ndarray, tmp_path: Path) -> None:
    page = visits(before=[PAINTS]).page
    cv2.imwrite(str(tmp_path / "a <b>.png"), surprised[:, :, ::-1])
    page.set_input_files("#file-input", tmp_path / "a <b>.png")
    text_of(page, "surprise")
    last = paints(page)[-1]
    assert last["number"] == 119
    assert not last["mirrored"]
    (tmp_path / "no.png").write_text("no picture")
    page.set_input_files("#file-input", tmp_path / "no.png")
    until(page, "document.body.innerText.includes('no.png is no picture')")


def test_a_video_is_answered(visits: Any, surprised: np.ndarray, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="no PyAV to write a video with: pip install 'ferlab[video]'")
    file = tmp_path / "clip.webm"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libvpx", rate=25, width=320, height=240, pix_fmt="yuv420p")
        for _ in range(75):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(surprised)))
        container.mux(stream.encode())
    page = visits(before=[PAINTS]).page
    page.set_input_files("#file-input", file)
    text_of(page, "surprise")
    page.wait_for_selector("#transport", state="visible")
    assert not paints(page)[-1]["mirrored"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("NotAllowedError", "The camera is not allowed"),
        ("NotFoundError", "There is no camera"),
        ("NotReadableError", "The camera is in use"),
    ],
)
def test_a_camera_that_is_not_to_be_had_is_told_with_what_to_do(visits: Any, error: str, said: str) -> None:
    refuse = f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('no', '{error}'); }};"
    page = visits(before=[refuse]).page
    page.click("#begin")
    until(page, "document.body.innerText.includes(words[0])", said)
    page.wait_for_selector("#begin", state="visible")  # to try again
