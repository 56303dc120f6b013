"""Answers as rows, a row a face, written as they come: a table, JSON, JSON lines, CSV or Parquet."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.table import Table

from ferlab.errors import ConfigError
from ferlab.evaluation.text import no_formula
from ferlab.files import replacing
from ferlab.runner import Prediction, Runner
from ferlab.screen import Screen

MOMENT = ("frame", "time", "track")
BOX = ("left", "top", "width", "height")

Moment = tuple[int, float, int]
Box = tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """What is said of one face.

    Attributes:
        path: of the picture or the video.
        moment: number of the frame, its time in s, and the face's id in the video; None if it is a picture.
        box: (left, top, width, height) in pixels of the picture, as the detector has it; None if the picture is a face.
        answer: of the model.
    """

    path: Path
    moment: Moment | None
    box: Box | None
    answer: Prediction


@dataclass(frozen=True)
class Layout:
    """What every row has.

    Attributes:
        runner: that answers.
        top: how many labels a table and JSON show, likeliest first; CSV and Parquet have all of them.
        videos: whether any file is a video, so that CSV and Parquet have columns for frame and time.
        boxes: whether pictures were searched, so that CSV and Parquet have columns for boxes.
        file: for Parquet.
    """

    runner: Runner
    top: int
    videos: bool
    boxes: bool
    file: Path | None


Write = Callable[[Sequence[Row]], None]


@contextmanager
def table(layout: Layout) -> Iterator[Write]:
    """A table for people; it is printed at the end, when its widths are known."""
    spec = layout.runner.spec
    face = spec.face
    cut = f"faces are taken as cut: margin {face.margin:g}, eyes {'aligned' if face.aligned else 'not aligned'}"
    shown = Table(box=None, pad_edge=False, header_style="bold", caption=cut, caption_justify="left")
    shown.add_column("source", overflow="fold")
    if layout.videos:
        shown.add_column("frame", justify="right")
        shown.add_column("s", justify="right")
        shown.add_column("track", justify="right")
    rows: list[Row] = []
    yield rows.extend
    boxes = any(row.box is not None for row in rows)
    if boxes:
        shown.caption = None
        shown.add_column("box")
    for rank in range(min(layout.top, len(spec.expression))):
        shown.add_column("expression, %" if rank == 0 else "")
    for name in ("valence", "arousal") if spec.affect else ():
        shown.add_column(name, justify="right")
    for row in rows:
        shares = [f"{name} {100 * share:.1f}" for name, share in list(row.answer.expression.items())[: layout.top]]
        affect = [f"{value:+.2f}" for value in (row.answer.valence, row.answer.arousal) if value is not None]
        moment = [""] * len(MOMENT) if row.moment is None else "{} {:.2f} {}".format(*row.moment).split()
        shown.add_row(
            str(row.path), *(moment if layout.videos else []), *([_box(row)] if boxes else []), *shares, *affect
        )
    if rows:
        Screen().print(shown)


def _box(row: Row) -> str:
    return "" if row.box is None else "{:.0f},{:.0f} {:.0f}×{:.0f}".format(*row.box)


@contextmanager
def document(layout: Layout) -> Iterator[Write]:
    """One JSON document: the bundle's digest and a list of faces; it is printed at the end."""
    faces: list[dict[str, Any]] = []
    yield lambda rows: faces.extend(_plain(row, layout) for row in rows)
    print_json({"bundle": layout.runner.spec.digest, "faces": faces}, sys.stdout, indent=2)


@contextmanager
def lines(layout: Layout) -> Iterator[Write]:
    """JSON lines: a face a line."""
    stream = sys.stdout  # now: a bar on a terminal takes over what is printed while it is there

    def write(rows: Sequence[Row]) -> None:
        for row in rows:
            print_json(_plain(row, layout), stream)
        stream.flush()

    yield write


def _plain(row: Row, layout: Layout) -> dict[str, Any]:
    """A face as JSON has it, with its likeliest labels first."""
    face: dict[str, Any] = {"source": str(row.path)}
    if row.moment is not None:
        frame, time, track = row.moment
        face |= {"frame": frame, "time": round(time, 3), "track": track}
    if row.box is not None:
        face["box"] = [round(value, 1) for value in row.box]
    if layout.runner.spec.expression:
        face["expression"] = dict(list(row.answer.expression.items())[: layout.top])
    if layout.runner.spec.affect:
        face |= {"valence": row.answer.valence, "arousal": row.answer.arousal}
    return face


def print_json(value: object, stream: TextIO, indent: int | None = None) -> None:
    """Write JSON and a line end; no control character of a name in it reaches a terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    # What moves a cursor or is no Unicode, such as an undecodable byte of a file's name, as JSON's own escape.
    shown = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    stream.write("".join(shown) + "\n")


@contextmanager
def comma_separated(layout: Layout) -> Iterator[Write]:
    """CSV: source, box, the likeliest label, and a probability column for every label in the bundle's order.

    The columns are the same for every face, as data frames want them; those of the box are empty where a picture is one
    face, those of the frame where it is no video. A text that a spreadsheet would take for a formula begins with an
    apostrophe.
    """
    names = layout.runner.spec.expression
    stream = sys.stdout
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(no_formula, _columns(layout)))

    def write(rows: Sequence[Row]) -> None:
        for row in rows:
            likeliest = list(row.answer.expression)[:1]
            shares = [f"{row.answer.expression[name]:.6f}" for name in names]
            numbers = [f"{value:.6f}" for value in (row.answer.valence, row.answer.arousal) if value is not None]
            box = [""] * len(BOX) if row.box is None else [f"{value:.1f}" for value in row.box]
            moment = [""] * len(MOMENT) if row.moment is None else "{} {:.3f} {}".format(*row.moment).split()
            place = [*(moment if layout.videos else []), *(box if layout.boxes else [])]
            writer.writerow([no_formula(str(row.path)), *place, *map(no_formula, likeliest), *shares, *numbers])
        stream.flush()

    yield write


def _columns(layout: Layout) -> list[str]:
    spec = layout.runner.spec
    moment = MOMENT if layout.videos else ()
    box, affect = BOX if layout.boxes else (), ("valence", "arousal") if spec.affect else ()
    return ["source", *moment, *box, *(["expression"] if spec.expression else []), *spec.expression, *affect]


@contextmanager
def parquet(layout: Layout) -> Iterator[Write]:
    """Parquet, with the columns of CSV; a part of the file is written at a time, and it appears when it is whole."""
    import pyarrow as pa
    import pyarrow.parquet

    if layout.file is None:
        raise ConfigError("format=parquet needs a file, got none; set rows=faces.parquet")
    names, columns = layout.runner.spec.expression, _columns(layout)
    text = {"source", "expression"}
    # By place, since a label of one's own may be called as a column is.
    types = [pa.string() if place < 9 and name in text else pa.float32() for place, name in enumerate(columns)]
    with replacing(layout.file) as temporary:
        schema = pa.schema(list(zip(columns, types, strict=True)))
        with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:

            def write(rows: Sequence[Row]) -> None:
                cells = []
                for row in rows:
                    moment = (row.moment or (None,) * len(MOMENT)) if layout.videos else ()
                    box = (row.box or (None,) * len(BOX)) if layout.boxes else ()
                    answer = row.answer
                    affect = [value for value in (answer.valence, answer.arousal) if value is not None]
                    shares = [answer.expression[name] for name in names]
                    source = str(row.path).encode(errors="backslashreplace").decode()
                    cells.append([source, *moment, *box, *list(answer.expression)[:1], *shares, *affect])
                if cells:
                    made = [
                        pa.array(column, kind) for column, kind in zip(zip(*cells, strict=True), types, strict=True)
                    ]
                    writer.write_table(pa.Table.from_arrays(made, schema=schema))

            yield write


WRITERS: dict[str, Callable[[Layout], AbstractContextManager[Write]]] = {
    "table": table,
    "json": document,
    "jsonl": lines,
    "csv": comma_separated,
    "parquet": parquet,
}
