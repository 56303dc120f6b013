"""What lies beside exported files says what goes in, what is inside, and what comes out."""

import json

import pytest

from ferlab import formats
from ferlab.formats.interface import interface, readme, write_beside
from ferlab.formats.seal import Seal
from ferlab.spec import ModelSpec

RGB = {"colour": "rgb", "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
GREY = ModelSpec(("neutral", "happiness", "anger"), size=16, temperature=1.5)
BOTH = ModelSpec(("neutral", "happiness"), affect=True, size=224, temperature=2.0, **RGB)


def seal(spec=GREY, kind="onnx", graph="probabilities", layout="nchw"):
    return Seal(kind, graph, spec, {"name": "mlp"}, {"dataset": "drawn"}, layout)


def test_a_grey_file_says_what_it_takes_and_gives():
    said = interface(seal())
    assert said["inputs"] == [
        {
            "name": "images", "dtype": "uint8", "shape": ["batch", 1, 16, 16], "layout": "nchw", "range": [0, 255],
            "channels": ["gray"],
        }
    ]  # fmt: skip
    assert said["outputs"] == [
        {
            "name": "expression", "dtype": "float32", "shape": ["batch", 3], "gives": "probabilities",
            "range": [0, 1], "labels": ["neutral", "happiness", "anger"],
        }
    ]  # fmt: skip
    assert said["inside"] == {
        "normalisation": {"scale": 1 / 255, "mean": [0.5], "std": [0.25]}, "temperature": 1.5, "softmax": True,
    }  # fmt: skip


def test_logits_leave_temperature_and_softmax_to_others():
    said = interface(seal(BOTH, "tflite", "logits", "nhwc"))
    assert (said["inside"]["temperature"], said["inside"]["softmax"]) == (None, False)
    expression, affect = said["outputs"]
    assert (expression["gives"], expression["range"]) == ("logits", None)
    assert (affect["range"], affect["labels"]) == ([-1, 1], ["valence", "arousal"])
    (images,) = said["inputs"]
    assert (images["shape"], images["channels"]) == ([1, 224, 224, 3], ["red", "green", "blue"])


def test_every_format_can_say_it():
    for kind, chosen in formats.FORMATS.items():
        for layout in chosen.layouts:
            assert f"| {chosen.file} | {chosen.summary} |" in readme({chosen.file: seal(BOTH, kind, layout=layout)})


def test_the_readme_says_it_to_people():
    text = readme({"model.onnx": seal(BOTH), "model.tflite": seal(BOTH, "tflite", "logits", "nhwc")})
    for said in (
        "uint8 from 0 to 255, 224 by 224",
        "red, green and blue, in this order",
        "mean 0.4, 0.5, 0.6 and std 0.2, 0.25, 0.3.\nIn files that give probabilities, temperature 2 and softmax.",
        "Not so in files that give logits: probabilities are softmax(logits / 2).",
        "```text\n0 neutral\n1 happiness\n```",
        "from -1 to 1, 2 numbers a face: valence, arousal.",
        "| model.onnx | ONNX, float32 | batch×3×224×224 (NCHW) | expression probabilities, affect values |",
        "| model.tflite | TFLite, float32 | 1×224×224×3 (NHWC) | expression logits, affect values |",
    ):
        assert said in text
    grey = readme({"model.onnx": seal()})
    assert "0.299 R + 0.587 G + 0.114 B" in grey
    assert "std 0.25. Temperature 1.5 and softmax." in grey
    assert "logits" not in grey


def test_an_affect_model_has_no_labels_and_no_softmax(tmp_path):
    write_beside(tmp_path, "model.onnx", seal(ModelSpec((), affect=True)))
    assert {path.name for path in tmp_path.iterdir()} == {"spec.json", "label_map.json", "README.md"}
    assert "softmax" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_what_is_there_stays_and_what_is_gone_goes(tmp_path):
    for file, kind in (("model.onnx", "onnx"), ("model_int8.onnx", "onnx_int8")):
        write_beside(tmp_path, file, seal(kind=kind))
        (tmp_path / file).touch()
    assert (tmp_path / "labels.txt").read_text(encoding="utf-8") == "neutral\nhappiness\nanger\n"
    said = json.loads((tmp_path / "spec.json").read_text(encoding="utf-8"))["files"]
    assert list(said) == ["model.onnx", "model_int8.onnx"]
    (tmp_path / "model_int8.onnx").unlink()
    write_beside(tmp_path, "model.tflite", seal(kind="tflite", graph="logits", layout="nhwc"))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| model.onnx |" in text
    assert "| model.tflite |" in text
    assert "model_int8.onnx" not in text


@pytest.mark.parametrize("files", [5, {"model.onnx": 5}, {"model.onnx": {"format": "onnx", "graph": ["x"]}}])
def test_what_was_edited_there_is_left_out(tmp_path, files):
    write_beside(tmp_path, "model.onnx", seal())
    (tmp_path / "model.onnx").touch()
    document = json.loads((tmp_path / "spec.json").read_text(encoding="utf-8"))
    (tmp_path / "spec.json").write_text(json.dumps(document | {"files": files}))
    write_beside(tmp_path, "model.tflite", seal(kind="tflite", layout="nhwc"))
    assert list(json.loads((tmp_path / "spec.json").read_text())["files"]) == ["model.tflite"]
