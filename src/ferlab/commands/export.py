"""`ferlab export`: write a bundle in other formats, each verified against the bundle before it appears."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlab import config

if TYPE_CHECKING:
    from ferlab.cli import Invocation

MISSING: Any = "???"


@dataclass
class ExportConfig:
    """Keys of conf/export.yaml, which explains them."""

    bundle: str = MISSING
    data: dict[str, Any] = field(default_factory=dict)
    format: Any = field(default_factory=list)
    graph: str = "probabilities"
    faces: int = 2048
    calibration: int = 512
    threads: int = 1
    out: str | None = None


def export(invocation: "Invocation") -> int:
    """Export every format asked for; the exit code is 1 if one of them does not answer like the bundle."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), ExportConfig)
    names = check_settings(settings)

    from ferlab.bundle import load_bundle
    from ferlab.evaluate.checks import sample_faces
    from ferlab.formats.exports import Exports

    bundle = load_bundle(settings.bundle)
    source = config.instantiate(config.data_of(invocation, bundle.provenance))
    sample = sample_faces(bundle, source, "validation", settings.faces)
    exports = Exports.of(bundle, Path(settings.out) if settings.out else None)
