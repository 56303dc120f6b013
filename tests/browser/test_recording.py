"""What a person records and notes in the page, and what is then on the disk."""

import csv
import json
from pathlib import Path
from typing import Any

import cv2

from . import camera
from .test_page import begin
from .watched import PAINTS, await_paints, until


def test_a_recording_with_notes_and_a_picture_is_a_whole_session(visits: Any, folder: Path) -> None:
    page = begin(visits(before=[PAINTS]))
    page.keyboard.press("e")
    until(page, "document.body.innerText.includes('Annotations belong to a recording')")
    page.keyboard.press("r")
    page.wait_for_selector("#recording-badge", state="visible")
    page.click("#tab-annotate")
    for key in ("e", "x", "3", "x", "3"):
        noted = page.locator("#annotated-list li").count()
        page.keyboard.press(key)
        if key == "e" or noted < 3:
            until(page, "document.querySelectorAll('#annotated-list li').length > words[0]", noted)
        await_paints(page, 3)
        page.evaluate("paints.length = 0")
    until(page, "!document.querySelector('#annotate').innerText.includes('until now')")
    noted = page.locator("#annotated-list .label").all_inner_texts()
    with page.expect_download():
        page.keyboard.press("s")
    until(page, "document.body.innerText.includes('screenshots/')")
    page.keyboard.press("r")
    page.wait_for_selector("#recording-badge", state="hidden")
    until(page, "document.body.innerText.includes('Recorded ')")

    (session,) = (folder / "recordings").iterdir()
    told = json.loads((session / "session.json").read_text())
    lines = [json.loads(line) for line in (session / "frames.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(told["frames"]))
    assert f"Recorded {told['frames']} frames" in page.inner_text("body")
    assert sum(len(line["faces"]) for line in lines) == told["faces"] > 0
    with open(session / "annotations.csv", newline="") as file:
        rows = [(row["kind"], row["label"]) for row in csv.DictReader(file)]
    label = page.evaluate("ferlab.hello.labels[2]")
    assert noted == [label, "exclude", "event"]
    assert {row for row in rows if row[0] == "label"} == {("label", label)}
    assert sorted({kind for kind, _ in rows}) == ["event", "exclude", "label"]
    (shot,) = (session / "screenshots").iterdir()
    assert camera.number_in(cv2.imread(str(shot))) is not None
    video = cv2.VideoCapture(str(session / "video.mp4"))
    opened, first = video.read()
    video.release()
    assert opened
    assert camera.number_in(first) is not None
