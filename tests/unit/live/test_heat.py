import sys
from types import SimpleNamespace

import pytest

from ferlab.live.heat import Heat, cooling


class World:
    """A clock, and a card whose temperature is known by the second."""

    def __init__(self, celsius):
        self.now, self.slept, self.said, self.celsius = 0.0, 0.0, [], celsius

    def sleep(self, seconds):
        self.now, self.slept = self.now + seconds, self.slept + seconds

    def frames(self, heat, until, takes=0.04):
        """How many frames are done until then, each of which takes so long."""
        done = 0
        while self.now < until:
            self.now += takes
            heat()
            done += 1
        return done

    def heat(self):
        return Heat(lambda: self.celsius(self.now), self.said.append, lambda: self.now, self.sleep)


def test_a_cool_card_is_left_alone():
    world = World(lambda now: 84.9)
    assert world.frames(world.heat(), 20) == pytest.approx(500, abs=1)
    assert (world.slept, world.said) == (0.0, [])


def test_a_hot_card_gets_half_of_the_frames_until_it_has_cooled():
    """Hot for the first 20 s; at 82 ° it stays as it is, hot or not; below 80 it is well again."""
    world = World(lambda now: 90 if now < 20 else 82 if now < 40 else 70)
    heat = world.heat()
    assert world.frames(heat, 20) == pytest.approx(250, abs=3)
    assert world.frames(heat, 39) == pytest.approx(237, abs=3)
    world.frames(heat, 46)
    slept = world.slept
    assert world.frames(heat, 60) == pytest.approx(350, abs=3)
    assert world.slept == slept
    assert world.said == [
        "the card has 90 °C, above 85: half as many frames until it has cooled",
        "the card has cooled to 70 °C: all frames again",
    ]


def test_a_pause_has_an_end():
    world = World(lambda now: 99)
    heat = world.heat()
    world.now += 3600  # a laptop that slept
    heat()
    assert world.slept <= 1.0


def test_only_an_nvidia_card_is_cooled_and_one_that_cannot_be_read_is_said(monkeypatch):
    said = []
    assert cooling("cpu", said.append)() is None
    assert said == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert not isinstance(cooling("cuda", said.append), Heat)
    assert "pip install nvidia-ml-py" in said.pop()
    asked = []
    fake = SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda i: asked.append(i) or i,
        nvmlDeviceGetTemperature=lambda card, sensor: 90 + card + sensor, NVML_TEMPERATURE_GPU=0,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    cooling("cuda:1", said.append)()
    cooling("cuda", said.append)()
    assert asked == [1, 0]
    assert [line[:20] for line in said] == ["the card has 91 °C, ", "the card has 90 °C, "]
    fake.nvmlInit = lambda: 1 / 0
    assert not isinstance(cooling("cuda", said.append), Heat)
    assert "division by zero" in said[-1]
