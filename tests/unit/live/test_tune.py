import json
import sys

import numpy as np
import pytest

from ferlab.errors import ConfigError
from ferlab.live.scoring import Moment, Recording
from ferlab.live.settings import LiveConfig
from ferlab.live.smooth import PRESETS, Smoothing, preset
from ferlab.live.tune import tune, write_preset


def flickering(seed: int) -> Recording:
    """A face of two labels that change each 3 s for 24 s; one answer in eight is the other label, and as sure."""
    rng, recording = np.random.default_rng(seed), Recording("clip", ("dark", "light"), memory=1.0)
    for i in range(24 * 20):
        label = i // 60 % 2
        said = label ^ int(rng.random() < 1 / 8)
        raw = np.array([[0.1, 0.9]]) if said else np.array([[0.9, 0.1]])
        recording.moments.append(Moment(i / 20, [0], raw, [(0, label, 0)]))
    return recording


def test_what_is_found_flickers_as_little_as_asked_and_is_scored_on_other_clips() -> None:
    clips = [flickering(seed) for seed in range(4)]
    told: list[int] = []
    found = tune(clips, 1.0, 0.5, 25, watch=lambda steps: (told.append(step) or step for step in steps))
    assert told == list(range(25))
    assert found.sought.spurious <= 0.5
    assert 0 < found.sought.response_mean < 1.0
    assert found.others is not None
    assert found.others.frames == found.sought.frames == 2 * 480
    assert found.others.spurious < 2
    assert found == tune(clips, 1.0, 0.5, 25)  # of the seed alone
    loose = tune(clips, 1.0, 5.0, 25)
    assert loose.sought.response_mean <= found.sought.response_mean
    assert tune(clips[:1], 1.0, 5.0, 5).others is None


def test_what_cannot_be_reached_is_said() -> None:
    with pytest.raises(ConfigError, match=r"flicker must be reached by some smoothing, got .* of 2 tried for 0; raise"):
        tune([flickering(0)], 0.05, 0.0, 2)


def test_without_optuna_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'ferlab\[tune\]'"):
        tune([flickering(0)], 1.0, 1.0, 1)


def test_a_preset_file_is_what_live_smooths_by(tmp_path) -> None:
    found = tune([flickering(0)], 1.0, 5.0, 3)
    write_preset(found, 5.0, tmp_path / "mine.json")
    read = LiveConfig(preset=str(tmp_path / "mine.json")).smoothing
    assert read.filter == found.smoothing.filter
    for key in ("window", "streak", "strong", "certain"):
        assert getattr(read, key) == pytest.approx(getattr(found.smoothing, key), abs=5e-4)
    assert preset("stable") is PRESETS["stable"]
    assert "Infinity" not in (tmp_path / "mine.json").read_text()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read preset=.*No such file"), ("{", "must be a file of ferlab live evaluate tune=true"),
        ("[]", "must be a file of"), ('{"smoothing": 3}', "must be a file of"), ('{"smoothing": {}}', "got 'filter'"),
        ('{"smoothing": {"filter": "average", "windw": 1}}', "unknown key 'windw'"),
        ('{"smoothing": {"filter": "average", "window": "x"}}', "could not convert"),
        ('{"smoothing": {"filter": "average", "window": 99}}', "window must be from 0 to 60"),
        ('{"smoothing": {"filter": "averag"}}', "did you mean 'average'"),
    ],
)  # fmt: skip
def test_what_is_no_preset_is_one_line(tmp_path, content, said) -> None:
    if content is not None:
        (tmp_path / "p.json").write_text(content)
    with pytest.raises(ConfigError, match=said) as error:
        preset(str(tmp_path / "p.json"))
    assert "\n" not in str(error.value)


def test_a_number_that_is_none_is_refused(tmp_path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"smoothing": {"filter": "average", "window": float("nan")}}))
    with pytest.raises(ConfigError):
        preset(str(tmp_path / "p.json"))
    assert Smoothing("average", 0.5) == Smoothing(filter="average", window=0.5)
