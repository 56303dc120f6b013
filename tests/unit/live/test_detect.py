import hashlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import cv2
import matplotlib
import numpy as np
import pytest

from ferlab.errors import ConfigError
from ferlab.live import detect, yunet
from ferlab.live.detect import detector
from ferlab.live.frame import Frame
from ferlab.live.haar import Haar

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"  # 512×600


@pytest.fixture
def photograph() -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(PHOTOGRAPH))[..., ::-1])


def test_haar_finds_the_face_of_a_photograph_at_any_size(photograph: np.ndarray) -> None:
    (box,) = Haar()(Frame(0, 0.0, photograph)).boxes
    assert np.abs(box - [149, 100, 231, 231]).max() < 20
    large = cv2.resize(photograph, None, fx=3, fy=3)
    (threefold,) = Haar()(Frame(0, 0.0, large)).boxes
    assert np.abs(threefold / 3 - box).max() < 20
    assert len(Haar(smallest=300)(Frame(0, 0.0, photograph))) == 0
    assert Haar()(Frame(0, 0.0, np.zeros((50, 60, 3), np.uint8))).boxes.shape == (0, 4)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    """Serves `content` as YuNet's file is; the last request's path is kept."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if content else 404)
            self.end_headers()
            self.wfile.write(bytes(content))

        def log_message(self, *arguments: object) -> None:
            pass

    content = bytearray(b"the network")
    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        monkeypatch.setattr(detect, "URL", f"http://127.0.0.1:{served.server_port}/file.onnx")
        monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(b"the network").hexdigest())
        thread = Thread(target=served.serve_forever)
        thread.start()
        yield content
        served.shutdown()
        thread.join()


def test_the_file_is_downloaded_once_and_whole(
    server: bytearray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FERLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(detect, "YuNet", lambda path, *rest: (path.read_bytes(), *rest))
    said: list[str] = []
    assert detector("yunet", None, 0.7, 50, said.append) == (b"the network", 0.7, 50, yunet.PHOTO)
    assert said == [f"downloading {detect.URL} to {tmp_path / 'detectors' / yunet.FILE}"]
    server[:] = b""
    assert detector("yunet", None, 0.7, 50, said.append) == (b"the network", 0.7, 50, yunet.PHOTO)
    assert detector("auto", None, 0.7, 50, said.append) == (b"the network", 0.7, 50, yunet.PHOTO)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"another", r"must be the file of sha256 .*, got another; give detector_file="),
        (b"", r"cannot download .*Not Found"),
    ],
)
def test_what_is_not_the_file_is_not_kept(
    server: bytearray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.setenv("FERLAB_CACHE", str(tmp_path))
    server[:] = content
    with pytest.raises(ConfigError, match=said):
        detector("yunet", None, 0.6, 40, print)
    assert list(tmp_path.iterdir()) == []


def test_without_the_file_auto_is_haar_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERLAB_CACHE", str(tmp_path))
    said: list[str] = []
    assert isinstance(detector("auto", None, 0.6, 40, said.append), Haar)
    assert len(said) == 1
    assert "detect=yunet downloads" in said[0]
    with pytest.raises(ConfigError, match="cannot read the detector"):
        detector("auto", str(tmp_path / "nowhere.onnx"), 0.6, 40, said.append)
