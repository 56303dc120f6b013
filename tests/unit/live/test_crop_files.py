import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ferlab.data.images import read_image
from ferlab.live.crop_files import Crops, folder_name
from ferlab.live.frame import Frame
from ferlab.live.pipeline import Pipeline
from ferlab.live.smooth import PRESETS
from ferlab.live.store import Folder
from ferlab.spec import ModelSpec

from .test_pipeline import SPEC, Boxes, Runner


@pytest.mark.parametrize(
    "spec",
    [SPEC, replace(SPEC, colour="rgb", mean=(0.5,) * 3, std=(0.25,) * 3, size=24), ModelSpec((), affect=True, size=8)],
)
def test_a_crop_is_read_back_as_the_model_saw_it(tmp_path: Path, spec: ModelSpec) -> None:
    runner = Runner()
    runner.spec, runner.labels = spec, spec.expression
    if not spec.expression:
        runner.answers = lambda images: {"affect": np.tile([0.25, -0.5], (len(images), 1))}
    noise = np.random.default_rng(0).integers(0, 256, (3, 100, 200, 3), dtype=np.uint8)
    pipeline = Pipeline(runner, Boxes([10, 10, 40, 40], [120, 20, 60, 60]), PRESETS["stable"])
    with Folder(tmp_path) as store:
        crops, found = Crops(store, spec), []
        for number, image in enumerate(noise):
            crops.write(each := pipeline(Frame(number, number / 30, image)))
            found.append(each)
    rows = list(csv.DictReader((tmp_path / "crops" / "crops.csv").read_text().splitlines()))
    assert crops.summary() == {"written": len(rows)} == {"written": 6}
    for row in rows:
        seen = found[int(row["frame"])]
        i = seen.faces.ids.tolist().index(int(row["track"]))
        again = spec.prepare(read_image(tmp_path / "crops" / row["file"]))
        assert np.array_equal(again, seen.inputs[i])
        assert [float(row[name]) for name in spec.expression] == pytest.approx(seen.raw[i].tolist(), abs=1e-6)
        assert [float(row[name]) for name in ("valence", "arousal")] == pytest.approx(seen.raw_affect[i].tolist())
        assert row["file"].startswith(f"{row['label']}/" if spec.expression else "faces/")


def test_a_label_that_is_no_name_of_a_folder() -> None:
    assert folder_name("happily surprised") == "happily surprised"
    assert folder_name("怒り") == "怒り"
    assert folder_name("../a/b") == "%2E.%2Fa%2Fb"
    assert folder_name("50%: why?") == "50%25%3A why%3F"
