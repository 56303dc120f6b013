from itertools import count

import numpy as np
import pytest

from ferlab.labels import COLOURS, FERPLUS, RAFDB_COMPOUND
from ferlab.live import canvas as canvases
from ferlab.live.canvas import BLACK, WHITE, Canvas, Letters, ink, rgb
from ferlab.live.frame import Faces, Frame
from ferlab.live.overlay import MOST, PAST, Overlay, colours, said
from ferlab.live.pipeline import Seen
from ferlab.live.settings import SHOW
from ferlab.live.smooth import Shown

ORANGE, BLUE = rgb(COLOURS["happiness"]), rgb(COLOURS["surprise"])


def seen(
    boxes: list[list[float]], names: tuple[str, ...] = FERPLUS, label: int = 1, time: float = 0.0,
    image: np.ndarray | None = None, affect: tuple[float, float] | None = None, age: float = 0.0,
) -> Seen:  # fmt: skip
    n, k = len(boxes), len(names)
    found = Faces.found(np.array(boxes, float).reshape(n, 4))
    shares = np.full((n, k), 0.2 / max(k - 1, 1))
    shares[:, label : label + 1] = 0.8
    answers = {"expression": shares} if names else {}
    if affect is not None:
        answers["affect"] = np.tile(affect, (n, 1))
    faces = Faces(found.boxes, found.scores, found.landmarks, np.arange(n), answers)
    image = np.full((480, 640, 3), 100, np.uint8) if image is None else image
    shown = [Shown(label, False, None)] * n if names else []
    return Seen(Frame(0, time, image), faces, shares, shown, names, 5.0, 2.0, 30.0, age)


def drawn(each: Seen, *show: str, before: tuple[Seen, ...] = ()) -> np.ndarray:
    overlay = Overlay(each.names, show or SHOW, clock=(number / 20 for number in count()).__next__)
    for other in (*before, each):
        overlay.note(other)
    return overlay.draw(each, each.frame.image)


def has(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (image == colour).all(2)


def test_a_box_is_in_the_colour_of_its_label_with_a_dark_edge() -> None:
    image = drawn(seen([[200, 150, 100, 120]]), "box")
    assert image[200, 200].tolist() == list(ORANGE)
    assert image[270, 250].tolist() == list(ORANGE)
    assert image[200, 198].tolist() == list(BLACK)  # so that it is seen on orange
    assert (image[160:260, 210:290] == 100).all()
    assert (image[:140] == 100).all()


@pytest.mark.parametrize("part", SHOW)
def test_every_part_can_be_switched_off(part: str) -> None:
    each = seen([[200, 150, 100, 120]], affect=(0.5, 0.5))
    assert (drawn(each, part) != 100).any()
    others = [name for name in SHOW if name != part]
    assert (drawn(each, *others) != drawn(each)).any()


def test_nothing_shown_and_nobody_there_is_the_picture_itself() -> None:
    each = seen([[200, 150, 100, 120]])
    overlay = Overlay(FERPLUS, [])
    overlay.note(each)
    image = overlay.draw(each, each.frame.image)
    assert np.array_equal(image, each.frame.image)
    assert image is not each.frame.image
    assert np.array_equal(drawn(seen([]), "box", "label", "bars", "timeline"), each.frame.image)


def test_bars_are_as_long_as_the_probabilities() -> None:
    image = drawn(seen([[100, 150, 100, 120]]), "bars")
    orange, track = has(image, ORANGE).sum(1).max(), 4 * 13  # text of 480 / 36 pixels, a bar four of it
    assert orange == round(0.8 * track)
    assert has(image, BLUE).sum(1).max() == round(0.2 / 7 * track)


def test_valence_is_to_the_right_and_arousal_up_with_a_trail() -> None:
    before = tuple(seen([[100, 150, 100, 120]], time=i / 10, affect=(-1.0, -1.0)) for i in range(10))
    each = seen([[100, 150, 100, 120]], time=1.0, affect=(1.0, 1.0))
    image = drawn(each, "affect", before=before)
    rows, columns = np.nonzero(has(image, ORANGE))
    assert (rows[columns.argmax()] - rows.min(), columns.max() - columns[rows.argmin()]) <= (6, 6)  # the dot
    assert np.ptp(rows) > 90  # the line to where it was: a square of 125 pixels, and its edge
    assert np.ptp(columns) > 90
    alone = np.nonzero(has(drawn(each, "affect"), ORANGE))
    assert np.ptp(alone[0]) < 10


def test_the_timeline_has_the_last_seconds_and_forgets_the_rest() -> None:
    overlay = Overlay(FERPLUS, ["timeline"])
    for tenth in range(1200):  # two minutes: surprise, then for 15 s happiness
        overlay.note(seen([[0, 0, 50, 50]], label=1 if tenth >= 1050 else 2, time=tenth / 10))
    image = overlay.draw(last := seen([[0, 0, 50, 50]], time=119.9), last.frame.image)
    orange, blue = has(image, ORANGE), has(image, BLUE)
    assert orange.sum() == pytest.approx(blue.sum(), rel=0.03)
    assert np.nonzero(orange)[1].min() > np.nonzero(blue)[1].max()
    assert len(overlay._past[0].steps) <= PAST / 0.2 + 1
    overlay.note(seen([], time=200))
    assert overlay._past == {}


def test_numbers_are_frames_a_second_latency_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr(Canvas, "text", lambda self, x, y, text, *rest: texts.append(text))
    frames = tuple(seen([], age=12.0) for _ in range(60))
    drawn(frames[-1], "numbers", before=frames[:-1])
    drawn(seen([]), "numbers")
    assert texts == ["20.0 fps   42 ms   age 12 ms", "30 ms"]


def test_labels_say_number_doubt_and_the_second() -> None:
    (person,) = seen([[0, 0, 10, 10]]).people
    assert said(person) == ["#0 happiness 80 %", "#0 happiness", "#0"]
    (none,) = seen([[0, 0, 10, 10]], names=(), affect=(0.5, 0)).people
    assert said(none) == ["#0"]


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_text_can_be_read_on_any_ground(ground: int) -> None:
    def luminance(values: np.ndarray) -> np.ndarray:
        linear = np.where(values / 255 <= 0.04045, values / 255 / 12.92, ((values / 255 + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    panel = Canvas(np.full((20, 20, 3), ground, np.uint8), Letters())
    panel.panel((0, 0, 20, 20))
    assert 1.05 / (luminance(panel.image[5, 5].astype(float)) + 0.05) >= 4.5  # WCAG 2.2, AA
    for colour in colours(RAFDB_COMPOUND + FERPLUS + ("bored", "keen")).values():
        low, high = sorted(luminance(np.array([colour, ink(colour)], float)) + 0.05)
        assert high / low >= 4.5
    assert (ink(WHITE), ink(BLACK)) == (BLACK, WHITE)


@pytest.mark.parametrize("size", [(240, 320), (480, 640), (1080, 1920), (640, 360), (9, 9)])
@pytest.mark.parametrize("names", [FERPLUS, RAFDB_COMPOUND, ("怒り", "très", "x" * 64), ()])
def test_any_picture_any_labels_boxes_beyond_the_edge_and_a_crowd(size: tuple[int, int], names) -> None:
    height, width = size
    rng = np.random.default_rng(0)
    boxes = [[-30, -20, 60, 60], [width - 20, height - 20, 90, 90], [-500, 0, 50, 50], [0, 0, 3 * width, 3 * height]]
    boxes += [[*rng.uniform(0, [width, height]), 30, 40] for _ in range(12)]
    image = np.full((height, width, 3), 100, np.uint8)
    result = drawn(seen(boxes, names, label=min(1, len(names) - 1), image=image, affect=(1.0, -1.0), age=3.0))
    assert (result.shape, result.dtype) == (image.shape, np.uint8)
    assert (image == 100).all()


def test_labels_of_neighbours_do_not_cover_each_other() -> None:
    boxes = [[40 + 110 * (i % 5), 40 + 120 * (i // 5), 80, 80] for i in range(15)]
    overlay, places = Overlay(FERPLUS, ["label"]), []
    draw = overlay._label
    overlay._label = lambda *given: places.append(draw(*given)) or places[-1]
    overlay.note(each := seen(boxes))
    overlay.draw(each, each.frame.image)
    assert not any(canvases.overlap(a, b) for i, a in enumerate(places) for b in places[:i])


def test_a_name_that_no_font_has_is_an_escape_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvases, "_machines_font", lambda needed: None)
    told: list[str] = []
    letters = Letters(["怒り", "gut"], told.append)
    assert told == ["no font here has the letters of 怒り; pictures show escapes, \\u6012\\u308a"]
    assert np.array_equal(letters.mask("#1 怒り 80 %", 12), Letters().mask("#1 \\u6012\\u308a 80 %", 12))
    other = Letters(["Скучно", "très", "αβ", "a\u202eb"], told.append)
    assert len(told) == 1
    assert np.array_equal(other.mask("a\u202eb", 12), Letters().mask("a\\u202eb", 12))


def test_another_font_of_the_machine_is_taken_where_it_has_the_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    other = canvases.FONT.replace("DejaVuSans.ttf", "STIXGeneral.ttf")
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: ["/no/such.ttf", other])
    canvases._machines_font.cache_clear()
    (letter,) = sorted(canvases._letters(other) - canvases._letters(canvases.FONT))[-1:]
    told: list[str] = []
    letters = Letters([f"{letter}a"], told.append)
    canvases._machines_font.cache_clear()
    assert letters._font == other
    assert told == []
    assert letters.mask(f"{letter}a", 20).any()


def test_more_labels_than_there_is_room_for_are_the_likeliest(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    write = Canvas.text
    monkeypatch.setattr(Canvas, "text", lambda self, *given: texts.append(given[2]) or write(self, *given))
    drawn(seen([[100, 150, 100, 120]], RAFDB_COMPOUND, label=10), "bars")
    lines = texts[0].split("\n")
    assert len(lines) == MOST
    assert lines[-1] == RAFDB_COMPOUND[10]
    assert lines == [name for name in RAFDB_COMPOUND if name in lines]
