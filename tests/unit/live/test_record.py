import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from ferlab.errors import ConfigError
from ferlab.live import record
from ferlab.live.kept import Kept
from ferlab.live.record import H264, MPEG4, SPARED, Recorder, fitted
from ferlab.live.settings import LiveConfig
from ferlab.live.store import Folder
from ferlab.live.videos import frames

from .test_overlay import seen

RED = np.zeros((48, 64, 3), np.uint8)
RED[..., 0] = 220


def recorded(folder: Path, times: list[float], images: list[np.ndarray] | None = None, say=lambda line: None) -> dict:
    """The summary of a video of pictures that were taken at these times."""
    shown = iter(images or [RED] * len(times))
    with Folder(folder) as store:
        folder.mkdir()
        made = Recorder(store, lambda: next(shown), say)
        for time in times:
            made.write(seen([], time=time))
        made.close()
    return made.summary()


def test_h264_keeps_the_times_of_a_camera(tmp_path: Path) -> None:
    times = [5.0, 5.033, 5.1, 6.7, 6.701, 6.701, 9.0]  # from the first frame on
    told: list[str] = []
    summary = recorded(tmp_path / "s", times, say=told.append)
    assert summary == {"file": H264, "frames": 7, "seconds": 4.0}
    assert told == ["video   H.264, the frames at their own times, in video.mp4"]
    with av.open(str(tmp_path / "s" / H264)) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        found = [frame.time for frame in video.decode(video=0)]
    assert found == pytest.approx([time - 5 for time in times], abs=2 / 90_000)
    again = list(frames(tmp_path / "s" / H264))
    assert len(again) == 7
    assert again[0].image.mean((0, 1)) == pytest.approx([220, 0, 0], abs=12)


def test_opencv_repeats_and_leaves_out_frames_for_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "has_av", lambda: False)
    told: list[str] = []
    green = RED[..., [1, 0, 2]].copy()
    summary = recorded(tmp_path / "s", [2.0, 2.01, 3.0, 3.5], [RED, RED, green, green], told.append)
    assert summary["file"] == MPEG4
    assert told == ["video   MPEG-4, 30 frames/s, in video.mkv; H.264 with the frames' own times needs the extra video"]
    found = [each.image.mean((0, 1)).argmax() for each in frames(tmp_path / "s" / MPEG4)]
    assert found == [0] + [1] * 45  # the second came too early; the third stands for all up to it
    assert cv2.VideoCapture(str(tmp_path / "s" / MPEG4)).get(cv2.CAP_PROP_FPS) == 30


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from ferlab.live import record
from ferlab.live.frame import Faces, Frame
from ferlab.live.pipeline import Seen
from ferlab.live.store import Folder
folder = Path(sys.argv[1])
store = Folder(folder)
folder.mkdir()
noise = np.random.default_rng(0).integers(0, 256, (90, 96, 128, 3), dtype=np.uint8)
one = record.Recorder(store, lambda: noise[i], print)
record.has_av = lambda: False
other = record.Recorder(store, lambda: noise[i], print)
for i in range(90):
    frame = Frame(i, i / 30, noise[i])
    for each in (one, other):
        each.write(Seen(frame, Faces.found(np.zeros((0, 4))), np.zeros((0, 0)), [], (), 0.0, 0.0, 0.0))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_video_can_be_read_after_kill_9(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "s")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(frames(tmp_path / "s" / H264))) >= 60  # of 90: all but the last second
    assert len(list(frames(tmp_path / "s" / MPEG4))) >= 60


class Runner:
    labels = ("happiness", "fear")


@contextmanager
def kept(folder: Path, told: list[str], **settings):
    folder.mkdir(exist_ok=True)
    config = LiveConfig("b", out=str(folder), **settings)
    with Folder(folder) as store, Kept(config, Runner(), store, told.append) as each:
        yield each


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
def test_a_full_disk_ends_the_video_and_not_the_session(tmp_path: Path) -> None:
    import resource

    told: list[str] = []
    noise = np.random.default_rng(0).integers(0, 256, (200, 96, 128, 3), dtype=np.uint8)
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
        with kept(tmp_path / "s", told, record="plain") as each:
            for number, image in enumerate(noise):
                each.write(seen([], time=number / 30, image=image))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    summary = each.summary()["video"]
    assert told[1:] == [f"video   ends: {summary['ended']}; the session goes on without"]
    assert re.search("space|large", summary["ended"])
    assert 30 < summary["frames"] < 190
    assert (tmp_path / "s" / H264).stat().st_size <= 600_000
    assert len(list(frames(tmp_path / "s" / H264))) >= summary["frames"] - 60


def test_a_video_leaves_room_for_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([SPARED + 1, SPARED - 1])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
    told: list[str] = []
    with kept(tmp_path / "s", told, record="overlay", screenshots=0.5) as each:
        for number in range(60):
            shown = seen([[5, 5, 20, 20]], time=number / 30, names=Runner.labels)
            each.write(replace(shown, frame=replace(shown.frame, index=number)))
    reason = "less than 64 MiB are free on the disk, which are left for what is said"
    assert told[1:] == [f"video   ends: {reason}; the session goes on without"]
    assert each.summary()["video"]["frames"] == 30  # looked at once a second
    assert each.summary()["screenshots"] == {"written": 4, "ended": "with the session"}
    assert len(list(frames(tmp_path / "s" / H264))) == 30


def test_pictures_of_any_size_fit_into_the_first(tmp_path: Path) -> None:
    images = [
        np.full((33, 51, 3), 200, np.uint8),
        np.full((66, 51, 3), 200, np.uint8),
        np.full((5, 500, 3), 9, np.uint8),
    ]
    recorded(tmp_path / "s", [0, 0.1, 0.2], images)
    found = [each.image for each in frames(tmp_path / "s" / H264)]
    assert [each.shape for each in found] == [(34, 52, 3)] * 3
    tall = fitted(images[1], (52, 34))
    assert tall.shape == (34, 52, 3)
    assert (tall[:, 20:32] == 200).all()
    assert not tall[:, :10].any()
    assert np.array_equal(fitted(images[0], (52, 34))[:33, :51], images[0])


def test_screenshots_are_so_many_seconds_apart_and_have_the_overlay(tmp_path: Path) -> None:
    with kept(tmp_path / "s", [], screenshots=1.0, show=["box"]) as each:
        for number in range(75):
            shown = seen([[200, 150, 100, 120]], time=number / 30, names=Runner.labels, label=0)
            each.write(replace(shown, frame=replace(shown.frame, index=number)))
    files = sorted((tmp_path / "s" / "screenshots").iterdir())
    assert [file.name for file in files] == ["000000.jpg", "000030.jpg", "000060.jpg"]
    image = cv2.imread(str(files[0]))[:, :, ::-1]
    assert image[210, 200].astype(int) == pytest.approx([0xE6, 0x9F, 0], abs=40)
    assert image[210, 250].tolist() == [100, 100, 100]


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Runner, "labels", ("怒り", "x"))  # nor is a font sought
    with kept(tmp_path / "s", told) as each:
        each.write(seen([[5, 5, 20, 20]], names=Runner.labels))
    assert (each.summary(), told) == ({}, [])
    assert list((tmp_path / "s").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"record": "plain"}, "record must have a folder, got out=None; add out=session"),
        ({"screenshots": 3.0, "out": "-"}, "screenshots must have a folder, got out=-"),
        ({"screenshots": 0.0}, "screenshots must be above 0, got 0"),
        ({"record": "overlap", "out": "s"}, "unknown record 'overlap'; did you mean 'overlay'"),
        ({"show": ["box", "bar"]}, "unknown show 'bar'; did you mean 'bars'"),
        ({"blur": True, "crops": True, "out": "s"}, "crops must be false with blur=true"),
        ({"blur": True, "search": "adaptive"}, "search must be every with blur=true, got adaptive"),
    ],
)
def test_settings_that_mean_nothing(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LiveConfig("b", "0", **settings)
