"""Pictures and frames of videos one after the other, each searched for faces or taken for one; what came of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ferlab.data.images import read_image
from ferlab.errors import DataError
from ferlab.live.crop import FITS, crops
from ferlab.live.detect import Detector
from ferlab.live.frame import Faces, Frame
from ferlab.live.track import Tracker
from ferlab.live.videos import frames, is_video
from ferlab.screen import counted
from ferlab.spec import Image, ModelSpec

LARGE = 300  # longer side in pixels from which a picture may be a photograph with faces in it


@dataclass(frozen=True)
class Picture:
    """A picture and the faces to ask the model for.

    Attributes:
        path: of the file that it comes from.
        frame: the picture, and for a video its number and time.
        faces: that were found in it; None if it was not searched but is one face.
        crops: a (s, s, 3) uint8 RGB for each face.
    """

    path: Path
    frame: Frame
    faces: Faces | None
    crops: list[Image]


@dataclass
class Tally:
    """What came of the pictures.

    Attributes:
        taken: number of pictures that were one face each.
        searched, found: number of the others, and of the faces in them.
        empty: the first in which there was none, and how many.
        broken: errors of those that could not be read.
    """

    taken: int = 0
    searched: int = 0
    found: int = 0
    empty: tuple[Path, int] | None = None
    broken: list[DataError] = field(default_factory=list)

    def count(self, faces: Faces, path: Path) -> None:
        """Count a picture that was searched."""
        self.searched, self.found = self.searched + 1, self.found + len(faces)
        if not len(faces):
            self.empty = (path, 1) if self.empty is None else (self.empty[0], self.empty[1] + 1)

    def lines(self, how: str) -> Iterator[str]:
        """What a person should know, in sentences; nothing if all pictures were faces."""
        if self.searched:
            taken = f"; {counted(self.taken, 'smaller picture')} taken as one face each" if self.taken else ""
            found = counted(self.found, "face")
            yield f"searched {counted(self.searched, 'picture')}, detect={how}: {found}{taken}"
        if self.empty is not None:
            path, number = self.empty
            yield f"no face in {number:,} of {self.searched:,}, {path} the first"
        if self.broken:
            yield f"{counted(len(self.broken), 'picture')} could not be read; strict=true stops at the first"


def is_large(image: Image, spec: ModelSpec) -> bool:
    """Whether a picture is so much larger than the model's input that it is searched by `detect=auto`."""
    return bool(max(image.shape[:2]) >= max(LARGE, 2 * spec.size))


def look(
    paths: Iterable[Path],
    spec: ModelSpec,
    dataset: str,
    find: Callable[[], Detector] | None,
    every: bool,
    tally: Tally,
    broken: Callable[[DataError], None],
) -> Iterator[Picture]:
    """Read each picture and each frame, and find the faces in it.

    Args:
        paths: of pictures and videos.
        spec: of the model.
        dataset: that the model was trained on, for `FITS`.
        find: makes the detector, which is done when the first picture needs it; None takes each picture for a face.
        every: whether small pictures are searched too.
        tally: counts.
        broken: told of a picture that cannot be read, which is left out; it may raise.
    """
    detector: Detector | None = None
    for path in paths:
        tracker = Tracker()
        try:
            for frame in frames(path) if is_video(path) else [Frame(0, 0.0, read_image(path))]:
                if find is None or not (every or is_large(frame.image, spec)):
                    tally.taken += 1
                    yield Picture(path, frame, None, [frame.image])
                    continue
                detector = detector or find()
                faces = tracker(frame, detector(frame))
                tally.count(faces, path)
                fit = FITS.get((detector.name, dataset))
                yield Picture(path, frame, faces, crops(frame.image, faces, spec.face, fit))
        except DataError as error:
            tally.broken.append(error)
            broken(error)
