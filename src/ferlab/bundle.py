"""A bundle: the folder with all that any command needs of a trained model. Nothing in it is ever unpickled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ferlab.errors import BundleError, ConfigError, FerlabError, SpecError, suggest
from ferlab.files import creating_folder, why_unwritable, write_json, write_text
from ferlab.metrics import AFFECT
from ferlab.models import Net, build
from ferlab.spec import Image, ModelSpec

FORMAT = 1  # raise it when spec.json changes so that an older ferlab must not read it
LABEL_MAP_NOTE = "for other programs: what each position of an output means; ferlab itself reads spec.json"


@dataclass(frozen=True)
class Prediction:
    """What the model says of one face.

    Attributes:
        expression: probability of each label, largest first; empty for a model without that head.
        valence, arousal: in [-1, 1], or None for a model without that head.
    """

    expression: dict[str, float]
    valence: float | None = None
    arousal: float | None = None


@dataclass(frozen=True)
class Bundle:
    """A trained network with its specification and where it comes from.

    Attributes:
        spec: what goes in and comes out.
        model: `name` and `options` of the architecture, plain values.
        net: the network, in evaluation mode.
        provenance: dataset (a Source's name), data_digest (its digest), protocol, licence, commit and the like, plain
            values; `ferlab evaluate` compares the first two to tell whether a model was selected on its data.
        path: the folder it was loaded from, or None.
    """

    spec: ModelSpec
    model: Mapping[str, Any]
    net: Net
    provenance: Mapping[str, Any]
    path: Path | None = None

    @torch.inference_mode()
    def logits(self, images: Image) -> dict[str, npt.NDArray[np.float32]]:
        """Run prepared images (n, c, s, s) uint8: "expression" (n, k) logits and "affect" (n, 2), where it has them."""
        device = next(self.net.parameters()).device
        outputs = self.net(torch.from_numpy(np.ascontiguousarray(images)).to(device))
        return {name: value.float().cpu().numpy() for name, value in outputs.items()}

    def answers(self, images: Image) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """As `logits`, but "expression" are probabilities (n, k) at the bundle's temperature."""
        outputs: dict[str, npt.NDArray[np.floating[Any]]] = {**self.logits(images)}
        if "expression" in outputs:
            outputs["expression"] = softmax(outputs["expression"] / self.spec.temperature)
        return outputs

    def predict(self, image: Image) -> Prediction:
        """Answer for one face crop, (h, w, 3) uint8 RGB of any size, cut as `spec.face` says."""
        outputs = self.answers(self.spec.prepare(image)[None])
        expression: dict[str, float] = {}
        if "expression" in outputs:
            shares = outputs["expression"][0]
            expression = {self.spec.expression[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable")}
        if "affect" not in outputs:
            return Prediction(expression)
        return Prediction(expression, *(float(v) for v in outputs["affect"][0]))


def softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    result: npt.NDArray[np.float64] = shifted / shifted.sum(-1, keepdims=True)
    return result


def save_bundle(bundle: Bundle, path: Path, metrics: Mapping[str, Any], card: str) -> None:
    """Write spec.json, label_map.json, weights.safetensors, metrics.json and README.md, the model card, to `path`.

    The folder appears whole or not at all; an older bundle there is replaced.

    Raises:
        BundleError: the disk is full or cannot be written.
    """
    document = {
        "format": FORMAT,
        "spec": bundle.spec.to_dict(),
        "digest": bundle.spec.digest,
        "model": dict(bundle.model),
        "provenance": dict(bundle.provenance),
    }
    weights = {k: v.detach().cpu().contiguous() for k, v in bundle.net.state_dict().items()}
    try:
        with creating_folder(path) as folder:
            save_file(weights, folder / "weights.safetensors", metadata=_seal(bundle.spec, bundle.model))
            write_json(folder / "spec.json", document)
            write_json(folder / "label_map.json", {"format": 1, "note": LABEL_MAP_NOTE} | label_map(bundle.spec))
            write_json(folder / "metrics.json", dict(metrics))
            write_text(folder / "README.md", card)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"cannot write the bundle {path}: {why_unwritable(error)}; free some space") from error


def label_map(spec: ModelSpec) -> dict[str, Any]:
    """What label_map.json says: position -> label of the expression logits, names of the affect answers; None if none.

    Positions are text, as JSON has it.
    """
    return {
        "expression": {str(i): name for i, name in enumerate(spec.expression)} or None,
        "affect": list(AFFECT) if spec.affect else None,
    }


def _seal(spec: ModelSpec, model: Mapping[str, Any]) -> dict[str, str]:
    """What the weights say of the specification and architecture that they were trained with.

    Weights of another model may have the same shapes, under other labels or another stride.
    """
    return {"digest": spec.digest, "model": json.dumps(model, sort_keys=True)}


def load_bundle(path: str | Path, device: str = "cpu") -> Bundle:
    """Load a bundle.

    Args:
        path: the bundle's folder, or the folder of the run that made it.
        device: where the network goes.

    Raises:
        BundleError: missing, damaged, foreign, or its weights do not fit its specification.
    """
    folder = Path(path)
    if not (folder / "spec.json").is_file() and (folder / "bundle" / "spec.json").is_file():
        folder = folder / "bundle"
    document = _read_document(folder / "spec.json")
    try:
        spec = ModelSpec.from_dict(document["spec"])
        if spec.digest != document["digest"]:
            raise SpecError(f"its digest must be {document['digest']}, got {spec.digest}: it was edited")
        net = build(spec, document["model"]["name"], document["model"]["options"])
    except (FerlabError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{folder / 'spec.json'} does not describe a model: {reason}; export it again") from error
    _check_label_map(folder / "label_map.json", spec)
    weights = folder / "weights.safetensors"
    try:
        with safe_open(weights, "pt") as opened:
            seal = opened.metadata() or {}
        net.load_state_dict(load_file(weights))
    except FileNotFoundError as error:
        raise BundleError(f"{folder} must hold weights.safetensors, got none; copy the whole bundle") from error
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{weights} does not hold this model's weights: {reason}; copy the bundle again") from error
    for key, wanted in _seal(spec, document["model"]).items():
        if (got := seal.get(key)) != wanted:
            raise BundleError(f"{weights} must be of {key} {wanted}, as spec.json is, got {got}; copy the whole bundle")
    bad = [name for name, value in net.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise BundleError(f"{weights}: weights must be finite, got NaN or infinity in {bad[0]}; train again")
    return Bundle(spec, document["model"], net.eval().to(device), document.get("provenance", {}), folder)


def _read_document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(f"a bundle must hold spec.json, got none in {file.parent}; give a run's or bundle's folder") \
            from error  # fmt: skip
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} must be JSON: {error}; copy the bundle again") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise BundleError(f"{file} must have format {FORMAT}, got {found}; use the ferlab that wrote it")
    return document


def _check_label_map(file: Path, spec: ModelSpec) -> None:
    """Raise unless label_map.json agrees with the specification, or is absent, as from older versions of ferlab.

    Whoever edits it means to rename labels; other programs would, and ferlab would not.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} must be JSON: {error}; copy the bundle again") from error
    for key, wanted in label_map(spec).items():
        got = found.get(key) if isinstance(found, dict) else found
        if got != wanted:
            said, meant = json.dumps(got), json.dumps(wanted)
            raise BundleError(f"{file}: {key} must be {meant}, as in spec.json, got {said}; copy the whole bundle")


def pick_device(name: str) -> str:
    """The torch device for `name`: "auto" is the first of cuda, mps and cpu that is there.

    Raises:
        ConfigError: no such device, or not on this machine.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, there in present.items() if there)
    kind, _, index = name.partition(":")
    if kind not in present or (index and not index.isdecimal()):
        raise ConfigError(f"unknown device '{name}'; {suggest(kind, ['auto', *present])}")
    if not present[kind] or (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"device must be one of this machine, got '{name}', which is not here; use device=auto")
    return name
