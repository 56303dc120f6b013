"""`ferlab predict`: what a bundle says of faces: of crops, and of those in photographs."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import escape, glob
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab import config
from ferlab.box import named
from ferlab.catalogue import choice
from ferlab.errors import ConfigError, DataError
from ferlab.screen import Screen, counted, progress

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.live.pictures import Picture
    from ferlab.live.rows import Box, Moment
    from ferlab.runner import Prediction, Runner

TOGETHER = 64 * 2**20  # bytes of the pictures that are held at once


@dataclass
class PredictConfig:
    """Keys of conf/predict.yaml, which explains them."""

    bundle: str = "ferplus"
    source: str = config.MISSING
    detect: str = choice("auto", "ferlab.live.detect:DETECT")
    detector_file: str | None = None
    score: float = 0.6
    smallest: int = 40
    centred: float | None = None
    top: int = 3
    format: str = choice("table", "ferlab.live.rows:WRITERS")
    rows: str | None = None
    out: str | None = None
    strict: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that means nothing."""
        if not 0 < self.score <= 1:
            raise ConfigError(f"score must be above 0 and at most 1, got {self.score}")
        for key in ("top", "smallest"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} must be at least 1, got {getattr(self, key)}")
        if self.centred is not None and not 0 < self.centred <= 10:
            raise ConfigError(f"centred must be above 0 and at most 10 seconds, got {self.centred}")
        if (self.rows is None) == (self.format == "parquet"):
            raise ConfigError(
                f"rows must be a file for format=parquet and for no other, got {self.rows} for {self.format}; "
                "set rows=faces.parquet, or redirect what is printed"
            )


def predict(invocation: "Invocation") -> int:
    """Answer for every face in the pictures that `source` names, as they are read; 1 if any could not be."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), PredictConfig)
    if settings.centred is not None:
        check_no_camera(settings.source)
    paths = find_pictures(settings.source)
    target = None if settings.out is None else targets(Path(settings.out), paths)

    from ferlab.formats import open_model
    from ferlab.live.centred import centred
    from ferlab.live.detect import detector
    from ferlab.live.pictures import Tally, look
    from ferlab.live.rows import WRITERS, Layout, Row
    from ferlab.live.videos import is_video

    notes = Screen(stderr=True)
    bundle = open_model(settings.bundle, settings.device)
    if (name := named(bundle.path)) is not None:
        notes.say(f"model: {name} of the box, {', '.join(bundle.labels)}; its card: ferlab models show={name}")
    find = partial(
        detector, settings.detect, settings.detector_file, settings.score, settings.smallest, notes.say
    )  # fmt: skip
    dataset, every = str(bundle.provenance.get("dataset")), settings.detect in ("yunet", "haar")

    def broken(error: DataError) -> None:
        if settings.strict:
            raise error
        notes.say(f"left out: {error}")

    tally, searching = Tally(), settings.detect != "none"
    videos = any(map(is_video, paths))
    if settings.centred is not None and not videos:
        raise ConfigError(f"centred must be for a video, got {counted(len(paths), 'picture')}; leave it out")
    layout = Layout(bundle, settings.top, videos, searching, Path(settings.rows) if settings.rows else None)
    with WRITERS[settings.format](layout) as write:
        shown = progress("predicting", paths)
        pictures = look(shown, bundle.spec, dataset, find if searching else None, every, tally, broken)
        answered = answers(bundle, pictures)
        for picture, mine in answered if settings.centred is None else centred(answered, settings.centred):
            write([Row(picture.path, *place, answer) for place, answer in zip(places(picture), mine, strict=True)])
            if target is not None:
                save_annotated(picture, mine, target(picture))
    for line in [*tally.lines(settings.detect), *left_out(settings.source, paths)]:
        notes.say(line)
    return 1 if tally.broken else 0


def find_pictures(source: str) -> list[Path]:
    """The files that `source` names, sorted.

    A file is itself, a folder its pictures and videos by suffix (not those of its folders), and anything else a glob,
    in which ** reaches into folders; every file that a glob matches is taken for a picture, or by suffix for a video.

    Raises:
        DataError: nothing found.
    """
    from ferlab.data.imagefolder import SUFFIXES
    from ferlab.live.videos import VIDEOS

    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        suffixes = SUFFIXES | VIDEOS
        found = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in suffixes)
        kinds = ", ".join(sorted(suffixes))
        looked_for = f"pictures and videos ({kinds}) in the folder {path}; for folders in it use {_below(path)}"
    else:
        found = sorted(Path(name) for name in glob(str(path), recursive=True) if Path(name).is_file())
        looked_for = f"a picture, a folder or files matching '{source}' in {Path.cwd()}; check the path"
    if not found:
        raise DataError(f"source must name pictures, found nothing: looked for {looked_for}")
    return found


def left_out(source: str, paths: Sequence[Path]) -> Iterator[str]:
    """What a folder holds beside its pictures, in one sentence; none if that is nothing but hidden files."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return
    others = [path for path in set(folder.iterdir()) - set(paths) if not path.name.startswith(".")]
    folders, broken = sum(path.is_dir() for path in others), sum(not path.exists() for path in others)
    kinds = {"folder": folders, "dangling link": broken, "other file": len(others) - folders - broken}
    said = " and ".join(counted(number, kind) for kind, number in kinds.items() if number)
    remedy = f"; for pictures in folders use {_below(folder)}" if folders else ""
    if said:
        yield f"left out of {folder}: {said}{remedy}"


def _below(folder: Path) -> str:
    """What `source=` must be for the pictures in the folders in `folder` too, as it is typed."""
    return f"'{escape(str(folder))}/**/*'"


def check_no_camera(source: str) -> None:
    """Raise a ConfigError for what has no future to look at yet."""
    from ferlab.live.sources import is_camera

    if is_camera(source) and not Path(source).exists():
        raise ConfigError(
            f"centred looks ahead and must be for a video's file, got the camera {source}; use ferlab live, whose "
            "filters know the past alone"
        )


def answers(model: "Runner", pictures: "Iterable[Picture]") -> "Iterator[tuple[Picture, list[Prediction]]]":
    """The pictures, each with the answers to its faces."""
    for batch in batches(pictures):
        found = iter(model.predict([crop for picture in batch for crop in picture.crops]))
        for picture in batch:
            yield picture, list(islice(found, len(picture.crops)))


def batches(pictures: "Iterable[Picture]") -> "Iterator[list[Picture]]":
    """The pictures in lists of as many faces as are answered at once, or of as much memory as may be held."""
    from ferlab.runner import BATCH

    batch: list[Picture] = []
    faces = held = 0
    for picture in pictures:
        batch.append(picture)
        faces, held = faces + len(picture.crops), held + picture.frame.image.nbytes
        if faces >= BATCH or held >= TOGETHER:
            yield batch
            batch, faces, held = [], 0, 0
    if batch:
        yield batch


def places(picture: "Picture") -> "list[tuple[Moment | None, Box | None]]":
    """Where each face is: frame, time and id in a video, and its box where the picture was searched."""
    from ferlab.live.videos import is_video

    frame, faces = picture.frame, picture.faces
    ids = [-1] if faces is None else faces.ids.tolist()
    boxes = [None] if faces is None else list(map(tuple, faces.boxes.tolist()))
    moments = [(frame.index, frame.time, number) if is_video(picture.path) else None for number in ids]
    return list(zip(moments, boxes, strict=True))


def targets(folder: Path, paths: Sequence[Path]) -> "Callable[[Picture], Path]":
    """Where in `folder` an annotated picture goes: as it lies in the folder that holds all of them.

    A frame of clip.mp4 is 000012.jpg in a folder clip.mp4.

    Raises:
        ConfigError: `folder` is that folder, so that pictures would be replaced.
    """
    from ferlab.live.videos import is_video

    common = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    if folder.resolve() == common.resolve():
        raise ConfigError(f"out must be another folder than that of the pictures, got {folder} for both; change out")

    def target(picture: "Picture") -> Path:
        place = folder / picture.path.absolute().relative_to(common)
        if is_video(place):
            return place / f"{picture.frame.index:06d}.jpg"
        return place if place.suffix.lower() in (".png", ".jpg", ".jpeg") else place.with_name(f"{place.name}.png")

    return target


def save_annotated(picture: "Picture", answers: "Sequence[Prediction]", path: Path) -> None:
    """Write a picture with the boxes and labels of its faces; DataError if that cannot be done."""
    import cv2

    from ferlab.files import replacing, why_unwritable
    from ferlab.live.draw import annotate

    height, width = picture.frame.image.shape[:2]
    boxes = [box or (0, 0, width, height) for _, box in places(picture)]
    drawn = annotate(picture.frame.image, boxes, answers)
    encoded = cv2.imencode(path.suffix, drawn[:, :, ::-1])[1]
    try:
        with replacing(path) as temporary:
            encoded.tofile(temporary)
    except OSError as error:
        raise DataError(f"cannot write {path}: {why_unwritable(error)}") from error
