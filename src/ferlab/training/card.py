"""The model card of a bundle (after Mitchell et al. 2019, arXiv:1810.03993)."""

from collections.abc import Mapping
from typing import Any

from ferlab.spec import ModelSpec


def model_card(
    name: str, spec: ModelSpec, model: Mapping[str, Any], provenance: Mapping[str, Any], metrics: Mapping[str, float]
) -> str:
    """Markdown: what the model is, how it was trained and selected, and what it must not be used for.

    Args:
        name: of the run.
        spec, model: as in the bundle.
        provenance: needs dataset, protocol, licence, counts, selected, seed, commit, command.
        metrics: validation metrics of the epoch that was kept.
    """
    counts = ", ".join(f"{n:,} {split}" for split, n in provenance["counts"].items())
    rows = "\n".join(
        f"| {key.removeprefix('validation/')} | {value:.4f} |"
        for key, value in metrics.items()
        if key.startswith("validation/")
    )
    answers, weaknesses = [], []
    if spec.expression:
        answers.append(f"Labels in order: {', '.join(spec.expression)}.")
        weaknesses.append(
            "- Rare classes are recognised far worse than frequent ones: see the table of `ferlab evaluate`."
        )
    if spec.affect:
        answers.append("Valence and arousal, each from -1 to 1.")
        weaknesses.append("- Extreme valence and arousal are answered too mildly: see the plots of `ferlab evaluate`.")
    limits = "\n".join(weaknesses)
    return f"""# {name}

{model["name"]}, {spec.size}×{spec.size} {spec.colour}, {_start(provenance)}. {" ".join(answers)}

## Data
{provenance["protocol"]}. Faces: {counts}; digest {provenance["data_digest"]}.
Terms: {provenance["licence"]}. A model trained on the data may be bound by them.

## Numbers
Measured on the validation split, on which this epoch was selected ({provenance["selected"]}): they are a little
optimistic. Plain, one crop a face; seed {provenance["seed"]}.

| metric | value |
|---|---|
{rows}

## Intended use
Research and demonstration on cropped faces (margin {spec.face.margin}, aligned: {spec.face.aligned}).

## Limits
- Expressions are not feelings: the model answers how people labelled a picture, not what somebody feels.
- Not for decisions about people: hiring, policing, medicine, education, insurance.
- In the EU nobody may infer emotions at work or in education, but for medical or safety reasons (AI Act, Art. 5(1)(f)).
- {_origin(provenance)}.
{limits}

## Repeat
`{provenance["command"]}` at commit {provenance["commit"]}.
"""


def _origin(provenance: Mapping[str, Any]) -> str:
    """How the faces came together."""
    unknown = "How the faces came together is not stated, nor whom they leave out"
    return f"The faces were {provenance['origin']}" if provenance.get("origin") else unknown


def _start(provenance: Mapping[str, Any]) -> str:
    """What the weights began as, and who taught them."""
    weights = provenance.get("weights")
    started = (
        f"fine-tuned from {weights['path']}, which may have terms of its own" if weights else "trained from scratch"
    )
    if teacher := provenance.get("teacher"):
        learnt = teacher["dataset"] or "data that it does not name"
        started += (
            f", distilled from {teacher['path']} ({teacher['model']}, trained on {learnt}, specification "
            f"{teacher['spec_digest']}), which may have terms of its own"
        )
    return started
