"""An exported file as a `Runner`. Needs no torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.documents import check_label_map, read_document, spec_of
from ferlab.errors import ExportError, FerlabError
from ferlab.formats.seal import Seal
from ferlab.past import past_in
from ferlab.runner import Outputs, Runner, check_finite
from ferlab.spec import Image, ModelSpec

FLOOR = 1e-9  # probabilities below it, which int8 formats round to 0, have no logarithm that could be averaged

Call = Callable[[Image], Mapping[str, npt.NDArray[np.floating[Any]]]]


class Exported(Runner):
    """What a format's `read` returns.

    Attributes:
        seal: what the file says of itself.

    Args:
        path: the file.
        seal: as read from it.
        call: runs prepared images, (n, c, s, s) uint8 for any n: a head's name -> what the graph says, (n, …).

    Raises:
        ExportError: spec.json beside the file describes another model.
        BundleError: label_map.json beside it has other labels, or past.bin is another model's or damaged.
    """

    def __init__(self, path: Path, seal: Seal, call: Call) -> None:
        self.path, self.seal, self._call = path, seal, call
        self.spec, self.model, self.provenance = seal.spec, seal.model, seal.provenance
        beside = path.with_name("spec.json")
        if beside.exists() and (found := _spec_in(beside)) != seal.spec:
            raise ExportError(
                f"{path} must have the specification {seal.spec.digest} that is inside it, got {found.digest} in "
                f"{beside}; keep the files of one export together"
            )
        check_label_map(path.with_name("label_map.json"), seal.spec)
        self.past = past_in(path.parent, seal.provenance)

    def logits(self, images: Image) -> dict[str, npt.NDArray[np.float32]]:
        """See `Runner.logits`; those of a graph that gives probabilities are right but for a constant a face."""
        outputs = {name: np.asarray(values, np.float32) for name, values in self._outputs(images).items()}
        if "expression" in outputs and self.seal.graph == "probabilities":
            logarithms = np.log(np.maximum(outputs["expression"], FLOOR))
            outputs["expression"] = (self.spec.temperature * logarithms).astype(np.float32)
        return outputs

    def answers(self, images: Image) -> Outputs:
        """See `Runner.answers`; probabilities are those of the graph, untouched."""
        if self.seal.graph == "logits":
            return super().answers(images)
        return self._outputs(images)

    def _outputs(self, images: Image) -> Outputs:
        """What the graph says of any images; ExportError if it fails, or if its outputs are not the specification's."""
        try:
            outputs = dict(self._call(images))
        except Exception as error:  # runtimes have exceptions of their own, without a common base
            raise ExportError(f"{self.path} cannot answer: {' '.join(str(error).split())[:200]}; export it again") \
                from error  # fmt: skip
        wanted = {head: (len(images), width) for head, width in self.spec.widths.items()}
        if (got := {head: values.shape for head, values in outputs.items()}) != wanted:
            raise ExportError(f"{self.path} must give {wanted}, got {got}; export it again")
        check_finite(outputs, f"{self.path}", ExportError)
        return outputs


def _spec_in(file: Path) -> ModelSpec:
    """The specification in the spec.json beside an exported file."""
    document = read_document(file)
    try:
        return spec_of(document)
    except FerlabError as error:
        raise ExportError(f"{file} does not describe a model: {' '.join(str(error).split())}; export it again") \
            from error  # fmt: skip
