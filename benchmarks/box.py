"""Puts a trained run into the box: bundle, 8-bit file and card, as `bundle=NAME` finds them.

    ferlab train experiment=ferplus_camera
    python benchmarks/box.py run=outputs/… name=ferplus [plain=outputs/…_ferplus_small]

Both files are scored on the validation faces of the data that the run was trained on, as they are and as a camera sees
them, and the card says so; what both answer to a few drawn faces is recorded for tests/e2e/test_box.py. `plain` is the
same recipe without camera augmentation, whose figures are put beside.
"""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferlab.evaluation.report import Report

PLACE = Path(__file__).parents[1] / "src" / "ferlab" / "box"
FILES = ("spec.json", "label_map.json", "metrics.json", "weights.safetensors", "past.bin")


def main(overrides: list[str]) -> None:
    """Export, score, write the card, and copy."""
    from ferlab import cli, config, evaluate
    from ferlab.files import creating_folder, write_text
    from ferlab.formats import open_model
    from ferlab.training.folder import RunFolder

    given = dict(override.split("=", 1) for override in overrides)
    run = RunFolder(Path(given["run"]))
    source = config.instantiate(config.load(run.config).data)
    exports = run.path / "exports"
    if cli.main(["export", f"bundle={run.path}", "format=onnx_int8", f"data={source.name}", "tracker=none"]):
        raise SystemExit("the 8-bit file differs from its bundle")
    scored = {"weights": run.bundle, "8 bit": exports / "model_int8.onnx"}
    if "plain" in given:
        scored["without camera augmentation"] = Path(given["plain"])
    reports = {name: evaluate(open_model(path), source, camera=True) for name, path in scored.items()}
    with creating_folder(PLACE / given["name"]) as folder:
        for name in FILES:
            shutil.copyfile(run.bundle / name, folder / name)
        shutil.copyfile(exports / "model_int8.onnx", folder / "model_int8.onnx")
        write_text(folder / "README.md", card(given["name"], (run.bundle / "README.md").read_text("utf-8"), reports))
    record(given["name"])
    print(PLACE / given["name"])


def record(name: str) -> None:
    """Keep what the files in the box answer to the faces of the test."""
    from ferlab.data.synthetic import draw_split
    from ferlab.files import write_json
    from ferlab.formats import open_model

    split = draw_split("validation", 12, 64, seed=1)
    faces = [split.read(i) for i in range(len(split))]
    answers = {}
    for each in (name, f"{name}_int8"):
        model = open_model(each)
        rows = [[answer.expression[label] for label in model.labels] for answer in model.predict(faces)]
        answers[each] = [[round(share, 5) for share in row] for row in rows]
    write_json(PLACE.parents[2] / "tests" / "e2e" / "box_answers.json", answers)


def card(name: str, own: str, reports: dict[str, "Report"]) -> str:
    """The bundle's own card with the figures of both files in place of its numbers."""
    before, _, rest = own.partition("## Numbers\n")
    _, _, after = rest.partition("## Intended use\n")
    text = before.split("\n", 1)[1]
    return f"# {name}\n{text}## Numbers\n{numbers(reports)}\n## Intended use\n{after}"


def numbers(reports: dict[str, "Report"]) -> str:
    """Tables of all files, and of the classes for the weights."""
    from ferlab.evaluation.text import percent

    first = next(iter(reports.values()))
    columns = [each for each in reports.values() if each.expression is not None and each.camera is not None]
    assert first.expression is not None

    def table(title: str, rows: dict[str, list[str]]) -> str:
        head = [title, *reports]
        lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows.items())]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

    scores = {
        "accuracy, %": [f"{100 * each.scores['accuracy']:.1f}" for each in columns],
        "95 % interval": [interval(each, "accuracy") for each in columns],
        "mean recall, %": [f"{100 * each.scores['mean_recall']:.1f}" for each in columns],
        "macro F1, %": [f"{100 * each.scores['macro_f1']:.1f}" for each in columns],
        "ECE, %": [f"{100 * each.scores['ece']:.1f}" for each in columns],
    }
    seen = {"as they are": [f"{100 * each.camera.clean['accuracy']:.1f}" for each in columns if each.camera]}
    for change in columns[0].camera.changed if columns[0].camera else ():
        values = [each.camera.changed[change]["accuracy"] for each in columns if each.camera]
        seen[change] = [f"{100 * value:.1f}" for value in values]
    seen["mean of the changes"] = [f"{100 * each.camera.mean_accuracy:.1f}" for each in columns if each.camera]
    rows = [
        f"| {label} | {row.support:,} | {percent(row.recall)} | {percent(row.precision)} |"
        for label, row in first.expression.classes.items()
    ]
    classes = "\n".join(["| class | faces | recall, % | precision, % |", "|---|---|---|---|", *rows])
    return (
        f"{first.protocol}. These are the faces on which the epoch was selected: the figures are a little optimistic, "
        "and of one seed.\n\n"
        f"{table('score', scores)}\n"
        "The same faces changed as `ferlab evaluate camera=true` does it, accuracy in %; no pictures of a real camera "
        "are behind this:\n\n"
        f"{table('change', seen)}\n"
        f"Classes, of the weights:\n\n{classes}\n"
    )


def interval(report: "Report", score: str) -> str:
    """The 95 % interval of a score, in %."""
    assert report.expression is not None
    low, high = report.expression.intervals[score]
    return f"{100 * low:.1f} to {100 * high:.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])
