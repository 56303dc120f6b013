"""The page's files as text: what no browser is needed for."""

import json
import re
from pathlib import Path

import ferlab.live.web
from ferlab.labels import COLOURS

PAGE = Path(ferlab.live.web.__file__).parent / "page"
MODULES = sorted(PAGE.rglob("*.js"))
FILES = sorted(file for file in PAGE.rglob("*") if file.suffix in (".js", ".html", ".css", ".svg"))
SVG = "http://www.w3.org/2000/svg"  # a name that is never asked


def test_labels_have_the_colours_of_plots_and_recordings() -> None:
    text = (PAGE / "colours.js").read_text("utf-8")
    assert dict(re.findall(r'"([a-z ]+)": "(#[0-9A-F]{6})"', text)) == COLOURS


def test_every_import_names_a_file_of_the_page() -> None:
    (text,) = re.findall(r'<script type="importmap">(.*?)</script>', (PAGE / "index.html").read_text("utf-8"))
    named = json.loads(text)["imports"]
    for module in MODULES:
        names = re.findall(r'^import [^"]*"([^"]+)";$', module.read_text("utf-8"), re.MULTILINE)
        for name in set(names) - {"ferlab/onnxruntime.js"}:  # which a page of one file brings itself
            where = next(key for key in named if name == key or (key[-1] == "/" and name.startswith(key)))
            assert (PAGE.parent / named[where] / name.removeprefix(where)).is_file(), f"{module.name}: {name}"


def test_nothing_of_another_host_is_named() -> None:
    for file in FILES:
        assert not re.findall(r"\bhttps?://[^\s\"'`)]+", file.read_text("utf-8").replace(SVG, "")), file.name


def test_no_text_is_parsed_as_html_or_code() -> None:
    parsed = re.compile(
        r"\b(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|parseFromString|createContextualFragment)\b"
        r"|document\.write|\beval\(|new Function\("
    )
    for module in MODULES:
        assert not parsed.search(module.read_text("utf-8")), module.name


def test_what_the_policy_forbids_is_not_in_the_page() -> None:
    for file in PAGE.glob("*.html"):
        assert not re.findall(r"<[^>]+\s(?:style|on\w+)=", file.read_text("utf-8")), file.name


def test_the_page_says_what_it_is_and_where_the_law_forbids_it() -> None:
    text = " ".join((PAGE / "index.html").read_text("utf-8").split())
    assert "How people would label this expression, not what somebody feels." in text
    assert "Art. 5(1)(f)" in text
