"""CSV files as pyarrow takes them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

TAIL = 1 << 16  # bytes


def without_blank_end(file: Path) -> "pa.BufferReader":
    """The file, mapped, less the blank lines at its end, which editors leave; blank lines elsewhere stay errors."""
    import pyarrow as pa

    size = file.stat().st_size
    if not size:  # nothing to map
        return pa.BufferReader(b"")
    with pa.memory_map(str(file)) as mapped:
        whole = mapped.read_buffer(size)
    tail = whole.slice(max(0, size - TAIL)).to_pybytes()
    last = len(tail.rstrip())
    return pa.BufferReader(whole.slice(0, size - len(tail) + (tail.find(b"\n", last) + 1 or last)))
