"""spec.json and label_map.json: what the folder of a bundle and of its exports says of the model. Needs no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferlab.errors import BundleError, SpecError
from ferlab.files import read_json, read_text, write_json
from ferlab.labels import AFFECT
from ferlab.spec import ModelSpec

FORMAT = 1  # raise it when spec.json changes so that an older ferlab must not read it
# The kind of what is read of a provenance, null aside.
PROVENANCE: dict[str, type] = dict.fromkeys(("dataset", "protocol", "data_digest", "recipe", "commit", "selected"), str)
PROVENANCE |= {"seed": int, "reference": dict}
LABEL_MAP_NOTE = "for other programs: what each position of an output means; ferlab itself reads spec.json"


def write_documents(folder: Path, spec: ModelSpec, model: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
    """Write spec.json and label_map.json to `folder`, each atomically; OSError if that fails."""
    write_json(folder / "spec.json", document(spec, model, provenance))
    write_json(folder / "label_map.json", label_map_document(spec))


def document(spec: ModelSpec, model: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What spec.json says: the specification with its digest, the architecture, and where the model comes from."""
    return {
        "format": FORMAT,
        "spec": spec.to_dict(),
        "digest": spec.digest,
        "model": dict(model),
        "provenance": dict(provenance),
    }


def read_document(file: Path) -> dict[str, Any]:
    """The content of a spec.json; BundleError if it is missing, no JSON, or of another format."""
    try:
        found = read_json(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(f"a bundle must hold spec.json, got none in {file.parent}; give a run's or bundle's folder") \
            from error  # fmt: skip
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} must be JSON: {error}; copy the bundle again") from error
    if found.get("format") != FORMAT:
        raise BundleError(
            f"{file} must have format {FORMAT}, got {found.get('format')!r}; use the ferlab that wrote it"
        )
    return found


def spec_of(document: Mapping[str, Any]) -> ModelSpec:
    """The specification in a document; SpecError or LabelError if it is not whole or was edited."""
    try:
        spec, stated = ModelSpec.from_dict(document["spec"]), document["digest"]
    except KeyError as error:
        raise SpecError(f"no {error} in it") from error
    except (
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:  # a number where a text belongs, and the like
        raise SpecError(f"its specification must be well typed: {error}") from error
    if spec.digest != stated:
        raise SpecError(f"its digest must be {stated}, got {spec.digest}: it was edited")
    provenance = document.get("provenance")
    known = provenance if isinstance(provenance, Mapping) else {}
    for key, kind in PROVENANCE.items():
        if not isinstance(value := known.get(key), kind | None):
            raise SpecError(f"its provenance must have {kind.__name__} as {key}, got {str(value)[:40]!r}")
    return spec


def label_map_document(spec: ModelSpec) -> dict[str, Any]:
    """What label_map.json says, with a note for people."""
    return {"format": 1, "note": LABEL_MAP_NOTE} | label_map(spec)


def label_map(spec: ModelSpec) -> dict[str, Any]:
    """Position -> label of the expression logits, and the names of the affect answers; None if none.

    Positions are text, as JSON has it.
    """
    return {
        "expression": {str(i): name for i, name in enumerate(spec.expression)} or None,
        "affect": list(AFFECT) if spec.affect else None,
    }


def check_label_map(file: Path, spec: ModelSpec) -> None:
    """Raise unless label_map.json agrees with the specification, or is absent, as from older versions of ferlab.

    Whoever edits it means to rename labels; other programs would, and ferlab would not.
    """
    try:
        found = json.loads(read_text(file))
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} must be JSON: {error}; copy the bundle again") from error
    for key, wanted in label_map(spec).items():
        got = found.get(key) if isinstance(found, dict) else found
        if got != wanted:
            said, meant = json.dumps(got), json.dumps(wanted)
            raise BundleError(f"{file}: {key} must be {meant}, as in spec.json, got {said}; copy the whole bundle")
