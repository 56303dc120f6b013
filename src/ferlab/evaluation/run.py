"""A whole evaluation, from a bundle and a dataset to a report: what `ferlab evaluate` and Python users call."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ferlab import config
from ferlab.data.source import Source
from ferlab.errors import ConfigError, suggest
from ferlab.evaluation.camera import score_camera
from ferlab.evaluation.predictions import Watch, predict
from ferlab.evaluation.predictions import unseen as only_unseen
from ferlab.evaluation.report import Report, score
from ferlab.evaluation.settings import Settings
from ferlab.formats import open_model
from ferlab.runner import Runner


def dataset(name: str, **keys: Any) -> Source:
    """Open a dataset, as `data=name data.key=value …` does: `ferlab.dataset("fer2013", root="faces/fer2013")`.

    Args:
        name: a file under conf/data.
        keys: what is in that file, with other values.

    Returns:
        Its labels and splits; `dataset(…).split("validation").read(0)` is a face, (h, w, 3) uint8 RGB.

    Raises:
        ConfigError: no such dataset or key.
        DataError, LabelError: it is not there, or not what it should be.
    """
    node = config.plain(config.compose("data", [f"data={name}"]))["data"]
    for key in keys:
        if key not in node:
            raise ConfigError(f"unknown key '{key}' of data={name}; {suggest(key, [k for k in node if k[0] != '_'])}")
    found: Source = config.instantiate(node | keys)
    return found


def evaluate(
    bundle: Runner | str | Path,
    data: Source | str,
    split: str = "validation",
    tta: str = "plain",
    unseen: bool = False,
    bootstrap: int = 2000,
    seed: int = 0,
    batch_size: int = 256,
    watch: Watch = iter,
    camera: bool = False,
) -> Report:
    """Score a model on a split of a dataset, as `ferlab evaluate` does; nothing is written.

    Args:
        bundle: what `ferlab.load` gave, or its path, to be loaded onto the best device.
        data: what `ferlab.dataset` gave, a run's `source`, or a dataset's name.
        split: which part; read the test split once.
        tta: "plain", "flip" or "ten_crop".
        unseen: leave out the faces that the model, or a parent of it, was trained or selected on.
        bootstrap: resamples for the 95 % intervals.
        seed: of the bootstrap, the random baseline and the folds of the cross-fitting.
        batch_size: faces at a time.
        watch: wraps the sequence of batches, for a progress bar, such as `tqdm.auto.tqdm`.
        camera: score the expressions in poor light, out of focus, from afar and the like too, in `report.camera`.

    Returns:
        The report: `scores`, `confusion`, `predictions`, and `write(folder)` for the page.

    Raises:
        FerlabError: as the command would say it.
    """
    settings = Settings(split=split, tta=tta, unseen=unseen, bootstrap=bootstrap, seed=seed, batch_size=batch_size)
    model = bundle if isinstance(bundle, Runner) else open_model(bundle, "auto")
    source = data if isinstance(data, Source) else dataset(data)
    answers = predict(model, source, split, tta, batch_size, watch)
    kept = only_unseen(answers, [model]) if unseen else answers
    report = score(kept, model, source, settings, left_out=len(answers) - len(kept))
    if not camera:
        return report
    labelled = kept.take(kept.labelled)
    if not len(labelled):
        raise ConfigError("camera=true scores expressions, got a model or faces without them; leave it out")
    return replace(report, camera=score_camera(labelled, model, report.faces, batch_size))
