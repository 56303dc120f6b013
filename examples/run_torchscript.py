"""What a file of `ferlab export format=torchscript` says of a face crop: python run_torchscript.py FILE face.png

Without ferlab. Needs PyTorch, numpy and opencv. spec.json and label_map.json must lie beside the model.
Load no file that you do not trust.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import torch


def prepare(crop: np.ndarray, spec: dict) -> torch.Tensor:
    """BGR crop of any size -> (1, c, s, s) uint8. The model normalises by itself."""
    image = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY if spec["colour"] == "gray" else cv2.COLOR_BGR2RGB)
    area = cv2.INTER_AREA if min(image.shape[:2]) >= spec["size"] else cv2.INTER_LINEAR  # as which it enlarges
    way = {"area": area, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[spec["interpolation"]]
    if image.shape[:2] != (spec["size"], spec["size"]):
        image = cv2.resize(image, (spec["size"], spec["size"]), interpolation=way)
    return torch.from_numpy(image.reshape(1, spec["size"], spec["size"], -1)).permute(0, 3, 1, 2).contiguous()


model, picture = Path(sys.argv[1]), sys.argv[2]
spec = json.loads(model.with_name("spec.json").read_text(encoding="utf-8"))["spec"]
labels = json.loads(model.with_name("label_map.json").read_text(encoding="utf-8"))
images = prepare(cv2.imdecode(np.fromfile(picture, np.uint8), cv2.IMREAD_COLOR), spec)

network = torch.jit.load(str(model), map_location="cpu")
with torch.inference_mode():
    answers = network(images)
heads = [head for head in ("expression", "affect") if labels[head]]
for head, (values,) in zip(heads, answers, strict=True):
    names = labels[head] if head == "affect" else list(labels["expression"].values())
    for name, value in zip(names, values.tolist(), strict=True):
        print(f"{name} {value:.4f}")
