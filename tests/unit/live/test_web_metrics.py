import re

from ferlab.live.web.metrics import BOUNDS, Metrics

SAMPLE = re.compile(r'^(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\S+)$')


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels; every line must be a sample or a comment of the text format."""
    assert text.endswith("\n")
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.match(r"# (HELP \w+ .+|TYPE \w+ (counter|gauge|histogram))$", line)
            continue
        name, labels, value = SAMPLE.match(line).groups()
        pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")
        found[name, tuple(pairs)] = float(value)
    return found


def answer(ms: float, *labels: str | None) -> dict:
    faces = [{"track": 0} | ({"label": label} if label is not None else {}) for label in labels]
    return {"faces": faces, "ms": {"detector": ms, "another": 1.0}}


def test_what_was_done_is_counted() -> None:
    metrics = Metrics()
    for each in (answer(3, "happiness", "fear"), answer(7000, "happiness"), answer(BOUNDS[2], None), answer(0.5)):
        metrics.count(each)
    metrics.errors["frame"] += 2
    found = parsed(metrics.text(3, "ferplus", "1.0"))
    assert found["ferlab_frames_total", ()] == 4
    assert found["ferlab_faces_total", ()] == 4
    assert found["ferlab_labels_total", (("label", "happiness"),)] == 2
    assert found["ferlab_errors_total", (("about", "frame"),)] == 2
    assert found["ferlab_clients", ()] == 3
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "ferlab_stage_milliseconds_bucket" and dict(labels)["stage"] == "detector"
    }
    assert (buckets["1"], buckets["2"], buckets["5"], buckets["1000"], buckets["+Inf"]) == (1, 1, 3, 3, 4)
    assert found["ferlab_stage_milliseconds_sum", (("stage", "detector"),)] == 3 + 7000 + 5 + 0.5
    assert found["ferlab_stage_milliseconds_count", (("stage", "detector"),)] == 4
    assert found["ferlab_stage_milliseconds_count", (("stage", "queue"),)] == 0


def test_a_label_may_be_any_text() -> None:
    metrics = Metrics()
    metrics.count(answer(1, 'a"} 1\nb\\'))
    found = parsed(metrics.text(0, 'm"', ""))
    assert found["ferlab_labels_total", (("label", 'a\\"} 1\\nb\\\\'),)] == 1
    assert found["ferlab_info", (("model", 'm\\"'), ("version", ""))] == 1
