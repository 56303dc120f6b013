"""A bundle: the folder with all that any command needs of a trained model. Nothing in it is ever unpickled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError

from ferlab.box import located
from ferlab.documents import check_label_map, read_document, spec_of, write_documents
from ferlab.errors import BundleError, ConfigError, FerlabError, suggest
from ferlab.files import check_regular, creating_folder, replacing, why_unwritable, write_json, write_text
from ferlab.models import Net
from ferlab.models.affordable import build_affordable
from ferlab.past import FILE, Past, past_in
from ferlab.runner import Runner, check_finite
from ferlab.spec import Image, ModelSpec
from ferlab.weights import read_weights, write_weights


@dataclass(frozen=True, repr=False)
class Bundle(Runner):
    """A trained network with its specification and where it comes from.

    Attributes:
        spec: what goes in and comes out.
        model: `name` and `options` of the architecture, plain values.
        net: the network, in evaluation mode.
        provenance: dataset (a Source's name), data_digest (its digest), protocol, licence, commit and the like, plain
            values.
        path: the folder it was loaded from, or None.
        past: the faces that it and its parents were trained and selected on; None for bundles older than that.
    """

    spec: ModelSpec
    model: Mapping[str, Any]
    net: Net
    provenance: Mapping[str, Any]
    path: Path | None = None
    past: Past | None = None

    @property
    def parameters(self) -> int:
        """Number of trained weights."""
        return sum(weights.numel() for weights in self.net.parameters())

    @torch.inference_mode()
    def logits(self, images: Image) -> dict[str, npt.NDArray[np.float32]]:
        """See `Runner.logits`."""
        outputs = self.net(self._on_device(images))
        answers = {name: value.float().cpu().numpy() for name, value in outputs.items()}
        check_finite(answers, str(self.path or "the bundle"), BundleError)
        return answers

    @torch.inference_mode()
    def features(self, images: Image) -> npt.NDArray[np.float32]:
        """See `Runner.features`."""
        found: npt.NDArray[np.float32] = self.net.features(self._on_device(images)).float().cpu().numpy()
        check_finite({"features": found}, str(self.path or "the bundle"), BundleError)
        return found

    def _on_device(self, images: Image) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).to(next(self.net.parameters()).device)


def save_bundle(bundle: Bundle, path: Path, metrics: Mapping[str, Any], card: str) -> None:
    """Write spec.json, label_map.json, weights.safetensors, metrics.json, past.bin and README.md, the card, to `path`.

    The folder appears whole or not at all; an older bundle there is replaced.

    Raises:
        BundleError: the disk is full or cannot be written.
    """
    weights = {k: v.detach().cpu().contiguous() for k, v in bundle.net.state_dict().items()}
    provenance = dict(bundle.provenance)
    try:
        with creating_folder(path) as folder:
            with replacing(folder / "weights.safetensors") as file:  # safetensors makes it private
                write_weights(file, weights, _seal(bundle.spec, bundle.model))
            if bundle.past is not None:
                bundle.past.write(folder / FILE)
                provenance["past"] = bundle.past.summary
            write_documents(folder, bundle.spec, bundle.model, provenance)
            write_json(folder / "metrics.json", dict(metrics))
            write_text(folder / "README.md", card)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"cannot write the bundle {path}: {why_unwritable(error)}; free some space") from error


def _seal(spec: ModelSpec, model: Mapping[str, Any]) -> dict[str, str]:
    """What the weights say of the specification and architecture that they were trained with.

    Weights of another model may have the same shapes, under other labels or another stride.
    """
    return {"digest": spec.digest, "model": json.dumps(model, sort_keys=True)}


def load_bundle(path: str | Path, device: str = "cpu") -> Bundle:
    """Load a bundle.

    Args:
        path: the bundle's folder, the folder of the run that made it, or the name of a model in the box.
        device: where the network goes: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best that is there.

    Raises:
        ConfigError: no such device.
        BundleError: missing, damaged, foreign, or its weights do not fit its specification.
    """
    folder, device = located(path), pick_device(device)
    if not (folder / "spec.json").is_file() and (folder / "bundle" / "spec.json").is_file():
        folder = folder / "bundle"
    document, weights = read_document(folder / "spec.json"), folder / "weights.safetensors"
    try:
        check_regular(weights)
    except OSError as error:
        reason = "none" if isinstance(error, FileNotFoundError) else error.strerror
        raise BundleError(f"{folder} must hold weights.safetensors, got {reason}; copy the whole bundle") from error
    try:
        spec = spec_of(document)
        net = build_affordable(spec, document["model"]["name"], document["model"]["options"], weights.stat().st_size)
    except (FerlabError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise BundleError(f"{folder / 'spec.json'} does not describe a model: {reason}; export it again") from error
    check_label_map(folder / "label_map.json", spec)
    try:
        seal, tensors = read_weights(weights)
        net.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{weights} does not hold this model's weights: {reason}; copy the bundle again") from error
    for key, wanted in _seal(spec, document["model"]).items():
        if (got := seal.get(key)) != wanted:
            raise BundleError(f"{weights} must be of {key} {wanted}, as spec.json is, got {got}; copy the whole bundle")
    bad = [name for name, value in net.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise BundleError(f"{weights}: weights must be finite, got NaN or infinity in {bad[0]}; train again")
    past = past_of(folder, document)
    return Bundle(spec, document["model"], net.eval().to(device), document.get("provenance", {}), folder, past)


def past_of(folder: Path, document: Mapping[str, Any]) -> Past | None:
    """The faces that the model in a bundle's folder has seen; None for bundles older than that.

    Args:
        folder: of the bundle.
        document: its spec.json.

    Raises:
        BundleError: the file is missing though the document names it, damaged, or another model's.
    """
    provenance = document.get("provenance", {})
    if not isinstance(provenance, dict):
        raise BundleError(f"{folder / 'spec.json'} must give provenance by key, got {provenance!r:.40}; copy it again")
    past = past_in(folder, provenance)
    if past is None and provenance.get("past") is not None:
        raise BundleError(f"{folder} must hold {FILE}, the faces that it has seen, got none; copy the whole bundle")
    return past


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
