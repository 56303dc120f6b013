import base64

import cv2
import numpy as np
import pytest

from ferlab.errors import ConfigError
from ferlab.evaluation import page, text
from ferlab.evaluation.page import check_folder


def decoded(uri):
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_small_face_is_shown_pixel_by_pixel_in_its_colours():
    face = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(page._png(face)), face)


def test_a_large_face_is_shrunk_and_keeps_its_shape():
    assert decoded(page._png(np.zeros((480, 240, 3), np.uint8))).shape == (96, 48, 3)


def test_values_as_text():
    assert text.percent(0.7125) == "71.2"
    assert text.percent(None) == "–"
    assert text.decimal(-0.01234) == "-0.012"
    assert text.decimal(0.456, 1) == "0.5"
    assert text.signed(0.128) == "+0.13"
    assert text.signed(-0.128) == "−0.13"
    assert text.plain({"widths": [4, 8], "name": {"x": None}}) == "widths: [4, 8], name: x: none"
    assert text.plain({}) == "none"


def test_differences_and_p_values_as_text():
    assert [text.points(value) for value in (0.0123, -0.004, -0.0001, 0)] == ["+1.2", "−0.4", "+0.0", "+0.0"]
    assert [text.p_value(value) for value in (0.0391, 1, 0.00099)] == ["0.039", "1.000", "< 0.001"]


def test_a_long_name_loses_its_middle():
    name = "12-00-00_small_resnet_on_ferplus_with_a_long_tail_seed_3"
    assert text.shortened(name, 20) == "12-00-00_s…il_seed_3"
    assert len(text.shortened(name)) == text.NAME
    assert text.shortened("12-00-00_small", 14) == "12-00-00_small"


def test_only_an_older_report_may_be_replaced(tmp_path):
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / "report.json").touch()
    check_folder(tmp_path)
    with pytest.raises(ConfigError, match="with other files"):
        check_folder(tmp_path, "compare")
    (tmp_path / "predictions.csv").touch()
    check_folder(tmp_path)
    (tmp_path / "report.json").unlink()  # somebody else's table
    with pytest.raises(ConfigError, match="with other files"):
        check_folder(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="with other files; set out="):
        check_folder(tmp_path)
    with pytest.raises(ConfigError, match="with other files"):
        check_folder(tmp_path / "thesis.tex")
