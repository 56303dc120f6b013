"""What the server did, as Prometheus reads it: text format 0.0.4."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STAGES = ("queue", "decode", "detector", "classifier", "pipeline", "server")
BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # of the histogram, ms


class Metrics:
    """Counts, of a size that does not grow with them.

    Attributes:
        frames, faces: that were answered.
        labels: label that was shown -> faces.
        errors: what a wrong message was about -> messages.
        served: clients that came.
    """

    def __init__(self) -> None:
        self.frames = self.faces = self.served = 0
        self.labels: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._within = {stage: [0] * len(BOUNDS) for stage in STAGES}
        self._sums: Counter[str] = Counter()
        self._numbers: Counter[str] = Counter()

    def count(self, answer: Mapping[str, Any]) -> None:
        """Add an answer."""
        self.frames += 1
        self.faces += len(answer["faces"])
        self.labels.update(face["label"] for face in answer["faces"] if "label" in face)
        for stage, ms in answer["ms"].items():
            if stage in self._within:
                self._sums[stage] += ms
                self._numbers[stage] += 1
                self._within[stage] = [n + (ms <= bound) for n, bound in zip(self._within[stage], BOUNDS, strict=True)]

    def text(self, clients: int, model: str, version: str) -> str:
        """All of it; `clients` are those that are there."""
        lines = [
            *_family("info", "gauge", "The model that answers.", [({"model": model, "version": version}, 1)]),
            *_family("clients", "gauge", "Pages that are connected.", [({}, clients)]),
            *_family("clients_served_total", "counter", "Pages that were.", [({}, self.served)]),
            *_family("frames_total", "counter", "Frames answered.", [({}, self.frames)]),
            *_family("faces_total", "counter", "Faces answered.", [({}, self.faces)]),
            *_family("labels_total", "counter", "Faces by the label shown.", _by("label", self.labels)),
            *_family("errors_total", "counter", "Messages that could not be taken.", _by("about", self.errors)),
            *_family("stage_milliseconds", "histogram", "Time that a frame took.", self._histogram()),
        ]
        return "\n".join(lines) + "\n"

    def _histogram(self) -> Iterator[tuple[dict[str, str], float, str]]:
        for stage in STAGES:
            number = self._numbers[stage]
            for bound, within in zip((*BOUNDS, "+Inf"), (*self._within[stage], number), strict=True):
                yield {"stage": stage, "le": str(bound)}, within, "_bucket"
            yield {"stage": stage}, round(self._sums[stage], 2), "_sum"
            yield {"stage": stage}, number, "_count"


def _by(label: str, counts: Mapping[str, int]) -> list[tuple[dict[str, str], int]]:
    return [({label: value}, number) for value, number in sorted(counts.items())]


def _family(name: str, kind: str, what: str, samples: Any) -> Iterator[str]:
    """A metric's lines: samples are labels, value and, for a histogram, the name's end."""
    yield f"# HELP ferlab_{name} {what}"
    yield f"# TYPE ferlab_{name} {kind}"
    for labels, value, *end in samples:
        pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"ferlab_{name}{''.join(end)}{f'{{{pairs}}}' if pairs else ''} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
