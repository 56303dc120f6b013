"""What a client records: a session's folder, written in a thread of its own, in the order in which it was asked."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ferlab.errors import ConfigError, DataError
from ferlab.files import why_unwritable
from ferlab.live.annotations import Annotations
from ferlab.live.encrypted import Sealed
from ferlab.live.kept import Kept
from ferlab.live.parts import Parts, Tuning
from ferlab.live.pipeline import Seen
from ferlab.live.record import has_av
from ferlab.live.session import Session, Tally
from ferlab.live.settings import AUTO, LiveConfig
from ferlab.live.store import Folder
from ferlab.live.summary import drift_of, summary

OUT = "outputs/live"
AHEAD_S = 5.0  # seconds that an annotation may be ahead of the last frame: some are on their way
SAME_SECOND = 100  # recordings that may begin within one


class Recording:
    """A session of a client, from one press of the button to the next. One thread at a time.

    Its times are seconds from its first frame, and its frames are counted from 0, whatever the page counts.

    Attributes:
        folder: it lies in.
        frames: that were written.

    Args:
        parts: what answers.
        key: that it is encrypted with, or None.
        page: the source of the client, plain values for session.json.
        tuning: settings at hand.
        say: told, in a sentence, what a person should know.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(
        self, parts: Parts, key: bytes | None, page: Mapping[str, Any], tuning: Tuning, say: Callable[[str], None]
    ) -> None:
        self._parts, self._page, self._tuning, self._say = parts, dict(page), tuning, say
        self.folder = new_folder(Path(parts.settings.out or OUT).expanduser())
        self._settings = replace(kept_of(parts.settings, say), out=str(self.folder))
        self._tally, self._drift, self._first = Tally(), drift_of(parts.runner), 0.0
        self._tuned: list[dict[str, Any]] = []
        self._ended = "it was stopped"
        self._seen: Seen | None = None
        store = Folder(self.folder) if key is None else Sealed(self.folder, key)
        with ExitStack() as held:
            names = self._settings.names
            session = held.enter_context(Session(store, parts.runner.spec, self._settings.top, names))
            held.callback(lambda: session.close(self._summary()) if self.frames else session.discard())
            self._kept = held.enter_context(Kept(self._settings, parts.runner, store, say, shots=True))
            self._notes = Annotations(store, parts.runner.labels)
            self._session, self._held = session, held.pop_all()

    @property
    def frames(self) -> int:
        """How many were written."""
        return self._tally.frames

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return self._tally.media

    def write(self, seen: Seen) -> None:
        """Add a frame's lines; DataError if that cannot be done."""
        if not self.frames:
            self._first = seen.frame.time
        frame = replace(seen.frame, index=self.frames, time=seen.frame.time - self._first)
        seen = replace(seen, frame=frame)
        self._session.write(seen)
        self._tally.count(seen)
        self._drift.count(seen.raw)
        self._seen = seen

    def keep(self) -> None:
        """Add the pictures of the frame that was written last."""
        if self._seen is not None:
            self._kept.write(self._seen)

    def lost(self) -> None:
        """A frame could not be answered."""
        self._tally.errors += 1

    def tuned(self, tuning: Tuning) -> None:
        """Other settings go from here on."""
        self._tuning = tuning
        self._tuned.append({"time": round(self.seconds, 4), **asdict(tuning)})

    def annotate(self, kind: str, time: float, label: str, track: int | None, on: bool) -> None:
        """Add what a person said of a moment, s as the page counts.

        Raises:
            DataError: it means nothing, or cannot be written.
        """
        try:
            self._notes.note(kind, self.time(time), label, track, on)
        except OSError as error:
            raise DataError(f"cannot write to {self.folder}: {why_unwritable(error)}") from error

    def time(self, time: float) -> float:
        """Seconds of the recording; what is before its first frame is its start. DataError if it is not yet."""
        if not self.frames:
            return 0.0
        if (found := max(0.0, time - self._first)) > self.seconds + AHEAD_S:
            raise DataError(f"time must be that of a frame that was shown, got {time:g} s, which is not yet")
        return found

    def shot(self) -> str:
        """Keep a picture of the last frame with the overlay, and return its file's name; DataError if it cannot be."""
        try:
            return self._kept.shot()
        except OSError as error:
            raise DataError(f"no picture was kept: {why_unwritable(error)}") from error

    def end(self, why: str) -> None:
        """End it; what cannot be written by then is said. A recording without a frame leaves nothing."""
        self._ended = why
        try:
            self._notes.close(self.seconds)
        except OSError as error:
            self._say(f"what was open in the annotations ends with the recording: {why_unwritable(error)}")
        try:
            self._held.close()
        except DataError as error:
            self._say(str(error))

    def _summary(self) -> dict[str, Any]:
        more = {"page": self._page, "tuned": self._tuned, "annotations": self._notes.rows}
        return summary(
            self._parts, self._settings, self._tuning, self._tally, self._drift, self._kept, self._ended, more
        )


def new_folder(out: Path) -> Path:
    """A new folder in `out`, named by date and time; ConfigError if that cannot be made."""
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in range(1, SAME_SECOND + 1):
            folder = out / (stem if number == 1 else f"{stem}_{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise ConfigError(f"cannot write to out={out}: {why_unwritable(error)}") from error
    raise ConfigError(f"at most {SAME_SECOND} recordings begin within a second, got more; try again")


def kept_of(settings: LiveConfig, say: Callable[[str], None]) -> LiveConfig:
    """The settings with what `record=auto` means here: no video where it could not be encrypted."""
    if settings.record == AUTO and settings.encrypt is not None and not has_av():
        say("no video is kept, for one cannot be encrypted without PyAV; pip install 'ferlab[video]'")
        return replace(settings, record=None)
    return settings
