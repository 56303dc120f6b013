"""The camera that the other tests here rely on."""

from itertools import pairwise
from typing import Any

import numpy as np

from ferlab.live.frame import Frame
from ferlab.live.haar import Haar

from . import camera


def test_a_number_is_read_from_a_strip_and_from_its_mirror_image_and_nothing_from_anything_else() -> None:
    for number in (0, 1, 0b1010_0101_1100_0011, 65_535):
        image = camera.numbered(np.full((240, 320, 3), 90, np.uint8), number)
        assert camera.number_in(image) == camera.number_in(image[:, ::-1]) == number
        image[-8:, 16:32] = 255 - image[-8:, 16:32]  # a bit falls over
        assert camera.number_in(image) is None
    assert camera.number_in(np.full((240, 320, 3), 90, np.uint8)) is None


def test_the_drawn_face_is_found_in_each_frame() -> None:
    frames = list(camera.drawn())
    assert [camera.number_in(frame) for frame in frames] == list(range(120))
    assert {len(Haar()(Frame(0, 0.0, frame))) for frame in frames[::20]} == {1}


def test_chromium_plays_it(browser: Any) -> None:
    page = browser.new_page()
    html = "<video playsinline muted autoplay></video>"
    page.route("http://localhost/", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto("http://localhost/")  # cameras are for secure places, as this is one
    read = page.evaluate(
        f"""async () => {{
          const levels = {camera.LEVELS};
          const video = document.querySelector("video"), read = [];
          video.srcObject = await navigator.mediaDevices.getUserMedia({{video: true}});
          while (read.length < 40) {{
            await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
            read.push(levels(video));
          }}
          return read;
        }}"""
    )
    page.close()
    numbers = [camera.number_of(levels) for levels in read[1:]]  # the first may come before the camera does
    assert None not in numbers
    steps = [(after - before) % 120 for before, after in pairwise(numbers)]
    assert max(steps) < 60  # none goes back
    assert sum(steps) > 30
