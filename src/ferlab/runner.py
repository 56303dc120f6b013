"""What answers for prepared faces: a bundle, or a file exported from one. Needs no torch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from ferlab.data.inputs import Order, listed, read_face
from ferlab.errors import BundleError, ExportError, FerlabError, printable
from ferlab.files import read_text
from ferlab.spec import Image, ModelSpec

if TYPE_CHECKING:
    import os

    from PIL.Image import Image as Picture

    from ferlab.past import Past

Outputs = dict[str, npt.NDArray[np.floating[Any]]]
BATCH = 64  # faces at a time: twice as fast as one by one on a CPU, and small enough for any memory
SHOWN = 3  # labels of a prediction, where it is printed


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

    @property
    def label(self) -> str | None:
        """The likeliest label; None for a model without expressions."""
        return next(iter(self.expression), None)

    def __repr__(self) -> str:
        said = [f"{name} {share:.3f}" for name, share in list(self.expression.items())[:SHOWN]]
        said += ["…"] * (len(self.expression) > SHOWN)
        affect = {"valence": self.valence, "arousal": self.arousal}
        said += [f"{name} {value:+.2f}" for name, value in affect.items() if value is not None]
        return f"Prediction({', '.join(said)})"


class Runner(ABC):
    """A model that can be asked, whatever computes it.

    Attributes:
        spec: what goes in and comes out.
        model: `name` and `options` of the architecture, plain values.
        provenance: dataset (a Source's name), data_digest (its digest), protocol, licence, commit and the like, plain
            values.
        path: where it was read from, or None.
        past: the faces that it was trained and selected on; None if that is not known.
    """

    spec: ModelSpec
    model: Mapping[str, Any]
    provenance: Mapping[str, Any]
    path: Path | None
    past: "Past | None" = None

    @property
    def parameters(self) -> int | None:
        """Number of weights, where it can be told."""
        return None

    @abstractmethod
    def logits(self, images: Image) -> dict[str, npt.NDArray[np.float32]]:
        """Run prepared images (n, c, s, s) uint8: "expression" (n, k) logits and "affect" (n, 2), where it has them."""

    def answers(self, images: Image) -> Outputs:
        """As `logits`, but "expression" are probabilities (n, k) at the specification's temperature."""
        outputs: Outputs = {**self.logits(images)}
        if "expression" in outputs:
            outputs["expression"] = softmax(outputs["expression"] / self.spec.temperature)
        return outputs

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its expressions, in the order of the probabilities of `answers`; none without that head."""
        return self.spec.expression

    @property
    def card(self) -> str:
        """The README.md that lies beside the weights, in Markdown; BundleError if there is none."""
        folder = self.path if self.path is None or self.path.is_dir() else self.path.parent
        try:
            if folder is None:
                raise BundleError("a bundle must have been saved to have a card, got one without a folder; save it")
            return read_text(folder / "README.md")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "text that is not UTF-8"
            raise BundleError(f"{folder} must hold README.md, got {reason}; copy the whole folder") from error

    @overload
    def predict(self, faces: "str | os.PathLike[str] | Picture", colour: Order = ...) -> Prediction: ...
    @overload
    def predict(self, faces: Sequence[Any], colour: Order = ...) -> list[Prediction]: ...
    @overload
    def predict(self, faces: npt.NDArray[Any], colour: Order = ...) -> Any: ...  # its dimensions are not in its type
    def predict(self, faces: Any, colour: Order = "rgb") -> Prediction | list[Prediction]:
        """Answer for face crops of any size, cut as `spec.face` says.

        Args:
            faces: the path of a picture; a picture of PIL; a uint8 array, (h, w, 3) or, if it is grey, (h, w); several
                of the same size in one array, (n, h, w, 3) or (n, h, w); or a list of such single faces.
            colour: what arrays hold, which their numbers do not tell: "rgb" unless said, "bgr", as cv2.imread gives
                it, or "gray". Files and pictures of PIL say it themselves.

        Returns:
            One Prediction for one face, a list for several. They are answered 64 at a time: the last digits may differ
            from those of a face alone.

        Raises:
            SpecError: not a face, or an array of another shape or type than `colour` says.
            DataError: a file that cannot be read.
            BundleError, ExportError: an answer is not finite.
        """
        given, one = listed(faces, colour)
        found = [each for images in self._batches(given, colour) for each in self._predictions(self.answers(images))]
        return found[0] if one else found

    def embeddings(self, faces: Any, colour: Order = "rgb") -> npt.NDArray[np.float32]:
        """The features from which the heads answer, (n, d) float32, a row a face; (1, d) for a single one.

        Args:
            faces, colour: as in `predict`.

        Raises:
            ExportError: an exported file, which gives answers alone.
            SpecError, DataError, BundleError: as `predict`.
        """
        given, _ = listed(faces, colour)
        found = [self.features(images) for images in self._batches(given, colour)]
        spec = self.spec
        return np.concatenate(found or [self.features(np.zeros((0, spec.channels, spec.size, spec.size), np.uint8))])

    def features(self, images: Image) -> npt.NDArray[np.float32]:
        """The features (n, d) float32 of prepared images (n, c, s, s) uint8; ExportError if only answers can be had."""
        raise ExportError(f"embeddings must come from a bundle, got {self.path}, which gives answers alone; load that")

    def _batches(self, faces: Sequence[Any], colour: str) -> Iterator[Image]:
        """The faces as the model takes them, (n, c, s, s), n at most BATCH."""
        for start in range(0, len(faces), BATCH):
            yield np.stack([self.spec.prepare(read_face(face, colour)) for face in faces[start : start + BATCH]])

    def _predictions(self, outputs: Outputs) -> list[Prediction]:
        names, n = self.spec.expression, len(next(iter(outputs.values())))
        expression: list[dict[str, float]] = [{}] * n
        if "expression" in outputs:
            orders = np.argsort(-outputs["expression"], kind="stable")
            rows = zip(outputs["expression"], orders, strict=True)
            expression = [{names[i]: float(shares[i]) for i in order} for shares, order in rows]
        if "affect" not in outputs:
            return [Prediction(each) for each in expression]
        rated = zip(expression, outputs["affect"].tolist(), strict=True)
        return [Prediction(each, valence, arousal) for each, (valence, arousal) in rated]

    def __repr__(self) -> str:
        weights = f", {self.parameters:,} weights" if self.parameters is not None else ""
        return printable(f"{type(self).__name__}({self.model.get('name')}{weights}; {self.spec.summary}; {self.path})")


def check_finite(outputs: Mapping[str, npt.NDArray[np.floating[Any]]], name: str, kind: type[FerlabError]) -> None:
    """Raise an error of this kind if the model `name` answered NaN or infinity, which no face is a reason for."""
    for head, values in outputs.items():
        bad = len(values) - int(np.isfinite(values).all(-1).sum())
        if bad:
            raise kind(f"{name} must answer finite numbers, got NaN or infinity as {head} of {bad} faces; make it anew")


def softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    result: npt.NDArray[np.float64] = shifted / shifted.sum(-1, keepdims=True)
    return result
