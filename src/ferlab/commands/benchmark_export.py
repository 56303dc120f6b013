"""`ferlab benchmark export`: how fast a bundle and its exported files are on this machine, and which serves best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ferlab import config
from ferlab.commands.exports import check_origin, compared, files_in, with_dataset
from ferlab.commands.screen import console, progress
from ferlab.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from ferlab.bundle import Bundle
    from ferlab.cli import Invocation
    from ferlab.evaluate.benchmark import Candidate, Plan
    from ferlab.evaluate.parity import Sample
    from ferlab.formats.exported import Exported


@dataclass
class BenchmarkConfig:
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


def export(invocation: "Invocation") -> None:
    """Measure a bundle and its exported files, print the table and write benchmark.json and benchmark.html."""
    overrides = with_dataset(invocation, "bundle")
    settings = config.typed(config.compose(invocation.command.config, overrides), BenchmarkConfig)
    plan = check(settings)

    from ferlab.bundle import load_bundle
    from ferlab.evaluate.benchmark import measure
    from ferlab.evaluate.benchmark_report import KIND, Benchmark, machine, write_benchmark
    from ferlab.evaluate.page import check_folder
    from ferlab.evaluate.parity import draw

    found = machine()
    bundle = load_bundle(settings.bundle)
    home = (bundle.path or Path()).absolute().parent
    folder = Path(settings.out or home / "benchmark")
    check_folder(folder, KIND)
    files = opened(bundle, find(settings.exports or str(home / "exports")))
    source = config.instantiate(settings.data)
    sample = draw(bundle, source, "validation", settings.faces)
    models = candidates(bundle, files, sample)
    print(
        f"{len(models)} models in {len(models) * len(plan.threads) * plan.rounds} processes, one at a time", flush=True
    )
    faces = sample.images[: max(64, plan.batches[-1])]
    replies = measure(models, plan, faces, partial(progress, "measuring"))
    document = write_benchmark(Benchmark(bundle, source.protocol, models, plan, replies, found), folder)
    show(document, folder)


def check(settings: BenchmarkConfig) -> "Plan":
    """How to measure, once everything that can be checked beforehand is."""
    from ferlab.evaluate.benchmark import Plan
    from ferlab.evaluate.parity import FEWEST

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
    from ferlab.evaluate.benchmark import EAGER, Candidate
    from ferlab.evaluate.parity import answer_all, parity
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


def show(document: Mapping[str, Any], folder: Path) -> None:
    """Print the table, the best choice and where the report is."""
    from ferlab.evaluate.benchmark_report import KIND, verdict

    screen = console()
    say = partial(screen.print, markup=False, soft_wrap=True)
    say(document["protocol"])
    for caution in document["cautions"]:
        say(f"caution: {caution}", style="yellow")
    say()
    screen.print(table(document))
    if any(model["looped"] for model in document["models"]):
        say("* takes one face at a time: a batch is a loop", style="dim")
    say()
    for sentence in verdict(document):
        say(sentence)
    say(f"report: {folder / f'{KIND}.html'}")


def table(document: Mapping[str, Any]) -> Table:
    """A row for each model, number of threads and batch, the fastest first within a batch."""
    from ferlab.evaluate.benchmark_report import change, short

    models = {model["name"]: model for model in document["models"]}
    result = Table("format", box=None, pad_edge=False, header_style="bold")
    accuracy = any(model["parity"]["accuracy"] for model in models.values())
    titles = (
        "batch", "threads", "p50, ms", "p95, ms", "images/s", "× eager", "min–max", "load, ms", "peak, MiB",
        "size, MiB", "accuracy, %" if accuracy else "CCC", "agree, %",
    )  # fmt: skip
    for title in titles:
        result.add_column(title, justify="right", no_wrap=True)
    for row in sorted(document["rows"], key=lambda row: (row["batch"], -row["images_per_s"])):
        model, times = models[row["name"]], row["times_eager"]
        name = row["name"] + "*" * (model["looped"] and row["batch"] > 1)
        agreement = model["parity"]["agreement"]
        result.add_row(
            Text(name, "red" if model["faults"] else ""), str(row["batch"]), str(row["threads"]),
            short(row["p50_ms"]), short(row["p95_ms"]), short(row["images_per_s"]),
            f"{times['median']:.2f}", f"{times['least']:.2f}–{times['most']:.2f}", short(row["load_ms"]),
            "–" if row["peak_mb"] is None else f"{row['peak_mb']:,.0f}", f"{model['bytes'] / 2**20:.2f}",
            change(model["parity"]), "–" if agreement is None else f"{100 * agreement:.2f}",
        )  # fmt: skip
    return result
