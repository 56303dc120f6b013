"""Text from elsewhere stays text on the screen."""

import io
import time

import pytest
from rich.table import Table
from rich.text import Text

from ferlab.screen import Screen, line, progress, working

HOSTILE = "[old] [/y] [bold]x :smile: \x1b[31m\r\x07\x9b2J\u202e caf\udce9\nferlab: all is well"
SHOWN = r"[old] [/y] [bold]x :smile: \x1b[31m\r\x07\x9b2J\u202e caf\udce9\nferlab: all is well"


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def screen(request):
    return Screen(file=io.StringIO(), force_terminal=request.param, width=200, color_system=None)


def test_a_line_is_shown_as_it_is(screen):
    screen.say(HOSTILE, HOSTILE)
    screen.print(HOSTILE, style="red")
    screen.print(line((HOSTILE, "bold")))
    assert screen.file.getvalue() == f"{SHOWN}\n" * 4


def test_a_table_is_as_wide_as_what_it_shows(screen):
    table = Table(HOSTILE, "next", box=None, title=HOSTILE, title_justify="left", pad_edge=False)
    table.add_row(HOSTILE, "1")
    screen.print(table)
    title, head, row = (each.rstrip() for each in screen.file.getvalue().splitlines())
    assert title == SHOWN
    assert head == f"{SHOWN}  next"
    assert row == f"{SHOWN}  1"


def test_own_text_may_have_lines_and_moves_no_cursor(screen):
    screen.say(Text("first\nsecond \x1b[2J"))
    assert screen.file.getvalue() == "first\nsecond \\x1b[2J\n"


def test_colours_are_own():
    screen = Screen(file=io.StringIO(), force_terminal=True, width=80, color_system="standard")
    screen.say(line(("leak", "red"), " [red]x[/red]"))
    assert screen.file.getvalue() == "\x1b[31mleak\x1b[0m [red]x[/red]\n"


def test_a_bar_takes_any_title(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich: a terminal
    monkeypatch.setenv("COLUMNS", "200")
    assert list(progress("scoring [/y] \x1b[2Jx", [1, 2])) == [1, 2]
    drawn = capsys.readouterr().err
    assert "scoring [/y] \\x1b[2Jx" in drawn
    assert "\x1b[2J" not in drawn


def test_outside_a_terminal_long_steps_are_told_in_lines(monkeypatch, capsys):
    monkeypatch.setattr("ferlab.screen.EVERY", 0.02)
    for _ in progress("exporting", ["onnx", "[/y]"]):
        time.sleep(0.1)
    told = capsys.readouterr().err.splitlines()
    assert "exporting onnx, 1 of 2: 0 s so far" in told
    assert "exporting [/y], 2 of 2: 0 s so far" in told
    with working("reading [/y]"):
        time.sleep(0.1)
    assert capsys.readouterr().err.splitlines()[0] == "reading [/y]: 0 s so far"


def test_what_is_quick_says_nothing(capsys):
    assert list(progress("scoring", [1, 2])) == [1, 2]
    with working("reading"):
        pass
    assert capsys.readouterr().err == ""
