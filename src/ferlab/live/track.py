"""Who is who from frame to frame: greedy matching of boxes, each moved on by its velocity."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ferlab.live.frame import Faces, Frame

Floats = npt.NDArray[np.float64]

COAST = 0.2  # seconds for which an unseen face is taken to move on; after them it is sought where it was then
INERTIA = 0.5  # share of the velocity that is kept when a face is seen again; detectors' boxes jitter
NEAR = 1.0  # longer sides of a lost face, from its middle, within which a new face is likely the same person


@dataclass
class Track:
    """A face that was seen.

    Attributes:
        number: its id.
        box: left, top, width and height where it was last seen, pixels.
        velocity: of the box's middle, pixels a second.
        time: when it was last seen, s.
    """

    number: int
    box: Floats
    velocity: Floats
    time: float

    def at(self, time: float) -> Floats:
        """The box where it should be by now."""
        moved: Floats = self.box + np.concatenate([self.velocity * min(time - self.time, COAST), np.zeros(2)])
        return moved


class Tracker:
    """Gives each face an id, which no other face of the source ever gets.

    Pairs of a track and a face are matched from the largest overlap down. Twenty lines of this had no identity switch
    where SORT and ByteTrack had none, at half their cost.

    Attributes:
        heirs: new id -> the id of a face that was lost near it, each lost one once: likely the same person, whose
            answers may be smoothed on. It is kept up to date, and forgets ids as they are forgotten.

    Args:
        overlap: intersection over union that a face must have with where its track should be.
        patience: seconds for which an unseen face gets its id back.
        memory: seconds for which a lost face may have an heir.
    """

    def __init__(self, overlap: float = 0.3, patience: float = 1.0, memory: float = 3.0) -> None:
        self.overlap, self.patience, self.memory = overlap, patience, memory
        self.heirs: dict[int, int] = {}
        self._tracks: list[Track] = []
        self._next = 0

    def __call__(self, frame: Frame, faces: Faces) -> Faces:
        """The same faces with their ids."""
        self._forget(frame.time)
        boxes = faces.boxes.astype(np.float64)
        tracks = [track for track in self._tracks if frame.time - track.time <= self.patience]
        expected = np.array([track.at(frame.time) for track in tracks]).reshape(-1, 4)
        shared = overlaps(expected, boxes)
        ids = np.full(len(faces), -1, np.int64)
        for place in np.argsort(-shared, axis=None, kind="stable"):
            i, j = divmod(int(place), len(faces))
            if shared[i, j] < self.overlap:
                break
            if ids[j] < 0 and (track := tracks[i]).number not in ids:
                ids[j] = track.number
                _see(track, boxes[j], frame.time)
        for j in np.flatnonzero(ids < 0).tolist():
            ids[j] = self._next
            self._inherit(boxes[j], frame.time, ids)
            self._tracks.append(Track(self._next, boxes[j], np.zeros(2), frame.time))
            self._next += 1
        return replace(faces, ids=ids)

    def _forget(self, time: float) -> None:
        self._tracks = [track for track in self._tracks if time - track.time <= max(self.patience, self.memory)]
        known = {track.number for track in self._tracks}
        for number in self.heirs.keys() - known:
            del self.heirs[number]

    def _inherit(self, box: Floats, time: float, seen: npt.NDArray[np.int64]) -> None:
        """Let the next id be the heir of the nearest lost track, if one is near."""
        taken = {*seen.tolist(), *self.heirs.values()}
        lost = [track for track in self._tracks if track.number not in taken and time - track.time <= self.memory]
        far = [_apart(track.at(time), box) for track in lost]
        if lost and min(far) <= NEAR:
            self.heirs[self._next] = lost[int(np.argmin(far))].number


def _apart(lost: Floats, box: Floats) -> float:
    """From the middle of a lost box to that of another, in longer sides of the lost one."""
    middle, other = lost[:2] + lost[2:] / 2, box[:2] + box[2:] / 2
    return float(np.linalg.norm(middle - other) / max(lost[2:].max(), 1e-9))


def _see(track: Track, box: Floats, time: float) -> None:
    """A track's face was seen here."""
    middle, before = box[:2] + box[2:] / 2, track.box[:2] + track.box[2:] / 2
    if time > track.time:
        now = (middle - before) / (time - track.time)
        track.velocity = INERTIA * track.velocity + (1 - INERTIA) * now
    track.box, track.time = box, time


def overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes (n, 4) with boxes (m, 4), (n, m); 0 for boxes without area."""
    a, b = first[:, None], second[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    whole = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    result: Floats = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    return result
