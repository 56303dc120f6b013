"""A session: the frames of a source with their faces and answers, as they come."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ferlab.errors import ConfigError, LiveError, SpecError
from ferlab.live.camera import Camera, Hints
from ferlab.live.encrypted import Sealed, session_key
from ferlab.live.frame import Frame
from ferlab.live.heat import cooling
from ferlab.live.kept import Kept
from ferlab.live.motion import Sparing
from ferlab.live.parts import Parts, Tuning
from ferlab.live.pipeline import Pipeline, Seen
from ferlab.live.session import Session, Tally
from ferlab.live.settings import PAGE, LiveConfig, SmoothConfig
from ferlab.live.sources import opened
from ferlab.live.store import Folder, Store
from ferlab.live.summary import drift_of, summary
from ferlab.screen import Screen

GIVE_UP = 5  # tries that fail one after the other, after which the session ends
BACK_OFF_S = 0.1  # seconds to wait after the first of them; twice as long after each more
END, TIME, STOP = "the source ended", "the seconds were over", "it was stopped"


def watch(
    source: Iterable[Frame],
    pipeline: Pipeline,
    failed: Callable[[Exception], None] = lambda error: None,
    sleep: Callable[[float], None] = time.sleep,
    tries: int = 1,
) -> Iterator[Seen]:
    """Every frame of an opened source with its faces.

    Args:
        source: frames.
        pipeline: what becomes of each.
        failed: told of a frame that could not be answered, which is left out.
        sleep: waits, s.
        tries: of a frame, before it is left out.

    Raises:
        ConfigError, SpecError: the model and the detector do not fit.
        DataError: the source cannot be opened, or is gone.
        LiveError: GIVE_UP tries failed one after the other.
    """
    failures = 0
    for frame in source:
        for left in reversed(range(tries)):
            try:
                seen = pipeline(frame)
            except (ConfigError, SpecError):
                raise
            except Exception as error:  # whatever a runtime raises may be over with the next try
                failures += 1
                if not left:
                    failed(error)
                if failures == GIVE_UP:
                    raise LiveError(
                        f"{GIVE_UP} tries failed one after the other, the last with {type(error).__name__}: "
                        f"{' '.join(str(error).split())[:200]}; see what changed, and start again"
                    ) from error
                sleep(BACK_OFF_S * 2 ** (failures - 1))
                continue
            failures = 0
            yield seen
            break


class Live:
    """What a model says of a source: iterate over it, once, for a `Seen` a frame. All is closed when that ends.

    Attributes:
        settings: as given.
        parts: what it is made of.
        runner: the model.
        pipeline: what becomes of a frame.
        tally: what was seen up to now.
        drift: how far its answers are from those on validation.
        camera: the camera, once it is read; None for files.
        kept: pictures and the like of the session; None without a folder.
        ended: why it ended, once it has.

    Args:
        settings: what to watch, and how.
        say: told, in a sentence, what a person should know.
        stopped: whether to end after this frame.

    Raises:
        ConfigError, DataError, BundleError, ExportError: something of the settings is not there, or does not fit.
    """

    def __init__(
        self,
        settings: LiveConfig,
        say: Callable[[str], None] = lambda line: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings, self._say, self._stopped = settings, say, stopped
        if settings.source == PAGE:
            raise ConfigError(
                f"source must be a camera or a file, got {PAGE}, which ferlab live has on the command line alone"
            )
        self._key = None
        if settings.encrypt is not None and settings.out is not None:
            self._key = session_key(Path(settings.encrypt).expanduser(), Path(settings.out).expanduser(), say)
        self._source = opened(settings.source, settings.backend, settings.fps, settings.paced, stopped)
        self.parts = Parts(settings, say)
        self.runner, self.pipeline = self.parts.runner, self.parts.pipeline()
        self.detector = self.pipeline.detector
        self.drift = drift_of(self.runner)
        self.tally, self.ended = Tally(), STOP
        self.camera: Camera | None = None
        self.kept: Kept | None = None

    def __iter__(self) -> Generator[Seen, None, None]:
        """Each frame, once it is written to the session's folder.

        Raises:
            DataError: the source is gone, a file is broken, or the session cannot be written.
            LiveError: too many frames failed one after the other.
        """
        settings = self.settings
        with ExitStack() as held:
            session = self.kept = None
            if settings.out not in (None, "-"):
                session = held.enter_context(Session(self._store(), self.runner.spec, settings.top, settings.names))
                held.callback(lambda: session.close(self.summary()) if self.tally.frames else session.discard())
                self.kept = held.enter_context(Kept(settings, self.runner, session.store, self._say))
            frames = held.enter_context(self._source)
            self.camera = frames if isinstance(frames, Camera) else None
            self.tally, self.drift, told = Tally(), drift_of(self.runner), Hints()
            cool = cooling(settings.device, self._say)
            try:
                # A camera has a newer frame by then; of a file none is to be lost.
                for each in watch(frames, self.pipeline, self._failed, tries=1 if self.camera else 2):
                    taken = self.camera.age(each.frame) - each.pipeline_ms / 1e3 if self.camera else 0.0
                    seen = replace(each, age_ms=1e3 * max(0.0, taken))
                    self.tally.count(seen)
                    self.drift.count(seen.raw)
                    if session is not None:
                        session.write(seen)
                    if self.kept is not None:
                        self.kept.write(seen)
                    if self.camera and not settings.paced:
                        told.say(self.camera.counts, self._say)
                    yield seen
                    cool()
                    if self._stopped():
                        return
                    if settings.seconds and self.tally.media >= settings.seconds:
                        self.ended = TIME
                        return
                self.ended = STOP if self._stopped() else END
            except Exception as error:
                self.ended = f"{type(error).__name__}: {' '.join(str(error).split())}"
                raise

    def _store(self) -> Store:
        folder = Path(str(self.settings.out)).expanduser()
        return Folder(folder) if self._key is None else Sealed(folder, self._key)

    def _failed(self, error: Exception) -> None:
        self.tally.errors += 1
        self._say(f"frame left out: {type(error).__name__}: {' '.join(str(error).split())[:200]}")

    def summary(self) -> dict[str, Any]:
        """What session.json holds, plain values."""
        counts = self.camera and self.camera.counts
        more: dict[str, Any] = {"camera": counts and {**asdict(counts), "fps": counts.fps}}
        if isinstance(self.detector, Sparing):
            more["searched"] = self.detector.searched
        tuning = Tuning.of(self.settings)
        return summary(self.parts, self.settings, tuning, self.tally, self.drift, self.kept, self.ended, more)


def live(bundle: str | Path = "ferplus_int8", source: str | int | Path = 0, **settings: Any) -> Live:
    """What a model says of a camera, a stream, a video or pictures, as it comes: `for seen in ferlab.live(…)`.

    Each `Seen` has `frame` (with its picture), `people` (a `Person` a face, with `track`, `box`, `label`, `confidence`,
    `expression` and the like), and how long it took. Leave the loop when you like: all is closed then.

    Args:
        bundle: a name in the box, a bundle's folder, its run's, or an exported file.
        source: a camera's number, an address, a video, a folder of pictures or a glob.
        settings: the keys of conf/live.yaml; `smooth` is a dict or a `SmoothConfig`.

    Raises:
        TypeError: a key that is none.
        ConfigError, DataError, BundleError, ExportError: something is not there, or does not fit.
    """
    smooth = settings.pop("smooth", {})
    smooth = SmoothConfig(**smooth) if isinstance(smooth, dict) else smooth
    return Live(LiveConfig(str(bundle), str(source), smooth=smooth, **settings), Screen(stderr=True).say)
