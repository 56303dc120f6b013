"""`ferlab live`: what a model says of the faces in front of a camera, or in a video, while it runs."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlab import config
from ferlab.catalogue import choice
from ferlab.screen import Screen, counted

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.live.camera import Counts
    from ferlab.live.pipeline import Seen
    from ferlab.live.session import Tally
    from ferlab.live.smooth import Smoothing

FLAT_S = 2.0  # seconds of frames that show nothing, after which that is said
REMEMBERED = 100  # faces whose label is known, so that days of them fill no memory
SLOW_FPS = 20.0  # of the camera itself, below which a hint is given


@dataclass
class SmoothConfig:
    """What `smooth.…` changes of the preset; null leaves it."""

    filter: str | None = None
    window: float | None = None
    streak: float | None = None
    strong: float | None = None
    certain: float | None = None
    close: float | None = None


@dataclass
class LiveConfig:
    """Keys of conf/live.yaml, which explains them."""

    bundle: str = config.MISSING
    source: str = "0"
    out: str | None = None
    preset: str = choice("stable", "ferlab.live.smooth:PRESETS")
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    detect: str = choice("auto", "ferlab.live.detect:DETECT")
    detector_file: str | None = None
    score: float = 0.6
    smallest: int = 40
    backend: str = choice("any", "ferlab.live.camera:BACKENDS")
    seconds: float | None = None
    top: int = 3
    device: str = "cpu"


def live(invocation: "Invocation") -> None:
    """Watch a source until it ends, or until Ctrl-C; say each change of a label, and keep what `out` asks for."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), LiveConfig)

    from ferlab.formats import open_model
    from ferlab.interrupt import listening
    from ferlab.live import yunet
    from ferlab.live.detect import detector
    from ferlab.live.pipeline import Pipeline
    from ferlab.live.rows import print_json
    from ferlab.live.run import watch
    from ferlab.live.session import Session, Tally, plain
    from ferlab.live.sources import is_camera, opened

    printed = settings.out == "-"
    screen = Screen(stderr=printed)
    smoothing, source = smoothing_of(settings), opened(settings.source, settings.backend)
    runner = open_model(settings.bundle, settings.device)
    find = detector(
        settings.detect, settings.detector_file, settings.score, settings.smallest, screen.say, yunet.LIVE
    )  # fmt: skip
    pipeline, tally, changes = Pipeline(runner, find, smoothing), Tally(), Changes(runner.labels)
    pipeline.warm_up()
    screen.say(f"model   {runner!r}", f"faces   detect={find.name}, preset={settings.preset}")

    def failed(error: Exception) -> None:
        tally.errors += 1
        screen.say(f"frame left out: {type(error).__name__}: {' '.join(str(error).split())[:200]}")

    with listening() as stop, ExitStack() as held:
        session = held.enter_context(Session(Path(settings.out))) if settings.out and not printed else None
        frames = held.enter_context(source)
        counts: Counts | None = getattr(frames, "counts", None)
        screen.say(f"source  {settings.source}; Ctrl-C ends")
        try:
            for seen in watch(frames, pipeline, failed):
                took = seen.detector_ms + seen.classifier_ms
                late = 1e3 * (time.monotonic() - seen.frame.time) if is_camera(settings.source) else took
                tally.count(seen, runner.labels, late)
                line = plain(seen, runner.labels, settings.top, late)
                if printed:
                    print_json(line, sys.stdout)
                    sys.stdout.flush()
                if session is not None:
                    session.write(line)
                for told in (*changes(seen), *changes.hints(counts)):
                    screen.say(told)
                if stop.signal is not None or (settings.seconds and tally.media >= settings.seconds):
                    break
        finally:
            if session is not None:
                session.close(summary(settings, smoothing, runner.spec.digest, find.name, tally, counts))
    screen.say(*closing(tally, counts, settings))


def smoothing_of(settings: LiveConfig) -> "Smoothing":
    """The preset with what `smooth.…` changes of it; ConfigError for a value that means nothing."""
    from ferlab.live.smooth import PRESETS

    return replace(PRESETS[settings.preset], **{k: v for k, v in asdict(settings.smooth).items() if v is not None})


class Changes:
    """What a person is told while it runs: another label of a face, and once what is wrong with the camera."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._shown: dict[int, int] = {}
        self._hinted: set[str] = set()

    def __call__(self, seen: "Seen") -> Iterator[str]:
        """A sentence for each face whose label is new."""
        for i, face in enumerate(seen.shown):
            number = int(seen.faces.ids[i])
            if self._shown.get(number) != face.label:
                share = seen.faces.answers["expression"][i][face.label]
                doubt = ", uncertain" if face.uncertain else ""
                yield f"{seen.frame.time:8.2f} s  face {number}  {self.names[face.label]} {share:.2f}{doubt}"
        self._shown |= {int(seen.faces.ids[i]): face.label for i, face in enumerate(seen.shown)}
        while len(self._shown) > REMEMBERED:
            del self._shown[min(self._shown)]

    def hints(self, counts: "Counts | None") -> Iterator[str]:
        """What is wrong with the camera, each thing once."""
        if counts is None or counts.fps is None or counts.seconds < FLAT_S:
            return
        if counts.flat > FLAT_S * counts.fps and "flat" not in self._hinted:
            self._hinted.add("flat")
            yield "the camera sends black or constant frames: is it covered, or a virtual one without a picture?"
        if counts.fps < SLOW_FPS and "slow" not in self._hinted:
            self._hinted.add("slow")
            yield f"the camera itself gives {counts.fps:.0f} frames/s; more light may help, or another backend"


def summary(
    settings: LiveConfig, smoothing: "Smoothing", digest: str, found_by: str, tally: "Tally", counts: "Counts | None"
) -> dict[str, Any]:
    """What session.json holds of the session, plain values."""
    camera = None if counts is None else {"captured": counts.captured, "dropped": counts.dropped, "fps": counts.fps}
    how = {"bundle": settings.bundle, "source": settings.source, "preset": settings.preset}
    return {
        "model": digest, **how, "smoothing": asdict(smoothing), "detector": found_by, "score": settings.score,
        "smallest": settings.smallest, **tally.summary(), "camera": camera,
    }  # fmt: skip


def closing(tally: "Tally", counts: "Counts | None", settings: LiveConfig) -> list[str]:
    """The last lines: what was seen, how fast, and where it lies."""
    found = tally.summary()
    lines = [
        f"seen    {counted(tally.frames, 'frame')} in {found['seconds']:.1f} s, {found['fps'] or 0:.1f} frames/s; "
        f"{counted(tally.tracks, 'face')} followed; {counted(tally.errors, 'frame')} left out"
    ]
    if tally.frames:
        ms = {name: f"{value['p50']:.1f} ms (p95 {value['p95']:.1f})" for name, value in found["ms"].items()}
        whole = "from capture to answer" if counts else "detector and classifier together"
        lines.append(f"time    detector {ms['detector']}, classifier {ms['classifier']}, {whole} {ms['end_to_end']}")
    if counts is not None and counts.fps is not None:
        lines.append(
            f"camera  {counts.fps:.1f} frames/s, {counts.dropped:,} of {counts.captured:,} dropped for newer ones"
        )
    if tally.labels:
        shares = ", ".join(f"{name} {100 * n / tally.labels.total():.0f} %" for name, n in tally.labels.most_common(5))
        lines.append(f"labels  {shares}")
    if settings.out and settings.out != "-":
        lines.append(f"session {settings.out}")
    return lines
