"""Which faces a run's model will have seen when it is done: its own, and those of what it starts and learns from."""

from pathlib import Path

from ferlab.bundle import past_of
from ferlab.data.hashes import face_hashes
from ferlab.data.source import Source
from ferlab.documents import read_document
from ferlab.past import UNKNOWN, Past
from ferlab.training.fit import Fit
from ferlab.training.folder import RunFolder


def past_of_run(run: Fit, source: Source, sampler: str, resumed: RunFolder | None) -> Past:
    """The past of the bundle that this run writes.

    Args:
        run: knows the start weights and the teacher.
        source: its train and validation splits are what the run itself sees.
        sampler: of the training split.
        resumed: the run's folder if it goes on: what it saw before, the start weights' past included, lies there.

    Raises:
        BundleError: the past of a parent is damaged.
    """
    train = source.split("train")
    trained = face_hashes(train)
    if sampler == "weighted":
        trained = trained[train.labels >= 0]  # it never draws the others
    past = Past.of(trained, face_hashes(source.split("validation")))
    if resumed is not None:
        past |= Past.read(resumed.past) if resumed.past.exists() else UNKNOWN
    if (weights := run.state.weights) is not None:
        past |= _past_of_weights(weights.path) or UNKNOWN
    if run.teacher is not None:
        past |= run.teacher.bundle.past or UNKNOWN
    return past


def _past_of_weights(path: str) -> Past | None:
    """The past of the bundle that a weights file lies in; None for a bare file and for what timm publishes."""
    folder = Path(path).parent
    if Path(path).name != "weights.safetensors" or not (folder / "spec.json").is_file():
        return None
    return past_of(folder, read_document(folder / "spec.json"))
