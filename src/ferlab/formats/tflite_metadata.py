"""TFLite's own metadata, which Android Studio, MediaPipe and Netron read: what the images are, and the labels' file.

The schema is tflite-support's metadata_schema.fbs, whose package cannot be installed beside the others; what is needed
of it are a few tables of few fields.
"""

from typing import Any

import numpy as np

from ferlab.formats.interface import LABELS, interface
from ferlab.formats.seal import Seal

NAME = b"TFLITE_METADATA"
IDENTIFIER, PARSER = b"M001", "1.0.0"  # of the schema, and the oldest version of it that has these fields
FEATURE, IMAGE = np.uint8(1), np.uint8(2)  # ContentProperties
COLOURS = {"gray": np.int8(2), "rgb": np.int8(1)}  # ColorSpaceType
AXIS_LABELS = np.int8(2)  # AssociatedFileType


def described(content: bytes, seal: Seal) -> bytes:
    """The flatbuffer of a model with one signature, with its metadata in it; labels.txt is put behind it elsewhere."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray, read_model_from_bytearray

    model: Any = read_model_from_bytearray(content)
    places = {each.tensorIndex: each.name.decode() for each in model.signatureDefs[0].outputs}
    order = [places[index] for index in model.subgraphs[0].outputs]
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(metadata(seal, order), np.uint8)
    entry.name, entry.buffer = NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(convert_object_to_bytearray(model))


def metadata(seal: Seal, order: list[str]) -> bytes:
    """A ModelMetadata: of a seal, with the outputs in the graph's order."""
    import flatbuffers

    spec, said = seal.spec, interface(seal)
    (images,), outputs = said["inputs"], {each["name"]: each for each in said["outputs"]}
    size = np.uint32(spec.size)
    content = (IMAGE, (COLOURS[spec.colour], (size, size)))
    taken = _tensor("images", "A face crop, not normalised.", content, images["range"])
    given = [_output(outputs[head]) for head in order]
    graph = (None, None, [taken], given)
    about = f"Facial expressions; specification {spec.digest}. Normalisation is inside."
    builder = flatbuffers.Builder(1024)
    table = _write(builder, ("ferlab", about, None, [graph], None, None, None, PARSER))
    builder.Finish(table, file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _output(said: dict[str, Any]) -> tuple[Any, ...]:
    labels = ", ".join(said["labels"])
    files = [(LABELS, "A label a line.", AXIS_LABELS)] if said["name"] == "expression" else None
    return _tensor(said["name"], f"{said['gives'].capitalize()} of {labels}.", (FEATURE, ()), said["range"], files)


def _tensor(name: str, about: str, content: tuple[Any, ...], bounds: Any, files: Any = None) -> tuple[Any, ...]:
    """A TensorMetadata."""
    stats = None if bounds is None else ([float(bounds[1])], [float(bounds[0])])
    return (name, about, None, content, None, stats, files)


def _write(builder: Any, value: Any) -> int:
    """Where a string, a list of floats or tables, or a table, the tuple of its fields, comes to lie."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, list) and isinstance(value[0], float):
        return int(builder.CreateNumpyVector(np.array(value, np.float32)))
    if isinstance(value, list):
        offsets = [_write(builder, each) for each in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    scalars = {
        np.int8: builder.PrependInt8Slot,
        np.uint8: builder.PrependUint8Slot,
        np.uint32: builder.PrependUint32Slot,
    }
    written = [each if each is None or type(each) in scalars else _write(builder, each) for each in value]
    builder.StartObject(len(value))
    for slot, each in enumerate(written):
        if each is not None:
            scalars.get(type(each), builder.PrependUOffsetTRelativeSlot)(slot, int(each), 0)
    return int(builder.EndObject())
