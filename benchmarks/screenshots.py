"""The pictures of the page in docs/: a drawn face before Chromium's camera, on a desktop and a phone, dark and light.

    python benchmarks/screenshots.py [out=docs detector_file=face_detection_yunet_2026may.onnx]

Without that file Haar finds the face. Playwright and a browser are needed, as by tests/browser.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

LABELS = ("neutral", "surprise", "neutral", "sadness")
SHOWN_S = 4.0  # of each
PAST_MS = 33_000  # until the timeline is full
SETTLE_MS = 1_500  # until the bars show a new label
SCREENS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
MOST = 150_000  # bytes of a picture
# Chromium names such a camera by its file's path.
NAMELESS = """
  const found = MediaDevices.prototype.enumerateDevices;
  MediaDevices.prototype.enumerateDevices = async function () {
    return (await found.call(this)).map(({kind, deviceId}) => ({kind, deviceId, label: ""}));
  };
"""


def main(overrides: list[str]) -> None:
    """Make the four pictures."""
    from playwright.sync_api import sync_playwright

    from browser import chromium
    from browser.camera import drawn, write
    from e2e.page import served

    given = dict(override.split("=", 1) for override in overrides)
    out = Path(given.get("out", Path(__file__).parents[1] / "docs"))
    executable = chromium.found()
    if executable is None:
        raise SystemExit(chromium.MISSING)
    with TemporaryDirectory() as made, sync_playwright() as playwright:
        folder = Path(made)
        clip = write(folder / "face.mjpeg", drawn(640, 480, LABELS, SHOWN_S, numbers=False))
        file = given.get("detector_file")
        found = f"detector_file={Path(file).resolve()}" if file else "detect=haar"
        with served(folder, found) as server, chromium.started(playwright, executable, clip) as browser:
            for screen, viewport in SCREENS.items():
                for scheme in ("dark", "light"):
                    page = browser.new_page(viewport=viewport, color_scheme=scheme)
                    page.add_init_script(NAMELESS)
                    page.goto(server.url)
                    page.click("#begin")
                    page.wait_for_selector("#faces-list .face-head", timeout=60_000)
                    page.wait_for_timeout(PAST_MS)
                    page.wait_for_selector("#faces-list .face-head .label:has-text('surprise')")
                    page.wait_for_timeout(SETTLE_MS)
                    file = out / f"page-{screen}-{scheme}.png"
                    page.screenshot(path=file)
                    page.close()
                    size = file.stat().st_size
                    print(f"{file}  {size / 1e3:.0f} kB{'  TOO LARGE' if size > MOST else ''}")


if __name__ == "__main__":
    main(sys.argv[1:])
