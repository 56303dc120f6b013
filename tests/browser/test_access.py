"""Who can use the page: by keyboard, by screen reader, on a phone, on a slow line."""

from pathlib import Path
from typing import Any

from e2e.page import served

from .test_page import begin
from .watched import until

PHONE = {"width": 360, "height": 740}

RING = "(({outlineStyle, boxShadow}) => [outlineStyle, boxShadow])(getComputedStyle(document.activeElement))"


def check(page: Any, axe: str, where: str) -> dict[tuple[str, ...], Any]:
    """What axe finds wrong, in the dark and in the light: where, and which of its rules -> what does not keep it."""
    wrong: dict[tuple[str, ...], Any] = {}
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(axe)  # not as an element, which the page's policy would refuse
        for found in page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]:
            wrong[where, scheme, found["id"]] = [(node["target"], node["failureSummary"]) for node in found["nodes"]]
    return wrong


def test_axe_finds_nothing(visits: Any, axe: str) -> None:
    visit = visits()
    page = visit.page
    wrong = check(page, axe, "at first")
    begin(visit)
    for tab in page.locator("[role=tab]:visible").all():
        tab.click()
        wrong |= check(page, axe, tab.inner_text())
    for button in ("help", "model"):
        page.click(f"#{button}")
        wrong |= check(page, axe, button)
        page.keyboard.press("Escape")
    assert wrong == {}


def test_all_is_done_by_keyboard(visits: Any) -> None:
    page = visits().page
    focused = "document.activeElement.id"
    page.wait_for_selector("#begin:focus, #begin:not([disabled])")
    for _ in range(12):
        if page.evaluate(focused) == "begin":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#faces-list .face-head .label")
    reached: list[str] = []
    while (at := page.evaluate(focused)) not in reached:
        if at:  # faces have no id, and the page's end none either
            reached.append(at)
            assert page.evaluate(RING) != ["none", "none"], f"it is not seen that {at} has the focus"
        page.keyboard.press("Tab")
    wanted = ["start", "file", "mirror", "overlay", "shot", "theme", "help", "model", "tab-faces"]
    assert set(wanted) <= set(reached)
    page.focus("#tab-faces")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "tab-history"
    assert page.is_visible("#history")
    page.keyboard.press("?")
    page.wait_for_selector("#keys-dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#keys-dialog:not([open])", state="attached")
    page.focus("#start")
    page.keyboard.press(" ")
    until(page, "!document.querySelector('video')")


def test_a_key_does_nothing_while_one_types_or_where_keys_are_off(visits: Any) -> None:
    page = begin(visits())
    page.click("#tab-settings")
    page.focus("#set-filter")
    page.keyboard.press("o")
    assert page.get_attribute("#overlay", "aria-pressed") == "true"
    page.click("#help")
    page.click("#keys-on")
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    assert page.get_attribute("#overlay", "aria-pressed") == "true"
    page.click("#help")
    page.click("#keys-on")
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    assert page.get_attribute("#overlay", "aria-pressed") == "false"


def test_a_phone_needs_no_scrolling_to_the_side(visits: Any) -> None:
    visit = visits(viewport=PHONE, has_touch=True, is_mobile=True)
    fits = "document.scrollingElement.scrollWidth <= innerWidth && innerWidth === screen.width"
    assert visit.page.evaluate(fits)
    page = begin(visit)
    for tab in page.locator("[role=tab]:visible").all():
        tab.click()
        assert page.evaluate(fits), tab.inner_text()
    picture = page.locator("#picture").bounding_box()
    assert picture["width"] > 0.9 * PHONE["width"] or picture["height"] > 0.3 * PHONE["height"]
    for box in page.locator(".dock button:visible").all():
        assert box.bounding_box()["height"] >= 40  # a finger


def test_the_first_load_is_small(visits: Any) -> None:
    visit = visits()
    page = visit.page
    page.wait_for_selector("html[data-connection=open]")
    files = page.evaluate("performance.getEntriesByType('resource').map((each) => [each.name, each.decodedBodySize])")
    total = sum(size for _, size in files) + page.evaluate(
        "performance.getEntriesByType('navigation')[0].decodedBodySize"
    )
    print(f"{len(visit.requests)} requests, {total / 1e3:.0f} kB")
    assert len(visit.requests) <= 40
    assert total < 150_000


def test_a_phone_in_the_network_gets_a_camera_by_an_encrypted_page(visits: Any, folder: Path) -> None:
    with served(folder, "lan=true", "detect=haar") as server:
        page = begin(visits(server.url, viewport=PHONE, is_mobile=True, ignore_https_errors=True))
        assert server.url.startswith("https://")
        assert page.evaluate("isSecureContext")
        assert "token" in server.url
        assert "token" not in page.url  # which may be shown to others, and stays in the history
        page.reload()
        page.wait_for_selector("html[data-status=ready]")
        page.close()
