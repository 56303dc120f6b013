"""What is known of a frame, drawn on that very frame: boxes, labels, bars, valence and arousal, a timeline, numbers."""

import colorsys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ferlab.labels import AFFECT, COLOURS
from ferlab.live.canvas import BLACK, Box, Canvas, Colour, Letters, ink, overlap, rgb, row
from ferlab.live.pipeline import Person, Seen
from ferlab.live.settings import SHOW
from ferlab.spec import Image

SHARE = 36  # of the picture's shorter side: the height of the text, and of the smallest
LEAST = 11  # pixels of text that can be read
MOST = 8  # bars of a face, of its likeliest labels
PAST, STEP = 30.0, 0.2  # seconds of the timeline, and of one of its steps
LAST = f"last {PAST:.0f} s"
TRAIL = 3.0  # seconds of the line behind valence and arousal
ROWS = 4  # faces of the timeline, those seen last
NOW = 2.0  # seconds over which frames a second are counted


@dataclass
class Past:
    """What is remembered of a face, no longer than PAST.

    Attributes:
        seen: when it was last, s.
        steps: number of a step -> the label's id, or -1 for a model without labels, and its height in [0, 1].
        trail: time in s, valence and arousal.
    """

    seen: float
    steps: dict[int, tuple[int, float]] = field(default_factory=dict)
    trail: deque[tuple[float, float, float]] = field(default_factory=deque)


class Overlay:
    """Draws on frames, one after the other; `note` every frame, and `draw` those that are wanted.

    Args:
        names: of the model's labels.
        show: which of SHOW.
        say: told what a person should know.
        clock: s, for frames a second.
    """

    def __init__(
        self,
        names: Sequence[str],
        show: Sequence[str] = SHOW,
        say: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names, self.show, self._clock = names, show, clock
        self.letters = Letters(names, say)
        self._colours = colours(names)
        self._past: dict[int, Past] = {}
        self._came: deque[float] = deque()
        self._corner = 0  # of the plot of valence and arousal

    def note(self, seen: Seen) -> None:
        """Remember what is said of a frame's faces."""
        self._came.append(self._clock())
        while self._came[-1] - self._came[0] > NOW:
            self._came.popleft()
        now = seen.frame.time
        for person in seen.people:
            past = self._past.setdefault(person.track, Past(now))
            past.seen = now
            if person.label is not None and person.confidence is not None:
                past.steps[int(now / STEP)] = (self.names.index(person.label), person.confidence)
            elif person.valence is not None:
                past.steps[int(now / STEP)] = (-1, (person.valence + 1) / 2)
            if person.valence is not None and person.arousal is not None:
                past.trail.append((now, person.valence, person.arousal))
        for number, past in list(self._past.items()):
            past.steps = {step: each for step, each in past.steps.items() if step > (now - PAST) / STEP}
            while past.trail and now - past.trail[0][0] > TRAIL:
                past.trail.popleft()
            if now - past.seen > PAST:
                del self._past[number]

    def draw(self, seen: Seen, image: Image) -> Image:
        """A copy of a picture of the frame that was noted last, (h, w, 3) uint8 RGB, with all that is shown."""
        canvas = Canvas(image.copy(), self.letters)
        size = max(LEAST, min(image.shape[:2]) // SHARE)
        people = sorted(seen.people, key=lambda person: -person.box[2] * person.box[3])
        boxes = [whole(person.box) for person in people]
        taken: list[Box] = []  # where something is drawn already
        if "timeline" in self.show and self._past:
            taken.append(self._timeline(canvas, size, seen.frame.time))
        if "affect" in self.show and "affect" in seen.faces.answers:
            taken.append(self._affect(canvas, size, people, boxes, taken[0][1] if taken else canvas.height))
        if "numbers" in self.show:
            taken.append(self._numbers(canvas, size, seen))
        if "box" in self.show:
            for person, box in reversed(list(zip(people, boxes, strict=True))):
                canvas.outline(box, self.colour(person), max(2, size // 6))
        if "label" in self.show:
            for person, box in zip(people, boxes, strict=True):
                taken.append(self._label(canvas, size, person, box, taken))
        if "bars" in self.show:
            for i, person in enumerate(people if self.names else []):
                others = [*taken, *boxes[:i], *boxes[i + 1 :]]
                if (panel := self._bars(canvas, size, person, boxes[i], others, alone=i == 0)) is not None:
                    taken.append(panel)
        return canvas.image

    def colour(self, person: Person) -> Colour:
        """Of a face: that of its label, or of its number for a model without labels."""
        return self._colours[person.label] if person.label is not None else of_track(person.track)

    def _label(self, canvas: Canvas, size: int, person: Person, box: Box, taken: Sequence[Box]) -> Box:
        """The label above the box, below it, or in it: the longest form that covers nothing, else the shortest."""
        letters, gap = canvas.letters, size // 4
        forms = [letters.fitting(form, size, canvas.width - 2 * gap) for form in said(person)]
        place = None
        for form in forms:
            width, height = letters.width(form, size) + 2 * gap, row(size)
            left = min(max(0, box[0]), max(0, canvas.width - width))
            tops = (box[1] - height, box[3], max(0, box[1]))
            place = room(canvas, [(left, top, left + width, top + height) for top in tops], taken)
            if place is not None:
                break
        if place is None:
            top = min(max(0, box[1] - height), max(0, canvas.height - height))
            place = (left, top, left + width, top + height)
        ground = self.colour(person)
        canvas.fill(place, ground)
        canvas.text(place[0] + gap, place[1], form, size, ink(ground))
        return place

    def _bars(
        self, canvas: Canvas, size: int, person: Person, box: Box, others: Sequence[Box], alone: bool
    ) -> Box | None:
        """A bar for each label, beside the face where there is room; the first face gets a corner otherwise."""
        small, gap, likeliest = max(LEAST - 2, round(0.8 * size)), size // 3, set(list(person.expression)[:MOST])
        shown = [name for name in self.names if name in likeliest]  # in the model's order, so that bars do not jump
        short = [canvas.letters.fitting(name, small, canvas.width // 4) for name in shown]
        text = "\n".join(short)
        words, bar, height = canvas.letters.width(text, small), 4 * size, row(small) * len(shown) + 2 * gap
        width = words + bar + 3 * gap
        top = min(max(0, box[1]), max(0, canvas.height - height))
        corner = (canvas.width - width, 0)
        below, above = box[3] + gap, box[1] - gap - height
        rooms = [(box[2] + gap, top), (box[0] - gap - width, top), (box[0], below), (box[0], above)]
        rooms += [corner] * alone
        place = room(canvas, [(x, y, x + width, y + height) for x, y in rooms], others)
        if place is None:
            return None
        canvas.panel(place)
        canvas.text(place[0] + gap, place[1] + gap, text, small)
        for number, name in enumerate(shown):
            left, low = place[0] + words + 2 * gap, place[1] + gap + row(small) * number
            full = (left, low + 2, left + bar, low + row(small) - 2)
            canvas.panel(full, light=True)
            canvas.fill((left, full[1], left + round(bar * person.expression[name]), full[3]), self._colours[name])
        return place

    def _affect(self, canvas: Canvas, size: int, people: Sequence[Person], faces: Sequence[Box], bottom: int) -> Box:
        """Valence to the right and arousal up, both from -1 to 1, each face with its last seconds.

        It stays in its corner, unless a face is there and another one is free.
        """
        side, gap = max(8 * size, round(0.26 * min(canvas.width, canvas.height))), size // 2
        right, low, high = canvas.width - side - gap, bottom - side - gap, 2 * row(size)
        corners = [(x, y, x + side, y + side) for x, y in ((right, low), (gap, low), (right, high), (gap, high))]
        if any(overlap(corners[self._corner], face) for face in faces):
            free = [i for i, corner in enumerate(corners) if not any(overlap(corner, face) for face in faces)]
            self._corner = free[0] if free else self._corner
        place = corners[self._corner]
        canvas.panel(place, light=True)
        middle, reach = ((place[0] + place[2]) / 2, (place[1] + place[3]) / 2), side / 2 - gap
        canvas.line([(middle[0] - reach, middle[1]), (middle[0] + reach, middle[1])], BLACK)
        canvas.line([(middle[0], middle[1] - reach), (middle[0], middle[1] + reach)], BLACK)
        small = max(LEAST - 2, round(0.7 * size))
        canvas.text(place[2] - canvas.letters.width(AFFECT[0], small) - 3, round(middle[1]), AFFECT[0], small, BLACK)
        canvas.text(round(middle[0]) + 4, place[1] + 1, AFFECT[1], small, BLACK)
        for person in people:
            trail = self._past[person.track].trail if person.track in self._past else ()
            points = [(middle[0] + reach * valence, middle[1] - reach * arousal) for _, valence, arousal in trail]
            if points:
                canvas.line(points, self.colour(person), max(1, size // 10))
                canvas.dot(points[-1], max(3, size // 4), self.colour(person))
        return place

    def _timeline(self, canvas: Canvas, size: int, now: float) -> Box:
        """The last seconds, a row a face: colour is the label, height its probability (or valence, without labels)."""
        numbers = sorted(sorted(self._past, key=lambda number: -self._past[number].seen)[:ROWS])
        small, gap = max(LEAST - 2, round(0.7 * size)), size // 4
        high = row(small)
        place = (0, canvas.height - high * len(numbers) - 2 * gap, canvas.width, canvas.height)
        canvas.panel(place)
        begin = 2 * gap + max(canvas.letters.width(f"#{number}", small) for number in numbers)
        end = canvas.width - 2 * gap - canvas.letters.width(LAST, small)
        last, wide = int(now / STEP), (end - begin) / (PAST / STEP)
        for place_of, number in enumerate(numbers):
            top = place[1] + gap + high * place_of
            canvas.text(gap, top, f"#{number}", small)
            canvas.panel((begin, top + 1, end, top + high), light=True)
            for step, (label, height) in self._past[number].steps.items():
                left, right = round(end - (last - step + 1) * wide), round(end - (last - step) * wide)
                colour = self._colours[self.names[label]] if label >= 0 else of_track(number)
                canvas.fill(
                    (max(begin, left), top + high - max(1, round((high - 2) * height)), right, top + high), colour
                )
        canvas.text(end + gap, place[1] + gap, LAST, small)
        return place

    def _numbers(self, canvas: Canvas, size: int, seen: Seen) -> Box:
        """Frames a second that are answered, and how long that took; of a camera's frame also how old it was."""
        passed = self._came[-1] - self._came[0] if self._came else 0.0
        words = [f"{(len(self._came) - 1) / passed:.1f} fps"] if passed else []
        words += [f"{seen.end_to_end_ms:.0f} ms"] + [f"age {seen.age_ms:.0f} ms"] * (seen.age_ms > 0)
        small, gap = max(LEAST - 2, round(0.8 * size)), size // 3
        text = "   ".join(words)
        place = (0, 0, canvas.letters.width(text, small) + 2 * gap, row(small) + gap)
        canvas.panel(place)
        canvas.text(gap, gap // 2, text, small)
        return place


def room(canvas: Canvas, places: Sequence[Box], taken: Sequence[Box]) -> Box | None:
    """The first of the places that lies in the picture and covers nothing that is taken."""
    for place in places:
        inside = place[0] >= 0 and place[1] >= 0 and place[2] <= canvas.width and place[3] <= canvas.height
        if inside and not any(overlap(place, other) for other in taken):
            return place
    return None


def said(person: Person) -> list[str]:
    """What is written at a face, from the longest to the shortest."""
    number = f"#{person.track}"
    if person.label is None or person.confidence is None:
        return [number]
    share = f"{person.label} {100 * person.confidence:.0f} %"
    doubt = "?" if person.uncertain else ""
    second = [f"{number} {share}{doubt} or {person.second}"] if person.second is not None else []
    return [*second, f"{number} {share}{doubt}", f"{number} {person.label}{doubt}", number]


def colours(names: Sequence[str]) -> dict[str, Colour]:
    """Of each label: the emotion's own; names that are none are spread over the colour wheel."""
    own = [name for name in names if name not in COLOURS]
    found = {name: rgb(COLOURS[name]) for name in names if name in COLOURS}
    return found | {name: _hue(i / len(own)) for i, name in enumerate(own)}


def of_track(number: int) -> Colour:
    """The colour of a face without a label: neighbours' numbers have colours far apart."""
    return _hue(number * 0.618 % 1)  # golden ratio


def _hue(share: float) -> Colour:
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(share, 0.7, 0.85))
    return (red, green, blue)


def whole(box: Sequence[float]) -> Box:
    """Left, top, width and height as left, top, right and bottom in whole pixels."""
    left, top, width, height = box
    return (round(left), round(top), round(left + width), round(top + height))
