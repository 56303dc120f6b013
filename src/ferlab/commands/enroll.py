"""`ferlab enroll`: who is known by face. Nothing asks a gallery unless `ferlab live identity=` does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab import config
from ferlab.errors import ConfigError, DataError
from ferlab.screen import Screen, counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ferlab.cli import Invocation
    from ferlab.live.detect import Detector
    from ferlab.live.gallery import Gallery
    from ferlab.live.recognise import Recogniser

    Face = tuple[Path, npt.NDArray[np.float32]]

ALIKE = 0.4  # cosine below which pictures said to be of one person are told


@dataclass
class GalleryConfig:
    """Keys of conf/gallery.yaml, which explains them."""

    gallery: str = config.MISSING
    key_file: str | None = None


@dataclass
class RemoveConfig(GalleryConfig):
    """Keys of conf/enroll_remove.yaml, which explains them."""

    name: str = config.MISSING


@dataclass
class ForgetConfig:
    """Keys of conf/gallery_forget.yaml, which explains them."""

    gallery: str = config.MISSING


@dataclass
class EnrollConfig(GalleryConfig):
    """Keys of conf/enroll.yaml, which explains them.

    Raises:
        ConfigError: a value that means nothing.
    """

    name: str = config.MISSING
    source: str = config.MISSING
    identity_file: str | None = None
    detector_file: str | None = None
    score: float = 0.6
    smallest: int = 60

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that means nothing."""
        if not self.name.strip():
            raise ConfigError("name must be of a person, got nothing; give name=…")
        if not 0 < self.score <= 1:
            raise ConfigError(f"score must be above 0 and at most 1, got {self.score}")
        if self.smallest < 1:
            raise ConfigError(f"smallest must be at least 1, got {self.smallest}")


def enroll(invocation: "Invocation") -> int:
    """Add the faces in the pictures that `source` names to the person's; 1 if any picture was left out."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), EnrollConfig)

    import numpy as np

    from ferlab.commands.predict import find_pictures
    from ferlab.live.detect import detector
    from ferlab.live.gallery import Gallery
    from ferlab.live.keys import make_key, read_key
    from ferlab.live.recognise import recogniser

    screen, path = Screen(), Path(settings.gallery).expanduser()
    pictures = find_pictures(settings.source)
    there = path.exists()
    key_file = None if settings.key_file is None else Path(settings.key_file).expanduser()
    known = Gallery.load(path, None if key_file is None else read_key(key_file)) if there else None
    recognise = recogniser(settings.identity_file, screen.say)
    if known is not None:
        known.check(recognise.digest)
    find = detector("yunet", settings.detector_file, settings.score, settings.smallest, screen.say)
    found: list[Face] = []
    for picture in pictures:
        try:
            found.append((picture, embedded(picture, find, recognise)))
        except DataError as error:
            screen.say(f"left out: {error}")
    if not found:
        raise DataError(f"source must show {settings.name}, got no usable face in {counted(len(pictures), 'picture')}")
    gallery = (known or Gallery(recognise.digest)).add(settings.name, np.stack([face for _, face in found]))
    for doubt in doubts(settings.name, found, gallery):
        screen.say(doubt)
    gallery.save(path, None if key_file is None else make_key(key_file))
    screen.say(
        f"enrolled {settings.name} with {counted(len(gallery.people[settings.name]), 'picture')}; {path} has "
        f"{counted(len(gallery), 'name')}, {'not encrypted' if key_file is None else 'encrypted'}"
    )
    return 1 if len(found) < len(pictures) else 0


def embedded(path: Path, find: "Detector", recognise: "Recogniser") -> "npt.NDArray[np.float32]":
    """The embedding of the one face in a picture; DataError if it cannot be read or has none or several."""
    from ferlab.data.images import read_image
    from ferlab.live.frame import Frame

    image = read_image(path)
    faces = find(Frame(0, 0.0, image))
    if len(faces) != 1:
        raise DataError(f"{path} must show one face, got {len(faces) or 'none'}; crop it, or take another")
    return recognise(image, faces.landmarks[0])


def doubts(name: str, found: "Sequence[Face]", gallery: "Gallery") -> Iterator[str]:
    """A sentence for each new picture that is unlike the person's mean, or more like somebody else's."""
    for path, face in found:
        others = gallery.remove(name).nearest(face)
        own = float(gallery.mean(name) @ face)
        if others and others[1] >= max(ALIKE, own):
            yield f"note: {path} is more like {others[0]} (cosine {others[1]:.2f}) than like {name} ({own:.2f})"
        elif own < ALIKE:
            yield f"note: {path} is unlike the other pictures of {name} (cosine {own:.2f}); is it the same person?"


def show(invocation: "Invocation") -> None:
    """Print a line a name, with the number of its pictures."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), GalleryConfig)
    gallery, _ = opened(settings)
    screen = Screen()
    for name, faces in gallery.people.items():
        screen.say(f"{name}  {counted(len(faces), 'picture')}")
    screen.say(f"{counted(len(gallery), 'name')}; recogniser {gallery.recogniser[:12]}…")


def remove(invocation: "Invocation") -> None:
    """Take a person out."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), RemoveConfig)
    gallery, key = opened(settings)
    left = gallery.remove(settings.name)
    left.save(Path(settings.gallery).expanduser(), key)
    Screen().say(f"removed {settings.name}; {settings.gallery} has {counted(len(left), 'name')}")


def forget_all(invocation: "Invocation") -> None:
    """Delete the file."""
    from ferlab.live.gallery import forget

    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), ForgetConfig)
    forget(Path(settings.gallery).expanduser())
    Screen().say(f"deleted {settings.gallery}; copies and backups of it are not")


def opened(settings: GalleryConfig) -> "tuple[Gallery, bytes | None]":
    """The gallery and its key."""
    from ferlab.live.gallery import Gallery
    from ferlab.live.keys import read_key

    key = None if settings.key_file is None else read_key(Path(settings.key_file).expanduser())
    return Gallery.load(Path(settings.gallery).expanduser(), key), key
