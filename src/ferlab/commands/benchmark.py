"""`ferlab benchmark train`, `feeds` and `export`: how fast each is on this machine, beside what it could be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlab import config
from ferlab.box import beside
from ferlab.commands.exports import check_origin, compared, files_in, with_dataset
from ferlab.errors import ConfigError, ExportError
from ferlab.files import write_json
from ferlab.screen import Screen, progress, working

if TYPE_CHECKING:
    from ferlab.benchmark.export import Candidate, Plan
    from ferlab.benchmark.train import BenchmarkConfig
    from ferlab.bundle import Bundle
    from ferlab.cli import Invocation
    from ferlab.evaluation.parity import Sample
    from ferlab.formats.exported import Exported


@dataclass
class ExportBenchmarkConfig:
    """Keys of conf/benchmark_export.yaml, which explains them."""

    bundle: str = config.MISSING
    data: dict[str, Any] = field(default_factory=dict)
    exports: Any = None
    threads: list[int] = field(default_factory=list)
    batch: list[int] = field(default_factory=list)
    rounds: int = 5
    seconds: float = 0.5
    faces: int = 2048
    out: str | None = None


def train(invocation: "Invocation") -> None:
    """Time training as `ferlab train` runs it, as others train, and what bounds it, in turns."""
    from ferlab.benchmark import tables
    from ferlab.benchmark.train import measure

    time_training(invocation, measure, tables.train)


def feeds(invocation: "Invocation") -> None:
    """Time the same training step on faces that are resident, packed and streamed, in turns."""
    from ferlab.benchmark import tables
    from ferlab.benchmark.feeds import measure

    time_training(invocation, measure, tables.feeds)


def time_training(
    invocation: "Invocation",
    measure: Callable[["BenchmarkConfig"], dict[str, Any]],
    show: Callable[[dict[str, Any], Screen], None],
) -> None:
    """Measure, show the figures, and write them where `out` says."""
    from ferlab.benchmark.train import read_config

    options = read_config(invocation.overrides)
    with working("measuring"):
        figures = measure(options)
    show(figures, Screen())
    if options.out:
        write_json(Path(options.out), figures)


def export(invocation: "Invocation") -> None:
    """Measure a bundle and its exported files, print the table and write benchmark.json and benchmark.html."""
    overrides = with_dataset(invocation, "bundle", ExportBenchmarkConfig)
    settings = config.typed(config.compose(invocation.command.config, overrides), ExportBenchmarkConfig)
    plan = check(settings)

    from ferlab.benchmark import tables
    from ferlab.benchmark.export import measure
    from ferlab.benchmark.report import KIND, Benchmark, machine, write_benchmark
    from ferlab.bundle import load_bundle
    from ferlab.evaluation.page import check_folder
    from ferlab.evaluation.parity import draw

    found = machine()
    bundle = load_bundle(settings.bundle)
    home = beside(bundle.path)
    folder = Path(settings.out or home / "benchmark")
    check_folder(folder, KIND)
    files = opened(bundle, find(settings.exports or str(home / "exports")))
    source = config.instantiate(settings.data)
    sample = draw(bundle, source, "validation", settings.faces)
    with working("asking the bundle and its files"):
        models = candidates(bundle, files, sample)
    screen = Screen()
    screen.say(f"{len(models)} models in {len(models) * len(plan.threads) * plan.rounds} processes, one at a time")
    faces = sample.images[: max(64, plan.batches[-1])]
    replies = measure(models, plan, faces, partial(progress, "measuring"))
    document = write_benchmark(Benchmark(bundle, source.protocol, models, plan, replies, found), folder)
    tables.export(document, folder, screen)


def check(settings: ExportBenchmarkConfig) -> "Plan":
    """How to measure, once everything that can be checked beforehand is."""
    from ferlab.benchmark.export import Plan
    from ferlab.evaluation.parity import FEWEST

    for key in ("threads", "batch"):
        numbers = getattr(settings, key)
        if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
            raise ConfigError(f"{key} must be different numbers from 1, one or more, got {numbers}")
    for key, least in (("rounds", 1), ("faces", FEWEST)):
        if getattr(settings, key) < least:
            raise ConfigError(f"{key} must be at least {least}, got {getattr(settings, key)}")
    if not 0 < settings.seconds < float("inf"):
        raise ConfigError(f"seconds must be positive, got {settings.seconds:g}")
    return Plan(tuple(sorted(settings.threads)), tuple(sorted(settings.batch)), settings.rounds, settings.seconds)


def find(exports: Any) -> list[Path]:
    """The exported files that `exports` names: files or folders of them, one or a list.

    Raises:
        ConfigError: it is something else.
        ExportError: a folder has none.
    """
    paths = [exports] if isinstance(exports, str) else exports
    if not isinstance(paths, list) or not paths or not all(isinstance(each, str) and each for each in paths):
        raise ConfigError(f"exports must be files or folders of ferlab export, one or a list of them, got {exports}")
    found: list[Path] = []
    for path in map(Path, paths):
        files = files_in(path)
        if not files and (path.is_dir() or not path.exists()):
            raise ExportError(f"exports must hold files of ferlab export, got none in {path}; run ferlab export")
        found += files or [path]
    return found


def opened(bundle: "Bundle", paths: Sequence[Path]) -> list["Exported"]:
    """The files, each checked; ConfigError if two are of one format, which a table could not tell apart."""
    from ferlab.formats import read

    first: dict[str, Exported] = {}
    for file in map(read, paths):
        check_origin(file, bundle)
        if (other := first.setdefault(file.seal.kind, file)) is not file:
            raise ConfigError(
                f"exports must have one file a format, got two of {file.seal.kind}: {other.path}, {file.path}"
            )
    return list(first.values())


def candidates(bundle: "Bundle", files: Sequence["Exported"], sample: "Sample") -> list["Candidate"]:
    """The bundle and the files, with what they answer to the same faces."""
    from ferlab.benchmark.export import EAGER, Candidate
    from ferlab.evaluation.parity import answer_all, parity
    from ferlab.formats import RUNTIMES

    reference = answer_all(bundle, sample.images)
    home = bundle.path or Path()
    weights = (home / "weights.safetensors").stat().st_size
    found = [Candidate(EAGER, home, weights, False, parity(reference, reference, sample))]
    for file in files:
        path = file.path or Path()
        apart, faults = compared(file, reference, sample)
        size = path.stat().st_size
        found.append(Candidate(file.seal.kind, path, size, RUNTIMES[path.suffix].looped, apart, tuple(faults)))
    return found
