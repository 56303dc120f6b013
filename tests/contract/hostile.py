"""Opens hundreds of damaged and hostile copies of one exported file: `python hostile.py FILE OTHER…`, in a process of
its own, so that a crash of a runtime shows. Prints, as JSON, how many were refused and read, and every failure.
"""

import io
import json
import pickle
import random
import resource
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from ferlab import formats
from ferlab.errors import BundleError, ExportError, FerlabError
from ferlab.formats import onnx
from ferlab.spec import ModelSpec

NAME = "ferlab.json"


class Runs:
    """Pickled, it writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return Path.touch, (Path(self.marker),)


def parts(data):
    """What stands before the archive that `data` ends with, and the archive's parts; None if it has no archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            start = min(entry.header_offset for entry in archive.infolist())
            return data[:start], {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        return None


def joined(prefix, entries, compression=zipfile.ZIP_STORED):
    file = io.BytesIO(prefix)
    with zipfile.ZipFile(file, "a", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def seal_text(data):
    if found := parts(data):
        return next(content for name, content in found[1].items() if name.endswith(NAME))
    return data[data.rindex(b'{"format"') :]


def with_seal(data, text):
    """The same content under another seal, or under none."""
    if found := parts(data):
        prefix, entries = found
        changed = {name: text if name.endswith(NAME) else content for name, content in entries.items()}
        return joined(prefix, {name: content for name, content in changed.items() if content is not None})
    content = data[: -len(onnx.metadata(seal_text(data)))]
    return content if text is None else content + onnx.metadata(text)


def flips(data, dice):
    seal = len(seal_text(data)) + 400
    for start, end, number in ((0, len(data), 90), (len(data) - seal, len(data), 60), (0, 64, 15)):
        for _ in range(number):
            changed = bytearray(data)
            changed[dice.randrange(start, end)] ^= 1 << dice.randrange(8)
            yield "a flipped bit", bytes(changed)


def cuts(data, dice):
    ends = [
        0,
        1,
        2,
        4,
        16,
        64,
        *(len(data) * i // 12 for i in range(1, 12)),
        *(dice.randrange(len(data)) for _ in "12345"),
    ]
    for end in ends + [len(data) - n for n in (1, 2, 4, 16, 22, 46, len(seal_text(data)), len(seal_text(data)) + 60)]:
        yield f"cut to {end}", data[:end]
        yield f"only from {end}", data[end:] if end else b""


def blocks(data, dice):
    for _ in range(12):
        at, length = dice.randrange(len(data)), dice.choice([1, 8, 100, 4096])
        yield f"{length} foreign bytes at {at}", data[:at] + dice.randbytes(length) + data[at:]
        yield f"{length} repeated at {at}", data[: at + length] + data[at:]
        yield f"{length} zeros at {at}", data[:at] + bytes(length) + data[at + length :]
    half = len(data) // 2
    yield "halves swapped", data[half:] + data[:half]
    yield "twice", data + data
    yield "a byte before", b"\0" + data
    yield "a byte behind", data + b"\0"
    yield "a megabyte behind", data + bytes(2**20)


def seals(data):
    """Other texts in the seal's place; digests that anybody could make anew without ferlab are."""
    text = seal_text(data)
    good = json.loads(text)

    def edited(change):
        found = json.loads(text)
        change(found)
        if isinstance(found["spec"], dict):
            try:
                found["digest"] = ModelSpec.from_dict(found["spec"]).digest
            except FerlabError:  # no specification: then no digest of it
                found["digest"] = "0" * 16
        return json.dumps(found).encode()

    yield "no seal", with_seal(data, None)
    for key in good:
        yield f"no {key}", with_seal(data, json.dumps({k: v for k, v in good.items() if k != key}).encode())
        for value in (None, 0, "x", [], {}, [[]], 1e308, -1, True):
            yield f"{key} {value!r}", with_seal(data, edited(lambda found, k=key, v=value: found.update({k: v})))
    for key in good["spec"]:
        for value in (None, "x\ny", [1], {}, float("nan"), 10**30):
            change = lambda found, k=key, v=value: found["spec"].update({k: v})  # noqa: E731
            yield f"spec {key} {value!r}", with_seal(data, edited(change))
    labels = good["spec"]["expression"]
    for changed in (labels[::-1], labels[:-1], labels[1:] + labels[:1]):
        yield f"labels {changed}", with_seal(data, edited(lambda found, c=changed: found["spec"].update(expression=c)))
    yield "deep", with_seal(data, b"[" * 100_000)
    yield "deep inside", with_seal(data, text[:-1] + b', "x": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}")
    yield "not UTF-8", with_seal(data, text.replace(b"neutral", b"neutr\xff\xfe"))
    yield "UTF-16", with_seal(data, text.decode().encode("utf-16"))
    yield "a long number", with_seal(data, b"1" * 100_000)
    yield "a key twice", with_seal(data, text[:-1] + b', "graph": "logits"}')
    yield "ten megabytes", with_seal(data, text[:-1] + b', "x": "' + b"x" * 10_000_000 + b'"}')
    yield "a line more", with_seal(data, text.replace(b'"format": 1', b'"format": "1\\nferlab: all is well"'))


def strangers(file, data, others, marker):
    for other in others:
        if other.suffix != file.suffix:
            yield f"{other.name} under this name", other.read_bytes()
        if (mine := parts(data)) and (theirs := parts(other.read_bytes())):
            yield f"the parts of {other.name} with this seal", with_seal(other.read_bytes(), seal_text(data))
            yield f"with the parts of {other.name}", joined(mine[0], theirs[1] | mine[1])
    for name in ("data.pkl", "archive/data.pkl", "constants.pkl"):
        yield f"a pickle as {name}", joined(b"", {name: pickle.dumps(Runs(marker)), NAME: seal_text(data)})
    yield "a pickle", pickle.dumps(Runs(marker))
    yield "a pickle before the archive", joined(pickle.dumps(Runs(marker)), {NAME: seal_text(data)})
    yield "text", b"hello\n" * 100


def bombs(data):
    prefix, entries = parts(data) or (data, {})
    yield "50 MB of zeros, compressed", joined(prefix, entries | {"zeros": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    yield "everything compressed", joined(prefix, entries | {"x": b"x" * 100}, zipfile.ZIP_LZMA)
    archive = bytearray(joined(prefix, entries | {"small": b"12345678"}))
    central = archive.rindex(b"PK\x01\x02")  # of the last part: claim 1 GB in it, then in both places
    for places in ((24,), (20, 24)):
        claim = bytearray(archive)
        for place in places:
            claim[central + place : central + place + 4] = (2**30).to_bytes(4, "little")
        yield f"1 GB claimed at {places}", bytes(claim)
    where = bytearray(archive)
    where[central + 42 : central + 46] = b"\xff\xff\xff\x7f"
    yield "a part beyond the end", bytes(where)


def mutations(file, others, marker):
    data, dice = file.read_bytes(), random.Random(0)
    for kind in (flips(data, dice), cuts(data, dice), blocks(data, dice), seals(data), bombs(data)):
        yield from kind
    yield from strangers(file, data, others, marker)


def outcome(path, wanted, faces):
    """ "refused", "read", or what is wrong."""
    try:
        runner = formats.open_model(path)
        answers = runner.answers(faces)
    except (ExportError, BundleError) as error:
        return "refused" if "\n" not in str(error) and str(error) else f"not one line: {error!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    seal, original = wanted
    if runner.seal != seal:
        return "another seal was believed"
    same = all(np.array_equal(answers[head], values) for head, values in original.items())
    return "read" if same else "it answers otherwise"


def main(file, others):
    good = formats.read(file)
    faces = np.random.default_rng(0).integers(0, 256, (3, *good.spec.prepare(np.zeros((9, 9, 3), np.uint8)).shape))
    faces = faces.astype(np.uint8)
    wanted = (good.seal, good.answers(faces))
    counts, failures = {"refused": 0, "read": 0}, []
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder) / "ran"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number, (what, content) in enumerate(mutations(file, others, marker)):
            path = Path(folder) / f"{number}{file.suffix}"
            path.write_bytes(content)
            found = outcome(path, wanted, faces)
            path.unlink()
            if found in counts:
                counts[found] += 1
            else:
                failures.append(f"{what}: {found}")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        grown //= 1024 if sys.platform == "darwin" else 1  # KiB, but on Macs bytes
        (Path(folder) / f"folder{file.suffix}").mkdir()
        for path in (Path(folder) / f"folder{file.suffix}", Path(folder) / f"nothing{file.suffix}"):
            if (found := outcome(path, wanted, faces)) != "refused":
                failures.append(f"{path.name}: {found}")
        if marker.exists():
            failures.append("a pickle was run")
    print(json.dumps({**counts, "failures": failures, "grown_mib": grown // 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
