"""What goes into an exported file, what is inside it already, and what comes out, for programs and for people.

Beside the files of an export: spec.json with an entry a file, label_map.json, labels.txt, and README.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferlab.documents import document, label_map_document, read_document
from ferlab.files import write_json, write_text
from ferlab.formats import FORMATS, RUNTIMES
from ferlab.formats.seal import GRAPHS, LAYOUTS, Seal
from ferlab.labels import AFFECT
from ferlab.spec import ModelSpec

LABELS = "labels.txt"
WRITTEN = ("spec.json", "label_map.json", LABELS, "README.md")  # beside exported files
CHANNELS = {"gray": ("gray",), "rgb": ("red", "green", "blue")}
_COLOUR = {
    "gray": "Make it grey, 0.299 R + 0.587 G + 0.114 B.",
    "rgb": "Its channels are red, green and blue, in this order; OpenCV reads them the other way round.",
}
_RESIZING = {
    "area": "by averaging areas where it shrinks (OpenCV's INTER_AREA), bilinearly where it grows",
    "linear": "bilinearly (OpenCV's INTER_LINEAR)",
    "cubic": "bicubically (OpenCV's INTER_CUBIC)",
}


def interface(seal: Seal) -> dict[str, Any]:
    """What spec.json says of a file with this seal.

    Returns:
        Plain values. `inputs` and `outputs` are in the file's order; "batch" in a shape is any number of faces.
        `inside` is what the graph does itself; a temperature of None is for others to divide by, see `spec`.
    """
    spec, format_ = seal.spec, FORMATS[seal.kind]
    n: int | str = 1 if RUNTIMES[Path(format_.file).suffix].looped else "batch"
    c, s = spec.channels, spec.size
    images = {
        "name": "images",
        "dtype": "uint8",
        "shape": [n, s, s, c] if seal.layout == "nhwc" else [n, c, s, s],
        "layout": seal.layout,
        "range": [0, 255],
        "channels": list(CHANNELS[spec.colour]),
    }
    sure = seal.graph == "probabilities"
    known: dict[str, dict[str, Any]] = {
        "expression": {"gives": seal.graph, "range": [0, 1] if sure else None, "labels": list(spec.expression)},
        "affect": {"gives": "values", "range": [-1, 1], "labels": list(AFFECT)},
    }
    outputs = [
        {"name": head, "dtype": "float32", "shape": [n, width], **known[head]} for head, width in spec.widths.items()
    ]
    ends = sure and "expression" in spec.heads
    inside = {
        "normalisation": {"scale": 1 / 255, "mean": list(spec.mean), "std": list(spec.std)},
        "temperature": spec.temperature if ends else None,
        "softmax": ends,
    }
    return {
        "format": seal.kind, "graph": seal.graph, "layout": seal.layout,
        "inputs": [images], "inside": inside, "outputs": outputs,
    }  # fmt: skip


def labels_text(spec: ModelSpec) -> str:
    """What labels.txt says: a label a line, in the order of the expression output."""
    return "".join(f"{label}\n" for label in spec.expression)


def write_beside(folder: Path, file: str, seal: Seal) -> None:
    """Write WRITTEN for `file`, which is about to appear in `folder`, and the files that are there; OSError."""
    seals = {**_present(folder, seal), file: seal}
    files = {name: interface(seals[name]) for name in sorted(seals)}
    write_json(folder / "spec.json", document(seal.spec, seal.model, seal.provenance) | {"files": files})
    write_json(folder / "label_map.json", label_map_document(seal.spec))
    if seal.spec.expression:
        write_text(folder / LABELS, labels_text(seal.spec))
    write_text(folder / "README.md", readme(seals))


def _present(folder: Path, seal: Seal) -> dict[str, Seal]:
    """The files of the same model that are in the folder, by what its spec.json says of them."""
    path = folder / "spec.json"
    files = read_document(path).get("files") if path.exists() else None
    found = {}
    for kind, chosen in FORMATS.items():
        said = files.get(chosen.file) if isinstance(files, dict) else None
        if not isinstance(said, dict) or not (folder / chosen.file).is_file():
            continue
        graph, layout = said.get("graph"), said.get("layout")
        if said.get("format") == kind and graph in GRAPHS and layout in LAYOUTS:
            found[chosen.file] = Seal(kind, graph, seal.spec, seal.model, seal.provenance, layout)
    return found


def readme(seals: Mapping[str, Seal]) -> str:
    """README.md for the files of one model, by name."""
    spec = next(iter(seals.values())).spec
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
    margin = f" with {spec.face.margin:g} of its side added on each side" if spec.face.margin else ""
    turned = ", turned so that the eyes are level" if spec.face.aligned else ""
    rows = "\n".join(_row(name, interface(seal)) for name, seal in sorted(seals.items()))
    return f"""# Exported files

Specification {spec.digest}. spec.json has all of this for programs.

## What goes in

One input, `images`: the pixels of a face crop, uint8 from 0 to 255, {spec.size} by {spec.size}. Do not normalise them.

1. Cut the face out: a square around its box{margin}{turned}.
2. {_COLOUR[spec.colour]}
3. Resize it to {spec.size} by {spec.size}, {_RESIZING[spec.interpolation]}.

## What is inside already

Normalisation, (x / 255 − mean) / std with mean {mean} and std {std}.{_ends(seals)}

## What comes out

{_outputs(spec)}

## Files

| file | format | `images` | answers |
|---|---|---|---|
{rows}

A batch of faces is the first dimension, where it is not 1. Outputs have names, so go by them and not by their order;
PyTorch's two formats have none, take `images` as their only argument, and answer a tuple, expression before affect.
"""


def _ends(seals: Mapping[str, Seal]) -> str:
    spec = next(iter(seals.values())).spec
    if not spec.expression:
        return ""
    graphs = {seal.graph for seal in seals.values()}
    done = f"temperature {spec.temperature:g} and softmax."
    left = f"\nNot so in files that give logits: probabilities are softmax(logits / {spec.temperature:g})."
    if graphs == {"probabilities"}:
        return f" {done.capitalize()}"
    return f"\nIn files that give probabilities, {done}" * ("probabilities" in graphs) + left


def _outputs(spec: ModelSpec) -> str:
    said = []
    if spec.affect:
        said.append(f"- `affect`: float32 from -1 to 1, 2 numbers a face: {AFFECT[0]}, {AFFECT[1]}.")
    if spec.expression:
        said.append(
            f"- `expression`: float32, {len(spec.expression)} numbers a face, in the order of {LABELS}:\n\n```text"
        )
        said += [f"{place} {name}" for place, name in enumerate(spec.expression)]  # a block in which text stays text
        said.append("```")
    return "\n".join(said)


def _row(name: str, said: Mapping[str, Any]) -> str:
    (images,) = said["inputs"]
    shape = "×".join(map(str, images["shape"]))
    answers = ", ".join(f"{each['name']} {each['gives']}" for each in said["outputs"])
    summary = FORMATS[said["format"]].summary
    return f"| {name} | {summary} | {shape} ({images['layout'].upper()}) | {answers} |"
