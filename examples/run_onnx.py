"""What a file of `ferlab export format=onnx` says of a face crop: python run_onnx.py model.onnx face.png

Without ferlab. Needs onnxruntime, numpy and opencv. spec.json must lie beside the model.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def prepare(crop: np.ndarray, spec: dict) -> np.ndarray:
    """BGR crop of any size -> (1, c, s, s) uint8. The model normalises by itself."""
    image = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY if spec["colour"] == "gray" else cv2.COLOR_BGR2RGB)
    area = cv2.INTER_AREA if min(image.shape[:2]) >= spec["size"] else cv2.INTER_LINEAR  # as which it enlarges
    way = {"area": area, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[spec["interpolation"]]
    if image.shape[:2] != (spec["size"], spec["size"]):
        image = cv2.resize(image, (spec["size"], spec["size"]), interpolation=way)
    return np.ascontiguousarray(image.reshape(1, spec["size"], spec["size"], -1).transpose(0, 3, 1, 2))


if len(sys.argv) != 3:
    sys.exit("usage: python run_onnx.py model.onnx face.png")
model, picture = Path(sys.argv[1]), sys.argv[2]
document = json.loads(model.with_name("spec.json").read_text(encoding="utf-8"))
said = document["files"][model.name]
images = prepare(cv2.imdecode(np.fromfile(picture, np.uint8), cv2.IMREAD_COLOR), document["spec"])

session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
answers = dict(zip([output["name"] for output in said["outputs"]], session.run(None, {"images": images}), strict=True))
for output in said["outputs"]:
    for label, value in zip(output["labels"], answers[output["name"]][0], strict=True):
        print(f"{label} {value:.4f}")
