"""`ferlab live evaluate`: how right, steady and quick `ferlab live` is, on clips whose expressions are known."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ferlab import config
from ferlab.box import located, named
from ferlab.catalogue import choice
from ferlab.commands.compare import holds_bundle
from ferlab.errors import BundleError, ConfigError, DataError
from ferlab.files import read_json
from ferlab.formats import RUNTIMES
from ferlab.live import yunet
from ferlab.live.clips import RECORD
from ferlab.live.settings import SEARCH, LiveConfig
from ferlab.live.smooth import PRESETS
from ferlab.live.videos import is_video
from ferlab.screen import Screen, progress

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.live.report import Evaluation, Model
    from ferlab.live.scoring import Recording
    from ferlab.live.strength import Point

WIDTH = 120  # columns, where the output is no terminal
OUT = "outputs/live_evaluate"
MOST_MODELS = 16


@dataclass
class LiveEvaluateConfig:
    """Keys of conf/live_evaluate.yaml, which explains them.

    Raises:
        ConfigError: a value that means nothing.
    """

    bundle: Any = None
    clips: str | None = None
    session: str | None = None
    truth: str | None = None
    presets: list[str] = choice(["raw", "fast", "stable"], PRESETS)
    response: float = 1.0
    sweep: bool = True
    flicker: float = 1.0
    tune: bool = False
    trials: int = 200
    detect: str = choice("auto", "ferlab.live.detect:DETECT")
    detector_file: str | None = None
    search: str = choice("every", SEARCH)
    side: int = yunet.LIVE[0]
    score: float = 0.6
    smallest: int = 40
    paced: bool = False
    device: str = "cpu"
    threads: int = 1
    out: str | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that means nothing."""
        if not 0 < self.response <= 60:
            raise ConfigError(f"response must be above 0 and at most 60 seconds, got {self.response:g}")
        if not 0 <= self.flicker < float("inf"):
            raise ConfigError(f"flicker must be 0 or more, got {self.flicker:g}")
        if self.trials < 1:
            raise ConfigError(f"trials must be at least 1, got {self.trials}")
        if self.tune and self.session is not None:
            raise ConfigError("tune must have clips, got a session, whose answers are smoothed already; leave one out")
        if not self.presets or len(set(self.presets)) < len(self.presets):
            raise ConfigError(f"presets must be different ones, one or more, got {self.presets}")
        if self.session is not None:
            if self.bundle is not None or self.clips is not None:
                raise ConfigError("session must stand alone, got bundle or clips too; leave them out")
        elif self.clips is None:
            raise ConfigError("'clips' must be given, got nothing; add clips=…, or session=…")

    def live(self, bundle: Path, clip: Path) -> LiveConfig:
        """How `ferlab live` would be asked to watch a clip."""
        return LiveConfig(
            str(bundle), str(clip), detect=self.detect, detector_file=self.detector_file, search=self.search,
            side=self.side, score=self.score, smallest=self.smallest, paced=self.paced, device=self.device,
            threads=self.threads,
        )  # fmt: skip


def evaluate(invocation: "Invocation") -> None:
    """Score models on clips, or a session on its truth, print the table and write the report."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), LiveEvaluateConfig)

    from ferlab.evaluation.page import check_folder
    from ferlab.live.report import KIND, load, write_evaluation

    folder, screen, busy = Path(settings.out or OUT).expanduser(), Screen(WIDTH), load()
    check_folder(folder, KIND)
    evaluation = _of_session(settings, busy) if settings.session else _of_clips(settings, busy, screen)
    document = write_evaluation(evaluation, folder)
    screen.say(document["protocol"])
    for caution in document["cautions"]:
        screen.say(f"caution: {caution}", style="yellow")
    show(evaluation, document, screen)
    if settings.tune:
        for model in evaluation.models:
            tuned(model, settings, preset_file(folder, model, evaluation.models), screen)
    screen.say(f"report: {folder / KIND}.html")


def _of_session(settings: LiveEvaluateConfig, busy: float | None) -> "Evaluation":
    from ferlab.live.annotations import ANNOTATIONS
    from ferlab.live.recorded import RAW, SHOWN, read_session, session_labels
    from ferlab.live.report import Evaluation, Model
    from ferlab.live.scoring import courses

    folder = Path(str(settings.session)).expanduser()
    truth = folder / ANNOTATIONS if settings.truth is None else Path(settings.truth).expanduser()
    if settings.truth is None and not truth.exists():
        session_labels(folder)  # it says so if that is no session, or an encrypted one
        raise ConfigError(f"session must have its truth, got none in {folder}; add truth=…, or annotate it in the page")
    recording = read_session(folder, truth)
    _check_known([recording], truth)
    found = {way: [courses(recording, lambda moment, way=way: moment.told[way])] for way in (RAW, SHOWN)}  # type: ignore[misc]
    model = Model(recording.clip, {"session": str(folder)}, [recording], found, {})
    return Evaluation([model], {}, {**asdict(settings), "detector": None}, {}, busy)


def _of_clips(settings: LiveEvaluateConfig, busy: float | None, screen: Screen) -> "Evaluation":
    from ferlab.live.report import Evaluation

    bundles, clips = find_models(settings.bundle or LiveConfig.bundle), find_clips(str(settings.clips))
    if settings.truth is not None and len(clips) > 1:
        raise ConfigError(f"truth must be of a single clip, got {len(clips)} clips; leave it out")
    names = unique([_name(path) for path in bundles], bundles)
    models, detector = [], ""
    for name, path in zip(names, bundles, strict=True):
        model, detector = _model(name, path, clips, settings, screen)
        models.append(model)
    presets = {name: PRESETS[name] for name in settings.presets}
    return Evaluation(models, presets, {**asdict(settings), "detector": detector}, origin(clips), busy)


def _model(
    name: str, path: Path, clips: Sequence[Path], settings: LiveEvaluateConfig, screen: Screen
) -> "tuple[Model, str]":
    """A model watched on all clips, and the name of the detector."""
    from ferlab.live.report import Model, found_by
    from ferlab.live.run import Live
    from ferlab.live.scoring import clip_names, watch_clip
    from ferlab.live.truth import beside, read_truth
    from ferlab.provenance import peak_mb

    recordings, about, detector, told = [], {}, "", set[str]()

    def say(line: str) -> None:
        if line not in told:  # once, and not for every clip
            told.add(line)
            screen.say(line)

    names = clip_names(clips)
    for i in progress(f"watching with {name}", range(len(clips))):
        watched = Live(settings.live(path, clips[i]), say)
        if (torch := sys.modules.get("torch")) is not None:  # the model is a bundle
            torch.set_num_threads(settings.threads)
        if not watched.runner.labels:
            raise ConfigError(f"bundle must be a model with expressions, got {path} without; name another")
        truth = read_truth(Path(settings.truth) if settings.truth else beside(clips[i]), watched.runner.labels)
        recordings.append(watch_clip(watched, names[i], truth))
        detector = watched.detector.name
        runner = watched.runner
        about = {"path": str(runner.path), "spec": runner.spec.digest, "model": runner.model.get("name"),
                 "trained on": runner.provenance.get("dataset")}  # fmt: skip
    _check_known(recordings, settings.truth)
    peak = peak_mb()
    presets = {each: PRESETS[each] for each in settings.presets}
    curves = _curves(recordings, settings) if settings.sweep else {}
    return Model(name, about, recordings, found_by(recordings, presets), curves, peak), detector


def _curves(recordings: "Sequence[Recording]", settings: LiveEvaluateConfig) -> "dict[str, list[Point]]":
    from ferlab.live.strength import curve, scored, ways

    swept = list(ways({name: PRESETS[name] for name in settings.presets}).items())
    return {
        way: curve(how, lambda each: scored(recordings, each, settings.response))
        for way, how in progress("smoothing", swept)
    }


def _check_known(recordings: "Sequence[Recording]", truth: Path | str | None) -> None:
    if not any(moment.known for each in recordings for moment in each.moments):
        where = truth or "their truth"
        raise DataError(f"frames must have a truth, got none that {where} knows; check its frame numbers or times")


def tuned(model: "Model", settings: LiveEvaluateConfig, file: Path, screen: Screen) -> None:
    """Seek a smoothing for a model's answers, write it and say what it is worth."""
    from ferlab.live.scoring import measures_of
    from ferlab.live.tune import tune, write_preset

    window = settings.response
    found = tune(model.recordings, window, settings.flicker, settings.trials, watch=partial(progress, "tuning"))
    write_preset(found, settings.flicker, file)
    how, shown = found.smoothing, measures_of(window)
    times = f"{how.filter} over {how.window:.2f} s, streak {how.streak:.2f} s, strong {how.strong:.2f}"
    screen.say(f"tuned   {times}: preset={file}")
    for where, scores in (("on the clips on which it was sought", found.sought), ("on the others", found.others)):
        if scores is not None:
            said = (f"{shown[key].name} {shown[key].shown(getattr(scores, key))}"
                    for key in ("spurious", "response_p50", "response_mean", "accuracy"))  # fmt: skip
            screen.say(f"        {where}: {', '.join(said)}")
    if found.others is None:
        screen.say("        there is no other clip to say what it is worth elsewhere")


def preset_file(folder: Path, model: "Model", models: "Sequence[Model]") -> Path:
    """Where a model's preset goes: beside the report's folder, numbered if there are several."""
    number = f"_{models.index(model)}" if len(models) > 1 else ""
    return folder.with_name(f"{folder.name}_preset{number}.json")


def find_models(bundle: Any) -> list[Path]:
    """The bundles and exported files that `bundle` names, in its order; of a glob those that are one, sorted.

    Raises:
        ConfigError: it is something else, or names too many.
        BundleError: nothing is there.
    """
    patterns = [bundle] if isinstance(bundle, str) else bundle
    if not isinstance(patterns, list) or not patterns or not all(isinstance(each, str) and each for each in patterns):
        raise ConfigError(f"bundle must be a folder, a file or a glob, one or a list of them, got {bundle}")
    found: list[Path] = []
    for pattern in patterns:
        if not has_magic(pattern) or Path(pattern).exists():
            found.append(located(pattern))
            continue
        matches = [Path(each) for each in sorted(glob(str(Path(pattern).expanduser()), recursive=True))]
        kept = [each for each in matches if holds_bundle(each) or (each.is_file() and each.suffix in RUNTIMES)]
        if not kept:
            raise BundleError(
                f"bundle must be bundles, runs or exported files, got none at '{pattern}'; check the path"
            )
        found += kept
    if len(found) > MOST_MODELS:
        raise ConfigError(f"bundle must name at most {MOST_MODELS} models, got {len(found)}; narrow the glob")
    return list(dict.fromkeys(found))


def find_clips(named: str) -> list[Path]:
    """The videos of a folder, a glob, or one; DataError if there is none."""
    path = Path(named).expanduser()
    found = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else sorted(map(Path, glob(str(path))))
    videos = [each for each in found if is_video(each) and each.is_file()]
    if not videos:
        raise DataError(f"clips must be videos with their truth, got none at {named}; ferlab live make-clip makes some")
    return videos


def origin(clips: Sequence[Path]) -> dict[str, Any]:
    """What clips of `ferlab live make-clip` are made of; empty for others, or of several folders."""
    folders = {clip.parent for clip in clips}
    record = folders.pop() / RECORD
    if folders or not record.exists():
        return {}
    try:
        found = read_json(record)
        settings = found["settings"]
        known = {key: str(found[key]) for key in ("dataset", "data_digest", "split", "protocol", "licence")}
        return {**known, "seed": int(settings["seed"]), "held": float(settings["held"]), "people": settings["people"],
                "lasts": settings["lasts"], "labels": found["labels"]}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{record} must be of ferlab live make-clip, got another: {error}; remove it") from error


def _name(path: Path) -> str:
    """Of a model in tables: its name in the box, the run's folder, or the file."""
    if (name := named(path)) is not None:
        return name
    full = path.absolute()
    parent = full.parent if full.name in ("bundle", "exports") else full
    return f"{full.parent.parent.name}/{full.name}" if full.parent.name == "exports" else parent.name


def unique(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """The names, with the path in the place of those that occur twice."""
    return [str(path) if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]


def show(evaluation: "Evaluation", document: dict[str, Any], screen: Screen) -> None:
    """Print the scores, what was found and how fast, and the ways at equal flicker."""
    from ferlab.live.scoring import measures_of

    columns = [(model, way, scores) for model in evaluation.models
               for way, scores in model.scores(evaluation.window).items()]  # fmt: skip
    several = len(evaluation.models) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("measure", no_wrap=True)
    for model, way, _ in columns:
        table.add_column(f"{model.name}: {way}" if several else way, justify="right", overflow="fold")
    for name, measure in measures_of(evaluation.window).items():
        unit = f", {measure.unit}" if measure.unit else ""
        table.add_row(f"{measure.name}{unit}", *(measure.shown(getattr(scores, name)) for _, _, scores in columns))
    screen.print(table)
    for model in document["models"]:
        found, took = model["detection"], model["speed"]
        whose = f"{model['name']}: " if several else ""
        recall = "–" if found["recall"] is None else f"{100 * found['recall']:.1f} %"
        screen.say(f"{whose}faces found {recall} of {found['faces']:,}; id switches {found['id_switches']:,}")
        if took["ms"]:
            p50, p95, p99 = (f"{took['ms']['end_to_end'][p]:.1f}" for p in ("p50", "p95", "p99"))
            speed = "" if took["fps"] is None else f"; {took['fps']:.1f} frames/s, {took['cpu_share']:.2f} of one core"
            peak = "" if took["peak_mb"] is None else f"; peak {took['peak_mb']:.0f} MiB"
            screen.say(f"{whose}frame to answer p50 {p50}, p95 {p95}, p99 {p99} ms{speed}; "
                       f"{took['dropped']:,} dropped{peak}")  # fmt: skip
        if model["at_equal_flicker"]:
            ways = "; ".join(_equal(way, each) for way, each in model["at_equal_flicker"].items())
            flicker = evaluation.settings["flicker"]
            screen.say(f"{whose}mean response with at most {flicker:g} spurious switches in 5 s: {ways}")


def _equal(way: str, point: dict[str, Any] | None) -> str:
    if point is None:
        return f"{way} never"
    return f"{way} × {point['factor']:g} {point['scores']['response_mean']:.2f} s"
