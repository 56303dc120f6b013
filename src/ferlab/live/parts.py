"""What pipelines are made of: model, detector and gallery, opened and warm once, for one source or for many."""

from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

from ferlab.errors import ConfigError
from ferlab.formats import open_model
from ferlab.live import blur
from ferlab.live.detect import detector
from ferlab.live.gallery import Gallery
from ferlab.live.identity import Identity
from ferlab.live.keys import read_key
from ferlab.live.motion import Sparing
from ferlab.live.pipeline import Pipeline
from ferlab.live.recognise import Recogniser, recogniser
from ferlab.live.settings import LiveConfig


class Parts:
    """What `LiveConfig` names, opened. A pipeline remembers the faces of its source, so each source has its own.

    Attributes:
        settings: as given.
        runner: the model.
        detector: finds faces; a pipeline has a copy of it, which shares what is large.
        gallery: who is known, or None.

    Args:
        settings: what to open.
        say: told, in a sentence, what a person should know.

    Raises:
        ConfigError, DataError, BundleError, ExportError: something of the settings is not there, or does not fit.
    """

    def __init__(self, settings: LiveConfig, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.runner = open_model(settings.bundle, settings.device, settings.threads)
        score, smallest = settings.score, settings.smallest
        if settings.blur:
            score, smallest = min(score, blur.SCORE), min(smallest, blur.SMALLEST)
        self.detector = detector(settings.detect, settings.detector_file, score, smallest, say, [settings.side])
        if self.runner.spec.face.aligned and self.detector.name == "haar":
            raise ConfigError(
                "detect must be yunet for a model whose faces have level eyes, got haar; use detect=yunet"
            )
        Pipeline(self.runner, self.detector, settings.smoothing).warm_up()
        self.gallery: Gallery | None = None
        self._recognise: Recogniser | None = None
        if settings.identity is not None:
            self._open_gallery(settings.identity, say)

    def _open_gallery(self, file: str, say: Callable[[str], None]) -> None:
        if self.detector.name != "yunet":
            raise ConfigError(
                f"detect must be yunet where identity is asked, for its landmarks, got {self.detector.name}; use yunet"
            )
        key = None if self.settings.key_file is None else read_key(Path(self.settings.key_file).expanduser())
        self.gallery = Gallery.load(Path(file).expanduser(), key)
        self._recognise = recogniser(self.settings.identity_file, say)
        self.gallery.check(self._recognise.digest)

    @property
    def known(self) -> dict[str, Any] | None:
        """What session.json says of the gallery; None without one."""
        if self.gallery is None or self._recognise is None:
            return None
        return {"recogniser": self._recognise.digest, "people": len(self.gallery)}

    def pipeline(self) -> Pipeline:
        """A new one, which has seen nothing."""
        settings, found = self.settings, copy(self.detector)
        identity = None
        if self.gallery is not None and self._recognise is not None:
            identity = Identity(self._recognise, self.gallery, settings.alike)
        hidden = settings.blur and found.name != "none"  # faces below the limits are blurred, but not answered
        least = (settings.score, settings.smallest) if hidden else (0.0, 0.0)
        searched = Sparing(found, settings.side) if settings.search == "adaptive" else found
        return Pipeline(self.runner, searched, settings.smoothing, identity, least=least)
