"""What a page paints and sends, seen from outside."""

import json
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from e2e.page import PATIENCE_S

from .camera import LEVELS, number_in, number_of

# Two tests, another's Chromium and a training may share two cores: what is waited for comes in a second or two if not.
PATIENCE_MS = 60_000

# Each painting of the picture: the strip in it, the boxes and texts over it, and whether these are mirrored.
PAINTS = f"""
  window.paints = [];
  const levels = {LEVELS}, {{drawImage, roundRect, fillText}} = CanvasRenderingContext2D.prototype;
  const mirrored = (context) => context.getTransform().a < 0;
  const over = (context) => context.canvas.id === "picture" ? paints.at(-1) : null;
  Object.assign(CanvasRenderingContext2D.prototype, {{
    drawImage(...words) {{
      drawImage.apply(this, words);
      if (this.canvas.id !== "picture") return;
      const {{width, height}} = this.canvas;
      paints.push({{levels: levels(this.canvas), width, height, mirrored: mirrored(this), boxes: [], texts: []}});
      if (paints.length > 1000) paints.shift();
    }},
    roundRect(...words) {{
      roundRect.apply(this, words);
      over(this)?.boxes.push(words.slice(0, 4));
    }},
    fillText(...words) {{
      fillText.apply(this, words);
      over(this)?.texts.push({{text: words[0], mirrored: mirrored(this)}});
    }},
  }});
"""


def paints(page: Any) -> list[dict[str, Any]]:
    """What was painted since the last call, each with the `number` of its frame."""
    found: list[dict[str, Any]] = page.evaluate("paints.splice(0)")
    return [each | {"number": number_of(each["levels"])} for each in found]


def until(page: Any, condition: str, *words: Any) -> None:
    """Until a condition holds, an expression of the page in which `words` has these.

    Playwright's own wait_for_function would have the page evaluate a string, which its policy forbids, as it should.
    """
    script = f"""async (words) => {{
      const until = performance.now() + {PATIENCE_MS};
      while (!({condition})) {{
        if (performance.now() > until) throw new Error("must have come true within {PATIENCE_MS} ms");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }}
    }}"""
    try:
        page.evaluate(script, words)
    except Exception as error:
        raise AssertionError(f"{condition} {words}: {error}") from error


def await_paints(page: Any, count: int = 1) -> None:
    """Until so many were painted that `paints` has not given yet."""
    until(page, "paints.length >= words[0]", count)


@dataclass
class Wire:
    """Stands between the page and the server, and holds answers back.

    Attributes:
        lag: how many answers are held before the first is let through.
        frames: id -> the number in its strip, of what the page sent.
        answers: id -> what the server said.
        texts: the other messages of the page.
        held: answers that the page has not got yet, the oldest first.
    """

    lag: int = 0
    frames: dict[int, int | None] = field(default_factory=dict)
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    texts: list[dict[str, Any]] = field(default_factory=list)
    held: deque[str] = field(default_factory=deque)
    page: Any = None
    socket: Any = None

    def __call__(self, page: Any) -> None:
        """Stand there; before the page is opened."""
        self.page = page
        page.route_web_socket("**/ws", self._between)

    def await_held(self, count: int) -> None:
        """Until so many answers are held."""
        until = time.monotonic() + PATIENCE_S
        while len(self.held) < count:
            assert time.monotonic() < until, f"the page must have sent {count} frames, got {len(self.frames)}"
            self.page.wait_for_timeout(10)  # the page's messages come in meanwhile

    def release(self, *order: int) -> None:
        """Let the held answers at these places through, in this order."""
        waiting = list(self.held)
        self.held = deque(answer for place, answer in enumerate(waiting) if place not in order)
        for place in order:
            self.socket.send(waiting[place])

    def _between(self, socket: Any) -> None:
        self.socket, server = socket, socket.connect_to_server()

        def sent(message: str | bytes) -> None:
            if isinstance(message, bytes):
                number, _ = struct.unpack_from("<Id", message)
                image = cv2.imdecode(np.frombuffer(message[12:], np.uint8), cv2.IMREAD_COLOR_RGB)
                self.frames[number] = number_in(image)
            else:
                self.texts.append(json.loads(message))
            server.send(message)

        def said(message: str) -> None:
            read = json.loads(message)
            if read["type"] != "answer":
                socket.send(message)
                return
            self.answers[read["id"]] = read
            self.held.append(message)
            while len(self.held) > self.lag:
                socket.send(self.held.popleft())

        socket.on_message(sent)
        server.on_message(said)


def await_painted(page: Any, number: int) -> None:
    """Until the frame with this number is the last that was painted, and forget all up to it."""
    until = time.monotonic() + PATIENCE_S
    last = None
    while last != number:
        assert time.monotonic() < until, f"frame {number} must be painted, got {last}"
        if painted := paints(page):
            last = painted[-1]["number"]
        page.wait_for_timeout(10)
