"""What a file of `ferlab export format=tflite` says of a face crop: python run_tflite.py model.tflite face.png

Without ferlab. Needs ai-edge-litert, numpy and opencv. spec.json and label_map.json must lie beside the model.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter


def prepare(crop: np.ndarray, spec: dict) -> np.ndarray:
    """BGR crop of any size -> (s, s, c) uint8. The model normalises by itself."""
    image = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY if spec["colour"] == "gray" else cv2.COLOR_BGR2RGB)
    area = cv2.INTER_AREA if min(image.shape[:2]) >= spec["size"] else cv2.INTER_LINEAR  # as which it enlarges
    way = {"area": area, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[spec["interpolation"]]
    if image.shape[:2] != (spec["size"], spec["size"]):
        image = cv2.resize(image, (spec["size"], spec["size"]), interpolation=way)
    return image.reshape(spec["size"], spec["size"], -1)


model, picture = Path(sys.argv[1]), sys.argv[2]
spec = json.loads(model.with_name("spec.json").read_text(encoding="utf-8"))["spec"]
labels = json.loads(model.with_name("label_map.json").read_text(encoding="utf-8"))
image = prepare(cv2.imdecode(np.fromfile(picture, np.uint8), cv2.IMREAD_COLOR), spec)

run = Interpreter(model_path=str(model)).get_signature_runner()
((name, taken),) = run.get_input_details().items()
channels_first = tuple(taken["shape"][1:]) != image.shape
answers = run(**{name: (image.transpose(2, 0, 1) if channels_first else image)[None].astype(taken["dtype"])})
for head in sorted(answers, reverse=True):  # expression, then affect
    names = labels[head] if head == "affect" else list(labels["expression"].values())
    for name, value in zip(names, answers[head][0], strict=True):
        print(f"{name} {value:.4f}")
