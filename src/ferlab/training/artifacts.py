"""What a training run leaves: the bundle of its best epoch, and what MLflow gets at the end."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ferlab.bundle import Bundle, load_bundle, save_bundle
from ferlab.data.hashes import face_hashes
from ferlab.data.source import Source
from ferlab.evaluation import plots
from ferlab.evaluation.calibration import fit_temperature
from ferlab.evaluation.drift import Spread
from ferlab.evaluation.predictions import Predictions
from ferlab.files import replacing
from ferlab.metrics import confusion_counts
from ferlab.past import Past
from ferlab.spec import ModelSpec
from ferlab.training.card import model_card
from ferlab.training.config import ModelConfig
from ferlab.training.fit import Epoch, Fit
from ferlab.training.folder import RunFolder
from ferlab.training.tracking import Tracker


def write_bundle(
    run: Fit, epoch: Epoch, folder: RunFolder, record: Mapping[str, Any], spec: ModelSpec, model: ModelConfig
) -> None:
    """Write the bundle of this epoch over the one before, with the temperature that calibrates it on validation and
    how its answers spread there, and beside it what the network answered.
    """
    predictions = validation_predictions(run, epoch)
    calibrated, metrics = spec, {"split": "validation", "epoch": epoch.number} | epoch.metrics
    reference = None
    if spec.expression:
        labelled = predictions.take(predictions.labelled)
        logits, k = labelled.pooled_logits(), len(spec.expression)
        predictions = replace(predictions, temperature=fit_temperature(logits, labelled.labels))
        calibrated = replace(spec, temperature=predictions.temperature)
        reference = Spread.of(predictions.probabilities()).plain()
        metrics |= {"confusion": confusion_counts(labelled.labels, logits.argmax(1), k).tolist()}
    architecture = {"name": model.name, "options": model.options}
    selected = f"best validation {run.monitor}, epoch {epoch.number} of at most {run.options.epochs}"
    provenance = {k: v for k, v in record.items() if k not in ("mapping", "mlflow_run")} | {"selected": selected}
    provenance |= {"reference": reference}
    card = model_card(folder.path.name, calibrated, architecture, provenance, epoch.metrics)
    past = Past.read(folder.past)
    save_bundle(
        Bundle(calibrated, architecture, run.state.answering, provenance, past=past), folder.bundle, metrics, card
    )
    predictions.save(folder.predictions)


def validation_predictions(run: Fit, epoch: Epoch) -> Predictions:
    """What the network answered for the validation split, in training's precision, one plain view a face."""
    truth, answers = run.truth, epoch.answers
    views = {head: values[:, None].astype(np.float32) for head, values in answers.items()}
    return Predictions(
        faces=face_hashes(truth),
        rows=np.arange(len(truth)),
        names=run.labels,
        labels=truth.labels,
        target=np.full((len(truth), 2), np.nan, np.float32) if truth.affect is None else truth.affect,
        logits=views.get("expression"),
        affect=views.get("affect"),
        slices=truth.slices,
    )


def log_artifacts(tracker: Tracker, folder: RunFolder, run: Fit, source: Source) -> None:
    """Draw the curves and the best epoch's confusion matrix, and send them, the run's files and the bundle."""
    if not run.state.fabric.is_global_zero:
        return
    bundle = load_bundle(folder.bundle)
    metrics = json.loads((folder.bundle / "metrics.json").read_text(encoding="utf-8"))
    pictures = {"curves": plots.curves(folder.rows(run.state.position.epoch))}
    if "confusion" in metrics:
        pictures["confusion"] = plots.confusion_matrix(np.array(metrics["confusion"]), bundle.spec.expression)
    for name, figure in pictures.items():
        with replacing(folder.path / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=120)
    files = [folder.path / f"{name}.png" for name in pictures]
    tracker.log_files([*files, folder.config, folder.record, folder.metrics])
    validation = source.split("validation")
    faces = np.stack([bundle.spec.prepare(validation.read(i)) for i in range(min(2, len(validation)))])
    tracker.log_model(folder.bundle, faces, bundle.answers(faces))
