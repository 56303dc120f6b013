"""`ferlab export`: write a bundle in other formats, each verified against the bundle before it appears."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from ferlab import config
from ferlab.box import beside
from ferlab.catalogue import choice
from ferlab.commands.exports import compared, parity_table, with_dataset
from ferlab.errors import ConfigError, ExportError
from ferlab.past import FILE
from ferlab.screen import Screen, progress, working
from ferlab.training.tracking import TrackerOptions

if TYPE_CHECKING:
    from ferlab.bundle import Bundle
    from ferlab.cli import Invocation
    from ferlab.evaluation.parity import Sample
    from ferlab.formats.seal import Graph, Layout
    from ferlab.runner import Outputs
    from ferlab.spec import Image

REPORT = "parity.json"


@dataclass
class ExportConfig:
    """Keys of conf/export.yaml, which explains them."""

    bundle: str = config.MISSING
    data: dict[str, Any] = field(default_factory=dict)
    format: Any = choice(config.MISSING, "ferlab.formats:FORMATS")
    graph: str = choice("probabilities", lambda: get_args(import_module("ferlab.formats.seal").Graph))
    layout: str | None = choice(None, lambda: get_args(import_module("ferlab.formats.seal").Layout))
    faces: int = 2048
    calibration: int = 512
    threads: int = 1
    out: str | None = None
    tracker: TrackerOptions | None = None
    register: str | None = None


@dataclass(frozen=True)
class Job:
    """What every format of one export has in common.

    Attributes:
        bundle: the model.
        graph: what the files give for expressions.
        layout: of the images that the files take, or None for each format's own.
        protocol: of the dataset.
        calibration: (n, c, s, s) uint8, prepared faces of the train split; none if no format takes any.
        sample: faces of the validation split.
        reference: the bundle's answers to them.
        threads: that the files are read with.
        folder: where the files go.
    """

    bundle: "Bundle"
    graph: str
    layout: str | None
    protocol: str
    calibration: "Image"
    sample: "Sample"
    reference: "Outputs"
    threads: int
    folder: Path


def export(invocation: "Invocation") -> int:
    """Export every format asked for; the exit code is 1 if one of them does not answer like the bundle."""
    overrides = with_dataset(invocation, "bundle", ExportConfig)
    settings = config.typed(config.compose(invocation.command.config, overrides), ExportConfig)
    names = check(settings)

    from ferlab.bundle import load_bundle
    from ferlab.commands.export_tracking import DOCUMENTS, log_exports, tracked
    from ferlab.evaluation.parity import answer_all, draw, evenly
    from ferlab.evaluation.predictions import prepared
    from ferlab.files import sweep
    from ferlab.formats import FORMATS

    bundle = load_bundle(settings.bundle)
    run = tracked(bundle, settings.tracker, settings.register)
    folder = Path(settings.out) if settings.out else beside(bundle.path) / "exports"
    earlier = read_report(folder, bundle)
    for name in (*DOCUMENTS, *(each.file for each in FORMATS.values())):
        sweep(folder / name)
    source = config.instantiate(settings.data)
    sample = draw(bundle, source, "validation", settings.faces)
    calibration = sample.images[:0]
    if any(FORMATS[name].calibrated for name in names):
        train = source.split("train")
        calibration = prepared(bundle.spec, train, evenly(np.arange(len(train)), settings.calibration))
    with working("asking the bundle"):
        reference = answer_all(bundle, sample.images)
    job = Job(
        bundle, settings.graph, settings.layout, source.protocol_of("validation"),
        calibration, sample, reference, settings.threads, folder,
    )  # fmt: skip
    screen = Screen()
    screen.say(f"{len(sample.images):,} validation faces of {job.protocol}")
    rows, refused = [], []
    for name in progress("exporting", names):
        try:
            rows.append(export_one(job, name))
        except ExportError as error:  # of one format; the others go on
            refused.append(f"{name}: {error}")
            continue
        write_report(job, earlier, rows)
    if rows:
        screen.print(parity_table(rows))
    written = [row for row in rows if not row["faults"]]
    if written:
        screen.say(f"files: {folder}")
    log_exports(run, job.folder, written, sample.images[:2])
    faults = say_faults(rows, screen)
    if refused:
        raise ExportError("; ".join(refused))
    return faults


def check(settings: ExportConfig) -> list[str]:
    """The formats asked for, once everything that can be checked beforehand is."""
    from ferlab import formats
    from ferlab.evaluation.parity import FEWEST

    names = [settings.format] if isinstance(settings.format, str) else settings.format
    if not isinstance(names, list) or not names:
        raise ConfigError(f"format must name one format or more, got {names}; one of: {', '.join(formats.FORMATS)}")
    for name in names:
        layouts = formats.check(str(name)).layouts
        if settings.layout not in (None, *layouts):
            raise ConfigError(f"layout of {name} must be {' or '.join(layouts)}, got {settings.layout}; leave it out")
    for key, least in (("faces", FEWEST), ("calibration", 1), ("threads", 1)):
        if getattr(settings, key) < least:
            raise ConfigError(f"{key} must be at least {least}, got {getattr(settings, key)}")
    return names


def export_one(job: Job, name: str) -> dict[str, Any]:
    """Write one format in the first of its ways that passes, and report on it, or on the last if none does."""
    from ferlab import formats
    from ferlab.files import replacing, why_unwritable
    from ferlab.formats.interface import write_beside
    from ferlab.formats.seal import Seal, digest

    chosen = formats.FORMATS[name]
    write = import_module(f"ferlab.formats.{chosen.module}").write
    bundle, path = job.bundle, job.folder / chosen.file
    layout = cast("Layout", job.layout or chosen.layouts[0])
    seal = Seal(name, cast("Graph", job.graph), bundle.spec, bundle.model, bundle.provenance, layout)
    tried = []
    for way in chosen.ways:
        try:
            with replacing(path) as temporary:
                write(bundle, seal, temporary, job.calibration, way)
                found, faults = compared(formats.read(temporary, job.threads), job.reference, job.sample)
                data = temporary.read_bytes()
                tried.append({"way": way, "parity": found.to_dict(), "faults": faults})
                if faults:
                    raise _Rejected
                # First, so that a file is never there without them, were the process killed between the two.
                if bundle.past is not None:
                    bundle.past.write(job.folder / FILE)
                write_beside(job.folder, chosen.file, seal)
        except _Rejected:
            continue
        except OSError as error:
            raise ExportError(f"cannot write {path}: {why_unwritable(error)}; free some space") from error
        break
    row = {"format": name, "file": chosen.file, "bytes": len(data), "sha256": digest(data)}
    row |= {"graph": job.graph, "layout": layout, "protocol": job.protocol}
    if chosen.calibrated:
        row |= {"calibration": len(job.calibration)}
    return row | tried[-1] | {"verdict": "not written" if faults else "verified", "tried": tried}


class _Rejected(Exception):  # noqa: N818 (it is no error)
    """Leaves `replacing`, so that the file never appears."""


def read_report(folder: Path, bundle: "Bundle") -> Mapping[str, Any]:
    """What earlier exports of this bundle to `folder` reported, by file; ConfigError if another's are there."""
    from ferlab.documents import document, read_document
    from ferlab.files import read_json

    file = folder / "spec.json"
    if not file.exists():
        return {}
    found, own = read_document(file), document(bundle.spec, bundle.model, bundle.provenance)
    found.pop("files", None)  # what each takes and gives
    if found != json.loads(json.dumps(own)):  # two trainings may share a specification, but not where they come from
        digest = found.get("digest")
        raise ConfigError(f"{folder} must be for exports of {bundle.path}, got those of model {digest}; set out=…")
    try:
        return dict(read_json(folder / REPORT)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # it is written anew


def write_report(job: Job, earlier: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write parity.json: one entry a file that is there."""
    from ferlab.files import write_json

    written = {row["file"]: row for row in rows if not row["faults"]}
    if written:
        document = {"format": 1, "digest": job.bundle.spec.digest, "files": {**earlier, **written}}
        write_json(job.folder / REPORT, document)


def say_faults(rows: Sequence[Mapping[str, Any]], screen: Screen) -> int:
    """Say what fell through, and what the ways before the one that passed lost; the exit code."""
    for row in rows:
        for attempt in row["tried"]:
            said = f"{row['format']}, {attempt['way']}" if attempt["way"] else row["format"]
            for fault in attempt["faults"]:
                screen.say(f"{said}: {fault}")
    return int(any(row["faults"] for row in rows))
