"""`ferlab verify`: whether exported files still answer like their bundle, here and on these faces."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlab import config
from ferlab.box import located
from ferlab.catalogue import choice
from ferlab.commands.exports import check_origin, compared, files_in, parity_table, with_dataset
from ferlab.errors import BundleError, ConfigError, ExportError
from ferlab.screen import Screen, progress, working

if TYPE_CHECKING:
    from ferlab.bundle import Bundle
    from ferlab.cli import Invocation
    from ferlab.data.source import Source


@dataclass
class VerifyConfig:
    """Keys of conf/verify.yaml, which explains them."""

    file: str = config.MISSING
    data: dict[str, Any] = field(default_factory=dict)
    bundle: str | None = None
    split: str = choice("validation", "ferlab.data.source:SPLITS")
    faces: int = 2048
    threads: int = 1


def verify(invocation: "Invocation") -> int:
    """Compare exported files with their bundle; the exit code is 1 if one of them does not answer like it."""
    overrides = with_dataset(invocation, "file", VerifyConfig)
    settings = config.typed(config.compose(invocation.command.config, overrides), VerifyConfig)
    paths = check(settings)

    from ferlab.evaluation.parity import answer_all, draw
    from ferlab.formats import read

    files = [read(path, settings.threads) for path in paths]
    bundle = bundle_of(paths[0], settings.bundle)
    for file in files:
        check_origin(file, bundle)
    source: Source = config.instantiate(settings.data)
    sample = draw(bundle, source, settings.split, settings.faces)
    protocol = source.protocol_of(source.split(settings.split).name)
    screen = Screen()
    screen.say(f"{len(sample.images):,} {settings.split} faces of {protocol}")
    with working("asking the bundle"):
        reference = answer_all(bundle, sample.images)
    rows: list[dict[str, Any]] = []
    for path, file in progress("verifying", list(zip(paths, files, strict=True))):
        parity, faults = compared(file, reference, sample)
        row: dict[str, Any] = {
            "file": path.name,
            "bytes": path.stat().st_size,
            "parity": parity.to_dict(),
            "faults": faults,
        }
        rows.append(row | {"verdict": "differs" if faults else "verified"})
    screen.print(parity_table(rows))
    found = [f"{row['file']}: {fault}" for row in rows for fault in row["faults"]]
    if found:
        screen.say(*found)
    return int(bool(found))


def check(settings: VerifyConfig) -> list[Path]:
    """The files to verify, once everything that can be checked beforehand is."""
    from ferlab.evaluation.parity import FEWEST

    for key, least in (("faces", FEWEST), ("threads", 1)):
        if getattr(settings, key) < least:
            raise ConfigError(f"{key} must be at least {least}, got {getattr(settings, key)}")
    path = located(settings.file)
    if path.is_dir() and not files_in(path):
        raise ExportError(f"file must be an exported file or a folder of such, got none in {path}; run ferlab export")
    return files_in(path) or [path]


def bundle_of(file: Path, chosen: str | None) -> "Bundle":
    """The chosen bundle, or that in or beside the folder of the file; BundleError if there is none."""
    from ferlab.bundle import load_bundle

    folder = file.absolute().parent
    beside = folder if (folder / "weights.safetensors").exists() else folder.parent / "bundle"
    if chosen is None and not beside.is_dir():
        raise BundleError(
            f"{file} must be compared with its bundle, got none at {beside}; set bundle=…, or score the file alone by "
            f"ferlab evaluate bundle={file}"
        )
    return load_bundle(chosen or beside)
