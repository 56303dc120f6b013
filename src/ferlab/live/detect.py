"""Which detector finds the faces, and where YuNet's file comes from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ferlab.data.cache import cache_root
from ferlab.live import yunet
from ferlab.live.download import download
from ferlab.live.frame import Faces, Frame
from ferlab.live.haar import Haar
from ferlab.live.yunet import YuNet

URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{yunet.FILE}"
DETECT = ("auto", "yunet", "haar", "none")


class Detector(Protocol):
    """Finds faces; `name` is that in `crop.FITS`."""

    name: str

    def __call__(self, frame: Frame) -> Faces:
        """The faces in a frame."""
        ...


class Whole:
    """Takes each frame for one face, as of a camera that is turned on a face alone, or a video of crops."""

    name = "none"

    def __call__(self, frame: Frame) -> Faces:
        """One box about the frame."""
        height, width = frame.image.shape[:2]
        return Faces.found(np.array([[0, 0, width, height]]))


def detector(
    name: str,
    file: str | None,
    score: float,
    smallest: int,
    say: Callable[[str], None],
    sides: Sequence[int] = yunet.PHOTO,
) -> Detector:
    """The detector of this name, one of DETECT; "auto" is YuNet if its file is there, else Haar.

    Args:
        name: which.
        file: YuNet's, or None for the one in the cache, which "yunet" downloads there if there is none.
        score, smallest, sides: see `YuNet`.
        say: told of a download, and of what "auto" does without YuNet.

    Raises:
        ConfigError: YuNet's file is damaged, another, or cannot be had.
    """
    path = Path(file).expanduser() if file else cache_root() / "detectors" / yunet.FILE
    if name == "none":
        return Whole()
    if name == "haar":
        return Haar(smallest)
    if file is None and not path.exists():
        if name == "auto":
            say("faces are sought by haar, which misses many; detect=yunet downloads a better detector once, 0.2 MB")
            return Haar(smallest)
        say(f"downloading {URL} to {path}")
        remedy = f"give detector_file=… ({yunet.FILE} from OpenCV's model zoo), or detect=haar"
        download(URL, yunet.SHA256, yunet.LARGEST, path, remedy)
    return YuNet(path, score, smallest, sides)
