"""What pipelines are made of: model, detector and gallery, opened and warm once, for one source or for many."""

import hashlib
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

from ferlab.errors import ConfigError, DataError
from ferlab.formats import open_model
from ferlab.live import blur
from ferlab.live.detect import detector
from ferlab.live.gallery import Gallery, mean_of
from ferlab.live.identity import Floats, Identity
from ferlab.live.keys import make_key, read_key
from ferlab.live.motion import Sparing
from ferlab.live.pipeline import Pipeline
from ferlab.live.recognise import Recogniser, recogniser
from ferlab.live.settings import PAGE, LiveConfig
from ferlab.live.smooth import Smoothing
from ferlab.runner import Runner
from ferlab.spec import Image


@dataclass(frozen=True)
class Tuning:
    """What may be changed while a source runs.

    Attributes:
        smoothing: of the answers.
        score, smallest: that a face must reach to be answered; see `YuNet`.
    """

    smoothing: Smoothing
    score: float
    smallest: int

    @classmethod
    def of(cls, settings: LiveConfig) -> Self:
        """What it begins with."""
        return cls(settings.smoothing, settings.score, settings.smallest)


class Parts:
    """What `LiveConfig` names, opened. A pipeline remembers the faces of its source, so each source has its own.

    Attributes:
        settings: as given.
        runner: the model.
        detector: finds faces; a pipeline has a copy of it, which shares what is large.
        gallery: who is known, or None.
        sha256: of the file with the model's weights; None if it was not read from one.

    Args:
        settings: what to open.
        say: told, in a sentence, what a person should know.

    Raises:
        ConfigError, DataError, BundleError, ExportError: something of the settings is not there, or does not fit.
    """

    def __init__(self, settings: LiveConfig, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.runner = open_model(settings.bundle, settings.device, settings.threads)
        limits = self._limits(Tuning.of(settings))
        self.detector = detector(settings.detect, settings.detector_file, *limits, say, [settings.side])
        if self.runner.spec.face.aligned and self.detector.name == "haar":
            raise ConfigError(
                "detect must be yunet for a model whose faces have level eyes, got haar; use detect=yunet"
            )
        Pipeline(self.runner, self.detector, settings.smoothing).warm_up()
        self.sha256 = sha256(self.runner)
        self.gallery: Gallery | None = None
        self._recognise: Recogniser | None = None
        self._key: bytes | None = None
        self._asking: WeakSet[Identity] = WeakSet()
        if settings.identity is not None:
            self._open_gallery(settings.identity, say)

    def _open_gallery(self, file: str, say: Callable[[str], None]) -> None:
        if self.detector.name != "yunet":
            raise ConfigError(
                f"detect must be yunet where identity is asked, for its landmarks, got {self.detector.name}; use yunet"
            )
        path, key = Path(file).expanduser(), self.settings.key_file
        self._recognise = recogniser(self.settings.identity_file, say)
        if self.settings.source == PAGE and not path.exists():
            say(f"gallery {path} is new: nobody is known until somebody is enrolled in the page")
            self._key = None if key is None else make_key(Path(key).expanduser())
            self.gallery = Gallery(self._recognise.digest)
            return
        self._key = None if key is None else read_key(Path(key).expanduser())
        self.gallery = Gallery.load(path, self._key)
        self.gallery.check(self._recognise.digest)

    @property
    def known(self) -> dict[str, Any] | None:
        """What session.json says of the gallery; None without one."""
        if self.gallery is None or self._recognise is None:
            return None
        return {"recogniser": self._recognise.digest, "people": len(self.gallery)}

    def pipeline(self, tuning: Tuning | None = None) -> Pipeline:
        """A new one, which has seen nothing; None is what the settings say."""
        settings, tuning = self.settings, tuning or Tuning.of(self.settings)
        found: Any = copy(self.detector)  # the session of onnxruntime, or the cascade, is the same
        found.score, found.smallest = self._limits(tuning)
        identity = None
        if self.gallery is not None and self._recognise is not None:
            identity = Identity(self._recognise, self.gallery, settings.alike)
            self._asking.add(identity)
        hidden = settings.blur and found.name != "none"  # faces below the limits are blurred, but not answered
        least = (tuning.score, tuning.smallest) if hidden else (0.0, 0.0)
        searched = Sparing(found, settings.side) if settings.search == "adaptive" else found
        return Pipeline(self.runner, searched, tuning.smoothing, identity, least=least)

    def look(self, image: Image, landmarks: Floats) -> Floats:
        """A face's embedding (d,), of the recogniser; see `Recogniser`."""
        assert self._recognise is not None
        return self._recognise(image, landmarks)

    def enroll(self, name: str, looks: Floats) -> int:
        """Add looks (n, d) at one face to the gallery's file, whatever that holds by now; how many it has of the name.

        Pipelines ask it after `share`.

        Raises:
            ConfigError, DataError: the looks are unlike each other, or the gallery cannot be read or written.
        """
        assert self._recognise is not None
        mean = mean_of(looks)
        if (least := float((looks @ mean).min())) < self.settings.alike:
            raise DataError(
                f"a face must look alike from look to look, got a cosine of {least:.2f}; hold still and repeat"
            )
        path = Path(str(self.settings.identity)).expanduser()
        known = Gallery.load(path, self._key) if path.exists() else Gallery(self._recognise.digest)
        known.check(self._recognise.digest)
        self.gallery = known.add(name, looks)
        self.gallery.save(path, self._key)
        return len(self.gallery.people[name])

    def share(self) -> None:
        """Let all pipelines ask the gallery as it is now, from their next look on; in the thread that makes them."""
        for identity in self._asking:
            if self.gallery is not None:
                identity.gallery = self.gallery

    def _limits(self, tuning: Tuning) -> tuple[float, int]:
        """Score and side of the faces that are sought: with `blur` also of those that are not answered."""
        if self.settings.blur:
            return min(tuning.score, blur.SCORE), min(tuning.smallest, blur.SMALLEST)
        return tuning.score, tuning.smallest


def sha256(runner: Runner) -> str | None:
    """Of the file with a model's weights; None if it was not read from one."""
    if runner.path is None:
        return None
    file = runner.path / "weights.safetensors" if runner.path.is_dir() else runner.path
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
