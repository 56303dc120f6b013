"""What an exported file says of itself: the whole specification, where it comes from, and a digest of its content.

The digest finds damage and edits made without ferlab. It is no signature: whoever forges a file can forge it too, so
readers must not execute what a file holds, whatever its seal says.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ferlab.documents import FORMAT, document, spec_of
from ferlab.errors import ExportError, FerlabError
from ferlab.files import TEXT, read_bytes
from ferlab.formats import LARGEST
from ferlab.spec import ModelSpec

Graph = Literal["probabilities", "logits"]
GRAPHS: tuple[Graph, ...] = ("probabilities", "logits")
Layout = Literal["nchw", "nhwc"]
LAYOUTS: tuple[Layout, ...] = ("nchw", "nhwc")
ENTRY = "ferlab.json"  # the seal's name in formats that are zip archives, or end with one


@dataclass(frozen=True)
class Seal:
    """What stands inside every exported file.

    Attributes:
        kind: a key of `ferlab.formats.FORMATS`.
        graph: whether the expression output holds probabilities, at the specification's temperature, or logits.
        spec, model, provenance: those of the bundle.
        layout: of the images that the graph takes.
    """

    kind: str
    graph: Graph
    spec: ModelSpec
    model: Mapping[str, Any]
    provenance: Mapping[str, Any]
    layout: Layout = "nchw"

    def text(self, content: str) -> str:
        """The seal as JSON, over content of this digest."""
        said = document(self.spec, self.model, self.provenance)
        said |= {"kind": self.kind, "graph": self.graph, "layout": self.layout}
        said = json.loads(json.dumps(said, allow_nan=False))  # as a reader will see it
        return json.dumps(said | {"content": content, "sealed": _over(said, content)})


def parse(text: str | bytes, content: str, path: Path) -> Seal:
    """The seal that `text` holds; ExportError unless it is whole and made for content of this digest."""
    if len(text) > TEXT:
        raise ExportError(f"{path} must say at most {TEXT:,} bytes of itself, got {len(text):,}; export it again")
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ExportError(
                f"{path} must have format {FORMAT}, got {found['format']!r}; use the ferlab that wrote it"
            )
        layout = found["layout"]
        seal = Seal(found["kind"], found["graph"], spec_of(found), found["model"], found["provenance"], layout)
        stated = {"inside": found.pop("content"), "said of it": found.pop("sealed")}
        if seal.graph not in GRAPHS or not isinstance(seal.kind, str):
            raise ExportError(f"{path} must say what its graph gives, got {seal.graph!r}; export it again")
        if seal.layout not in LAYOUTS:
            raise ExportError(f"{path} must take images in one of {LAYOUTS}, got {layout!r}; export it again")
        if not isinstance(seal.model, dict) or not isinstance(seal.provenance, dict):
            raise ExportError(f"{path} must name its model and provenance by key, got other values; export it again")
        actual = {"inside": content, "said of it": _over(found, content)}
    except ExportError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, FerlabError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        raise ExportError(f"{path} does not describe its model: {reason}; export it again") from error
    for key, got in actual.items():
        if stated[key] != got:
            raise ExportError(
                f"{path} is damaged or was changed: its digest of what is {key} must be {str(stated[key])[:16]!a}, "
                f"got {got[:16]}; copy or export it again"
            )
    return seal


def _over(said: Mapping[str, Any], content: str) -> str:
    """Digest over the seal itself and the content's digest: a label or the kind of graph edited alone shows, too."""
    return digest(json.dumps(said, sort_keys=True).encode(), content.encode())


def digest(*parts: bytes) -> str:
    """SHA-256 over `parts`, as 64 hexadecimal digits."""
    result = hashlib.sha256()
    for part in parts:
        result.update(part)
    return result.hexdigest()


def seal_archive(path: Path, seal: Seal, parts: Mapping[str, str] | None = None) -> None:
    """Append `parts` and the seal to the zip archive `path`, or to a file that is none, which then ends with one."""
    prefix = b"" if zipfile.is_zipfile(path) else path.read_bytes()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        for name, text in (parts or {}).items():
            archive.writestr(name, text)
        content = _content({name: archive.read(name) for name in archive.namelist()}, prefix)
        archive.writestr(_entry(archive), seal.text(content))


@dataclass(frozen=True)
class Unsealed:
    """A file that `seal_archive` sealed, read once, so that what was verified is what a runtime gets.

    Attributes:
        seal: what it says of itself.
        prefix: what stands before the archive that a foreign file ends with; empty in an archive.
        parts: the archive's parts but the seal, by name.
    """

    seal: Seal
    prefix: bytes
    parts: Mapping[str, bytes]


def unseal_archive(path: Path, prefixed: bool) -> Unsealed:
    """Read a file that `seal_archive` sealed and verify its content. Nothing in it is unpacked to disk.

    Args:
        path: the file.
        prefixed: whether it is a foreign file that ends with an archive, rather than an archive.

    Raises:
        ExportError: no archive, no seal, compressed entries, or content that was changed.
    """
    try:
        data = read_bytes(path, LARGEST)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_stored(archive, len(data), path)
            sealed = _entry(archive)
            if sealed not in archive.namelist():
                raise unsealed(path)
            start = min(entry.header_offset for entry in archive.infolist()) if prefixed else 0
            parts = {name: archive.read(name) for name in archive.namelist()}
    except OSError as error:
        raise ExportError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError) as error:  # no archive, or damaged, or encrypted
        raise unsealed(path) from error
    seal, prefix = parts.pop(sealed), data[:start]
    return Unsealed(parse(seal, _content(parts, prefix), path), prefix, parts)


def _check_stored(archive: zipfile.ZipFile, size: int, path: Path) -> None:
    """Raise an ExportError unless an archive in a file of `size` bytes holds what it claims, once and uncompressed."""
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ExportError(f"{path} must hold its parts uncompressed, as ferlab writes them; export it again")
    if len({entry.filename for entry in entries}) < len(entries):
        raise ExportError(f"{path} must hold each part once, got one twice; export it again")
    if sum(entry.file_size for entry in entries) > size:
        raise ExportError(f"{path} must hold the bytes that its parts claim, got fewer; copy or export it again")


def unsealed(path: Path) -> ExportError:
    """The error for a file without a seal."""
    return ExportError(f"{path} must be a whole file that ferlab exported, got none of its seal; export it again")


def _entry(archive: zipfile.ZipFile) -> str:
    """The seal's name: PyTorch's archives keep everything in one folder, with extra files in `extra/`."""
    names = archive.namelist()
    top = names[0].split("/")[0] if names and "/" in names[0] else ""
    return f"{top}/extra/{ENTRY}" if top else ENTRY


def _content(parts: Mapping[str, bytes], prefix: bytes) -> str:
    """Digest over the prefix and every part of an archive but the seal, with names and lengths."""
    pieces = [f"{len(prefix)}\n".encode(), prefix]
    for name, data in sorted(parts.items()):
        pieces += [f"{name} {len(data)}\n".encode(), data]
    return digest(*pieces)
