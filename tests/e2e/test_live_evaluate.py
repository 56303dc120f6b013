import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ferlab.bundle import save_bundle
from ferlab.cli import main

from .conftest import untrained


@pytest.fixture
def clip(tmp_path: Path, bundle) -> tuple[Path, list[str]]:
    """Twenty frames of noise faces with their truth, and what the model says of each."""
    folder = tmp_path / "clips"
    folder.mkdir()
    path, rng = folder / "a<b>.avi", np.random.default_rng(1)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for _ in range(20):
        face = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (64, 64), interpolation=cv2.INTER_NEAREST)
        writer.write(face)
    writer.release()
    path.with_suffix(".csv").write_text("start,end,label\n0,1,happy\n1,2,sadness\n")
    capture, said = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        said.append(bundle.predict(read[1], "bgr").label)
    return path, said


def evaluate(*words: str) -> int:
    return main(["live", "evaluate", *words])


def test_models_are_scored_side_by_side(tmp_path: Path, bundle, clip, capsys: pytest.CaptureFixture[str]) -> None:
    path, said = clip
    other = untrained(("sadness", "happiness"))
    save_bundle(other, tmp_path / "other" / "bundle", {}, "")
    models = f"bundle=[{tmp_path / 'run'},{tmp_path / 'oth*'}]"
    words = [models, f"clips={path.parent}", "detect=none", "response=0.5", "tune=true", "trials=4", "flicker=99"]
    assert evaluate(*words, f"out={tmp_path / 'report'}") == 0
    told = capsys.readouterr().out
    for number in range(2):
        file = tmp_path / f"report_preset_{number}.json"
        assert f"preset={file}" in told
        assert json.loads(file.read_text())["smoothing"]["filter"] in ("average", "adaptive", "exponential")
    assert "no other clip to say what it is worth elsewhere" in told
    document = json.loads((tmp_path / "report" / "live_evaluate.json").read_text())
    first, second = document["models"]
    assert [first["name"], second["name"]] == ["run", "other"]
    right = [a == b for a, b in zip(said, ["happiness"] * 10 + ["sadness"] * 10, strict=True)]
    assert first["scores"]["raw"]["accuracy"] == pytest.approx(np.mean(right))
    assert list(first["scores"]) == ["raw", "fast", "stable"]
    waits = [i / 10 for i in range(10) if said[10 + i] == "sadness"]
    assert first["scores"]["raw"]["response_p50"] == pytest.approx(waits[0] if waits else None)
    assert first["detection"] | {"people": 0} == {
        "people": 0, "faces": 20, "found": 20, "recall": 1.0, "id_switches": 0
    }  # fmt: skip
    assert first["speed"]["frames"] == 20
    assert first["speed"]["ms"]["end_to_end"]["p99"] >= first["speed"]["ms"]["end_to_end"]["p50"] > 0
    assert len(first["curves"]["stable"]) == 8
    assert first["timelines"][0]["truth"] == [[0.0, 1.0, "happiness"], [1.0, 2.0, "sadness"]]
    page = (tmp_path / "report" / "live_evaluate.html").read_text()
    assert "a&lt;b&gt;.avi" in page
    assert "<b>.avi" not in page
    assert 'viewBox="0.0 0 2.0 1"' in page
    assert "http" not in page.replace("http://www.w3.org", "")  # it needs no other file
    assert "run: raw" in told
    assert evaluate(*words, "sweep=false", f"out={tmp_path / 'report'}") == 0  # an older report's
    again = json.loads((tmp_path / "report" / "live_evaluate.json").read_text())
    assert again["models"][0]["scores"] == first["scores"]
    assert again["models"][0]["curves"] == {}


def test_a_recorded_session_is_scored_like_its_clip(tmp_path: Path, bundle, clip) -> None:
    path, _ = clip
    assert evaluate(
        f"bundle={tmp_path / 'run'}", f"clips={path}", "detect=none", "sweep=false", f"out={tmp_path / 'a'}"
    ) == 0  # fmt: skip
    assert main(["live", f"bundle={tmp_path / 'run'}", f"source={path}", "detect=none", "preset=fast",
                 f"out={tmp_path / 's'}"]) == 0  # fmt: skip
    truth = path.with_suffix(".csv")
    assert evaluate(f"session={tmp_path / 's'}", f"truth={truth}", f"out={tmp_path / 'b'}") == 0
    clips, session = (json.loads((tmp_path / name / "live_evaluate.json").read_text())["models"][0]["scores"]
                      for name in ("a", "b"))  # fmt: skip
    assert session["as shown"] == pytest.approx(clips["fast"], nan_ok=True)
    assert session["unsmoothed"] == pytest.approx(clips["raw"], nan_ok=True)


def test_a_session_is_scored_on_what_was_noted_in_it(tmp_path: Path, bundle, clip, capsys) -> None:
    path, said = clip
    folder = tmp_path / "s"
    assert main(["live", f"bundle={tmp_path / 'run'}", f"source={path}", "detect=none", "preset=raw",
                 f"out={folder}"]) == 0  # fmt: skip
    assert evaluate(f"session={folder}", f"out={tmp_path / 'a'}") == 2
    assert "session must have its truth, got none in" in capsys.readouterr().err
    noted = "kind,start,end,track,label\nlabel,0,1,0,happiness\nlabel,1,,0,sadness\nevent,0.55,,,<b>loud\n"
    (folder / "annotations.csv").write_text(f"{noted}exclude,1.45,1.75,,\n")
    assert evaluate(f"session={folder}", f"out={tmp_path / 'a'}") == 0
    assert "0.3 s excluded" in capsys.readouterr().out.replace("\n", " ")
    (model,) = json.loads((tmp_path / "a" / "live_evaluate.json").read_text())["models"]
    counted = [i for i in range(20) if not 15 <= i <= 17]
    right = [said[i] == ("happiness" if i < 10 else "sadness") for i in counted]
    assert model["scores"]["as shown"]["accuracy"] == pytest.approx(np.mean(right))
    assert model["annotations"] == [{"clip": "s", "events": [[0.55, "<b>loud"]], "excluded": [[1.45, 1.75]]}]
    assert [(each["track"], each["start"]) for each in model["timelines"]] == [(0, 0.0), (0, 1.8)]
    page = (tmp_path / "a" / "live_evaluate.html").read_text()
    assert "<dt>0.55 s</dt><dd>&lt;b&gt;loud</dd>" in page
    assert "1.45–1.75 s" in page
    assert "face 0, 1.8–2.0 s" in page


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["clips=clips", "bundle=ferplos"], 1, "did you mean 'ferplus'"),
        (["bundle=run"], 2, "'clips' must be given, got nothing; add clips=…"),
        (["bundle=run", "clips=nowhere"], 1, "clips must be videos with their truth, got none at nowhere"),
        (["bundle=nowhere/*", "clips=clips"], 1, "bundle must be bundles, runs or exported files, got none at"),
        (["bundle=run", "clips=clips", "presets=[stabel]"], 2, "did you mean 'stable'"),
        (["bundle=run", "clips=clips", "response=0"], 2, "response must be above 0"),
        (["session=s"], 1, "session must be a folder of ferlab live"),
        (["session=s", "truth=t.csv", "bundle=run"], 2, "session must stand alone"),
        (["session=s", "truth=t.csv"], 1, "session must be a folder of ferlab live"),
        (["bundle=run", "clips=clips", "truth=wrong.csv"], 1, "did you mean 'happiness'"),
        (["bundle=run", "clips=clips", "truth=late.csv"], 1, "frames must have a truth, got none that late.csv knows"),
        (["bundle=run", "clips=clips", "out=clips"], 2, "out must be a new folder or an older report's"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, bundle, clip, monkeypatch, capsys, words, code, said) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.csv").write_text("start,end,label\n0,1,hapiness\n")
    Path("late.csv").write_text("start,end,label\n100,101,happy\n")
    extra = [] if words[0].startswith("session") else ["detect=none"]
    assert evaluate(*words, *extra) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("outputs").exists()
