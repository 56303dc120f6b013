"""Who a followed face is: a few looks at each track, averaged, compared with a gallery once; not every frame."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ferlab.live.frame import Faces, Frame
from ferlab.live.gallery import Gallery, mean_of
from ferlab.live.recognise import Recogniser

LOOKS = 5  # of a track that are averaged
SURE = 3  # looks from which a name is given
APART_S = 0.2  # seconds between looks: frames that follow each other show the same
AGAIN_S = 2.0  # seconds between further looks at who was not known after LOOKS
PATIENCE = 3.0  # seconds for which an unseen track is remembered

Floats = npt.NDArray[np.float32]


@dataclass
class _Known:
    """What is known of a track: its last looks, how many there were, when it was looked at and seen last, its name."""

    looks: deque[Floats] = field(default_factory=lambda: deque(maxlen=LOOKS))
    number: int = 0
    looked: float = -np.inf
    seen: float = 0.0
    name: str | None = None

    @property
    def due(self) -> float:
        """When to look at it again, s; never once it has a name."""
        wait = APART_S if self.number < LOOKS else AGAIN_S
        return np.inf if self.name is not None else self.looked + wait


class Identity:
    """Names the tracks of a source.

    A track has a name once the mean of at least SURE looks is alike enough, and keeps it; until then, and for who is in
    no gallery, it has none. At most one face a frame is looked at, which bounds what a frame costs.

    Attributes:
        gallery: as given; another one is asked from the next look on.

    Args:
        recognise: embeds a face.
        gallery: who is known.
        alike: cosine from which two faces are one person's.
    """

    def __init__(self, recognise: Recogniser, gallery: Gallery, alike: float = 0.4) -> None:
        self.recognise, self.gallery, self.alike = recognise, gallery, alike
        self._tracks: dict[int, _Known] = {}

    def __call__(self, frame: Frame, faces: Faces) -> list[str | None]:
        """The name of each face, which has an id; None where nobody is known yet, or at all."""
        ids = faces.ids.tolist()
        self._tracks = {n: each for n, each in self._tracks.items() if frame.time - each.seen <= PATIENCE}
        for number in ids:
            self._tracks.setdefault(number, _Known()).seen = frame.time
        marked = [i for i in range(len(ids)) if not np.isnan(faces.landmarks[i]).any()]
        due = [i for i in marked if self._tracks[ids[i]].due <= frame.time]
        if due:
            first = min(due, key=lambda i: self._tracks[ids[i]].due)
            self._look(frame, faces.landmarks[first], self._tracks[ids[first]])
        return [self._tracks[number].name for number in ids]

    def name(self, track: int, name: str) -> None:
        """A person says who a track is."""
        self._tracks.setdefault(track, _Known()).name = name

    def _look(self, frame: Frame, landmarks: Floats, known: _Known) -> None:
        known.looks.append(self.recognise(frame.image, landmarks))
        known.number, known.looked = known.number + 1, frame.time
        if known.number >= SURE and (best := self.gallery.nearest(mean_of(known.looks))) and best[1] >= self.alike:
            known.name = best[0]
