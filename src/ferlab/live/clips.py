"""Annotated clips from a dataset's validation faces: people that move and change expression, known in every frame.

A person's expression is shown by pictures of one label, each for a moment: to a model they are what the frames of a
real face are, of one truth and not of one answer. People drift, come nearer and lean back, get out of focus, and the
light wanders; several cross, cover each other, leave and come back.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import numpy.typing as npt

from ferlab import __version__
from ferlab.data.source import Source, Split
from ferlab.errors import ConfigError, DataError, suggest
from ferlab.files import creating_folder, why_unwritable, write_json
from ferlab.live.videos import frames
from ferlab.spec import Image

WIDTH, HEIGHT = 640, 480
SIDES = {1: 160, 4: 120, 8: 96}  # at most so many people -> pixels of a face
MOST = max(SIDES)
PICTURES = 12  # of an expression that a person has; a label with fewer faces is not shown
EVENT_S, MOVE_S, AWAY_S = 4.0, 2.0, 2.0  # between two events; of a way across the picture; out of it
VISIBLE = 0.5  # share of a face that must be seen for it to be in the truth
NEARER, SWAY, BLUR = 0.15, 0.2, 0.02  # of a face's side: how it grows, drifts, and the largest σ of its blur
GAIN, SLANT = 0.25, 0.2  # by how much the light changes, as a whole, and from left to right
COLUMNS = ("frame", "time", "person", "left", "top", "width", "height", "label")
RECORD = "clips.json"
LONGEST = 600  # seconds of a clip: an AVI of OpenCV ends at 2 GiB

Floats = npt.NDArray[np.float64]
Random = np.random.Generator


@dataclass(kw_only=True)
class ClipSettings:
    """Keys of conf/live_clip.yaml, which explains them.

    Raises:
        ConfigError: a value that means nothing.
    """

    clips: int = 4
    people: int = 3
    seconds: float = 30.0
    fps: float = 30.0
    lasts: float = 4.0
    held: float = 0.2
    labels: list[str] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that means nothing."""
        limits = {"clips": (1, 1000), "people": (1, MOST), "seconds": (1, LONGEST), "fps": (1, 120),
                  "lasts": (0.5, 60), "held": (0.001, 60), "seed": (0, 2**63 - 1)}  # fmt: skip
        for key, (least, most) in limits.items():
            if not least <= getattr(self, key) <= most:
                raise ConfigError(f"{key} must be from {least} to {most}, got {getattr(self, key)}")


@dataclass
class Actor:
    """Somebody in a clip.

    Attributes:
        knots: time, x and y of the middle: where they are, and when; between two they go from one to the other.
        stays: when each stay begins, and the number that they have in it: who comes back is a new person.
        expressions: when each begins, and its label.
        pictures: label -> rows of the split.
        picks: (n,) which of these pictures is shown in each moment.
        phases: (4,) of their movements.
        side: of the face, pixels.
    """

    knots: list[tuple[float, float, float]]
    stays: list[tuple[float, int]]
    expressions: list[tuple[float, int]]
    pictures: dict[int, npt.NDArray[np.int64]]
    picks: npt.NDArray[np.int64]
    phases: Floats
    side: float
    away_until: float = field(default=0.0)

    def go(self, begin: float, end: float, to: Floats) -> None:
        """Stay where they are until `begin`, and be at `to` at `end`."""
        _, x, y = self.knots[-1]
        self.knots += [(begin, x, y), (end, float(to[0]), float(to[1]))]

    def box(self, time: float) -> tuple[int, int, int]:
        """Left, top and side of the face, pixels."""
        times, xs, ys = np.array(self.knots).T
        after = min(int(np.searchsorted(times, time, side="right")), len(times) - 1)
        before = max(after - 1, 0)
        passed = (time - times[before]) / max(times[after] - times[before], 1e-9)
        share = np.clip(passed, 0, 1) ** 2 * (3 - 2 * np.clip(passed, 0, 1))
        side = self.side * (1 + NEARER * np.sin(0.9 * time + self.phases[0]))
        x = xs[before] + share * (xs[after] - xs[before]) + SWAY * self.side * np.sin(1.3 * time + self.phases[1])
        y = ys[before] + share * (ys[after] - ys[before]) + SWAY * self.side * np.sin(0.8 * time + self.phases[2])
        return round(x - side / 2), round(y - side / 2), round(side)

    def blur(self, time: float) -> float:
        """σ of the blur, pixels; 0 half of the time."""
        return float(BLUR * self.side * max(0.0, np.sin(0.7 * time + self.phases[3])))


def current(since: Sequence[tuple[float, int]], time: float) -> int:
    """The last that has begun."""
    return next(value for begin, value in reversed(since) if begin <= time + 1e-9)


def cast(split: Split, labels: Sequence[int], how: ClipSettings, rng: Random) -> list[Actor]:
    """The people of one clip, with all that they will do."""
    n, across = how.people, min(how.people, 4)
    cells = np.array([WIDTH / across, HEIGHT / -(-n // across)])
    homes = [cells * (np.array([i % across, i // across]) + 0.5) for i in range(n)]
    side = next(pixels for most, pixels in SIDES.items() if n <= most)
    rows = {label: np.flatnonzero(split.labels == label) for label in labels}
    actors = [
        Actor(
            knots=[(0.0, *home.tolist())],
            stays=[(0.0, i)],
            expressions=expressions(labels, how, rng),
            pictures={label: rng.choice(found, PICTURES, replace=False) for label, found in rows.items()},
            picks=rng.integers(PICTURES, size=int(how.seconds / how.held) + 2),
            phases=rng.uniform(0, 2 * np.pi, 4),
            side=side * rng.uniform(0.85, 1.15),
        )
        for i, home in enumerate(homes)
    ]
    if n > 1:
        direct(actors, homes, how.seconds, rng)
    return actors


def expressions(labels: Sequence[int], how: ClipSettings, rng: Random) -> list[tuple[float, int]]:
    """When which expression begins: each lasts half to one and a half of `lasts`, and is another than the last."""
    found, time, label = [], 0.0, -1
    while time < how.seconds:
        label = int(rng.choice([each for each in labels if each != label]))
        found.append((time, label))
        time += how.lasts * rng.uniform(0.5, 1.5)
    return found


def direct(actors: Sequence[Actor], homes: list[Floats], seconds: float, rng: Random) -> None:
    """Let two change places, and then one leave and come back, in turns."""
    home, numbers = dict(enumerate(homes)), len(actors)
    for turn, begin in enumerate(np.arange(EVENT_S / 2, seconds, EVENT_S).tolist()):
        here = [i for i, actor in enumerate(actors) if actor.away_until <= begin]
        if turn % 2 == 0 and len(here) > 1:
            first, second = rng.choice(here, 2, replace=False).tolist()
            home[first], home[second] = home[second], home[first]
            for i in (first, second):
                actors[i].go(begin, begin + MOVE_S, home[i])
        elif turn % 2:
            i = int(rng.choice(here))
            outside = -actors[i].side if home[i][0] < WIDTH / 2 else WIDTH + actors[i].side
            back = begin + MOVE_S + AWAY_S
            actors[i].go(begin, begin + MOVE_S, np.array([outside, home[i][1]]))
            actors[i].go(back, back + MOVE_S, home[i])
            actors[i].stays.append((back - AWAY_S / 2, numbers))
            actors[i].away_until, numbers = back + MOVE_S, numbers + 1


def drawn(split: Split, labels: Sequence[int], how: ClipSettings, rng: Random) -> Iterator[tuple[Image, list[Any]]]:
    """Each frame of one clip, (HEIGHT, WIDTH, 3) uint8 RGB, and its rows of the truth, of which the label is an id."""
    actors = cast(split, labels, how, rng)
    cells = rng.integers(60, 180, (9, 12, 1)) + rng.integers(-12, 12, (9, 12, 3))
    ground: Image = cv2.resize(cells.astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    slant = np.linspace(-SLANT, SLANT, WIDTH, dtype=np.float32)[None, :, None]
    for number in range(round(how.seconds * how.fps)):
        time = number / how.fps
        image, owner = ground.copy(), np.full((HEIGHT, WIDTH), -1, np.int8)
        boxes = [actor.box(time) for actor in actors]
        for i in sorted(range(len(actors)), key=lambda i: boxes[i][2]):  # the nearest last, before all others
            actor, label = actors[i], current(actors[i].expressions, time)
            face = split.read(int(actor.pictures[label][actor.picks[int(time / how.held + 1e-9)]]))
            paste(image, owner, face, boxes[i], actor.blur(time), i)
        light = 1 + np.float32(GAIN * np.sin(0.5 * time)) + slant * np.float32(np.sin(0.37 * time))
        rows = []
        for i, (left, top, side) in enumerate(boxes):
            if (owner == i).sum() >= VISIBLE * side * side:
                name = current(actors[i].expressions, time)
                rows.append([number, round(time, 4), current(actors[i].stays, time), left, top, side, side, name])
        yield np.clip(image * light, 0, 255).astype(np.uint8), rows


def paste(
    image: Image, owner: npt.NDArray[np.int8], face: Image, box: tuple[int, int, int], blur: float, number: int
) -> None:
    """Put a face into a picture, as far as it lies in it, and its number where it is seen."""
    left, top, side = box
    x, y = max(left, 0), max(top, 0)
    right, bottom = min(left + side, WIDTH), min(top + side, HEIGHT)
    if x >= right or y >= bottom:
        return
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    seen = cv2.GaussianBlur(large, (0, 0), blur) if blur > 0.1 else large
    image[y:bottom, x:right] = seen[y - top : bottom - top, x - left : right - left]
    owner[y:bottom, x:right] = number


def chosen(source: Source, how: ClipSettings) -> tuple[list[int], list[str]]:
    """The ids of the labels that are shown, and the names of those that have too few faces.

    Raises:
        ConfigError: a label that is none, that has too few, or fewer than two.
        DataError: the dataset has no validation faces.
    """
    counts = source.split("validation").counts(len(source.labels))
    few = [name for name, count in zip(source.labels, counts, strict=True) if count < PICTURES]
    for name in how.labels or ():
        if name not in source.labels:
            raise ConfigError(f"labels must be the dataset's, got '{name}'; {suggest(name, source.labels)}")
        if name in few:
            found = counts[source.labels.index(name)]
            raise ConfigError(f"label '{name}' must have {PICTURES} validation faces, got {found}; leave it out")
    names = how.labels or [name for name in source.labels if name not in few]
    if len(set(names)) < 2:
        raise ConfigError(f"labels must be two at least, with {PICTURES} validation faces each, got {len(set(names))}")
    return sorted({source.labels.index(name) for name in names}), [] if how.labels else few


def write_clips(
    source: Source, folder: Path, how: ClipSettings, watch: Callable[[Sequence[int]], Any] = iter
) -> list[Path]:
    """Write the clips, each a video with its truth beside it, and clips.json; the folder appears whole or not at all.

    Videos are AVI with a JPEG a frame, of quality 95: no frame is predicted from another, so that what a model says of
    one owes nothing to the others, as with H.264 or MPEG-4 it would; a decoder for it is everywhere; and it takes a
    quarter of the room of FFV1. Clip i depends on the seed and i alone, to the bit on one machine.

    Args:
        source: whose validation faces are shown.
        folder: a new or empty one.
        how: the clips.
        watch: goes through the clips' numbers, and may show how far it is.

    Returns:
        The videos.

    Raises:
        ConfigError: the folder is not empty, or a label is none.
        DataError: the dataset has no validation faces, or a video could not be written whole.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"out must be a new or an empty folder, got {folder}; name another")
    labels, few = chosen(source, how)
    split, names = source.split("validation"), []
    try:
        with creating_folder(folder) as temporary:
            for i in watch(range(how.clips)):
                names.append(f"clip_{i:03d}.avi")
                made = drawn(split, labels, how, np.random.default_rng([how.seed, i]))
                with open((temporary / names[-1]).with_suffix(".csv"), "w", encoding="utf-8", newline="") as table:
                    write_clip(temporary / names[-1], made, table, source.labels, how.fps)
            write_json(temporary / RECORD, {
                "ferlab": __version__, "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "dataset": source.name, "data_digest": source.digest(), "split": "validation",
                "protocol": source.protocol_of("validation"), "licence": source.licence,
                "confidential": source.confidential, "settings": asdict(how),
                "labels": [source.labels[i] for i in labels], "left_out": few, "clips": names,
            })  # fmt: skip
    except OSError as error:
        raise DataError(f"cannot write {folder}: {why_unwritable(error)}; free some space, or set out=…") from error
    return [folder / name for name in names]


def write_clip(
    path: Path, made: Iterator[tuple[Image, list[Any]]], table: TextIO, labels: Sequence[str], fps: float
) -> None:
    """Write one video and its truth; OSError if not every frame is in it, of which OpenCV says nothing."""
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), fps, (WIDTH, HEIGHT),
        [cv2.VIDEOWRITER_PROP_QUALITY, 95],
    )  # fmt: skip
    written = 0
    try:
        for image, truth in made:
            writer.write(image[:, :, ::-1])
            rows.writerows([*row[:-1], labels[row[-1]]] for row in truth)
            written += 1
    finally:
        writer.release()
    found = 0
    try:
        for _ in frames(path):
            found += 1
    except DataError:  # said below
        pass
    if found != written:
        raise OSError(f"{found:,} of {written:,} frames are in the video")
