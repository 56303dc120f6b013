import numpy as np
import pytest

from ferlab.live.draw import OTHER, annotate, said
from ferlab.runner import Prediction

HAPPY = Prediction({"happiness": 0.934, "fear": 0.066}, 0.5, -0.25)


def colour(code: str) -> list[int]:
    return [int(code[i : i + 2], 16) for i in (1, 3, 5)]


def test_a_box_in_the_colour_of_its_label_about_an_untouched_face() -> None:
    image = np.full((300, 400, 3), 100, np.uint8)
    drawn = annotate(image, [(120, 150, 80, 90)], [HAPPY])
    assert (image == 100).all()
    assert drawn[200, 120].tolist() == drawn[240, 160].tolist() == colour("#E69F00")
    assert (drawn[155:235, 125:195] == 100).all()
    assert (drawn[130:148, 122:200] == 255).any()  # the text
    assert (drawn[245:] == 100).all()


@pytest.mark.parametrize("box", [(0, 0, 60, 60), (380, 2, 60, 60), (-30, 280, 50, 50)])
def test_text_stays_in_the_picture(box: tuple[float, ...]) -> None:
    drawn = annotate(np.full((300, 400, 3), 100, np.uint8), [box], [HAPPY])
    lines = (drawn == 255).all(2).sum()
    assert lines == pytest.approx(
        (annotate(np.full((300, 400, 3), 100, np.uint8), [(150, 150, 60, 60)], [HAPPY]) == 255).all(2).sum(), abs=3
    )


def test_what_is_said_is_printable_and_short() -> None:
    assert said(HAPPY) == "happiness 93 %  V +0.50  A -0.25"
    assert said(Prediction({}, 0.0, 1.0)) == "V +0.00  A +1.00"
    assert said(Prediction({"a\nb": 1.0})) == r"a\nb 100 %"
    own = annotate(np.zeros((100, 100, 3), np.uint8), [(20, 40, 50, 50)], [Prediction({"bored": 1.0})])
    assert own[60, 20].tolist() == colour(OTHER)
    assert annotate(np.zeros((9, 9, 3), np.uint8), [], []).shape == (9, 9, 3)
