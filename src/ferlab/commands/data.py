"""`ferlab data verify`, `show` and `write`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ferlab import config
from ferlab.catalogue import choice
from ferlab.data.source import SPLITS, Source
from ferlab.data.verify import Findings
from ferlab.files import write_json
from ferlab.screen import Screen, line, working

if TYPE_CHECKING:
    from ferlab.cli import Invocation

LISTED = 20  # unreadable pictures on the screen; the JSON file has all


@dataclass
class DataConfig:
    """conf/data.yaml."""

    data: dict[str, Any]
    out: str | None


@dataclass(kw_only=True)
class WriteConfig:
    """conf/data_write.yaml: the arguments of `ferlab.data.layouts.write`."""

    layout: str = choice(..., "ferlab.data.layouts:LAYOUTS")
    out: str
    train: int
    validation: int
    test: int
    size: int
    seed: int


def verify(invocation: "Invocation") -> int:
    """Check a dataset; 0 when it is sound, 1 when `Findings.failed` says that it needs mending."""
    import cv2

    from ferlab.data import verify as checks

    cv2.utils.logging.setLogLevel(0)  # unreadable pictures are listed below, by name; OpenCV's notes have none
    options = config.typed(config.compose(invocation.command.config, invocation.overrides), DataConfig)
    source: Source = config.instantiate(options.data)
    screen = Screen()
    with working(f"reading the pictures of {source.name}"):
        findings = checks.verify(source)
    _print_source(screen, source)
    screen.print(_counts_table(findings), _copies_table(findings))
    screen.say(*_verdict(findings, droppable=options.data.get("copies") == "keep"))
    if options.out is not None:
        from ferlab.data.show import show_near

        out = Path(options.out)
        write_json(out / "verify.json", report(findings))
        screen.say(f"wrote {out / 'verify.json'}")
        if len(findings.near[0]):
            screen.say(f"wrote {show_near(findings, out)}")
    return 1 if findings.failed else 0


def show(invocation: "Invocation") -> None:
    """Draw a dataset's classes, samples, mean faces, and valence and arousal where it has them."""
    from ferlab.data.show import show as draw

    options = config.typed(config.compose(invocation.command.config, invocation.overrides), DataConfig)
    source: Source = config.instantiate(options.data)
    screen = Screen()
    _print_source(screen, source)
    for path in draw(source, Path(options.out or f"outputs/data/{source.name}")):
        screen.say(f"wrote {path}")


def write(invocation: "Invocation") -> None:
    """Write drawn faces to disk in a dataset's official layout."""
    from ferlab.data.layouts import LAYOUTS
    from ferlab.data.layouts import write as write_layout

    options = config.typed(config.compose(invocation.command.config, invocation.overrides), WriteConfig)
    out = Path(options.out)
    write_layout(
        options.layout, out, options.train, options.validation, options.test, size=options.size, seed=options.seed
    )
    absent = LAYOUTS[options.layout].absent
    screen = Screen()
    numbers = ", ".join(f"{getattr(options, name):,} {name}" for name in SPLITS if name not in absent)
    screen.say(f"{numbers} faces, in the layout {options.layout}")
    for split, why in absent.items():
        screen.say(f"no {split} faces: {why}")
    screen.say(f"wrote {out}")


def report(findings: Findings) -> dict[str, Any]:
    """The findings as plain values for JSON, with every unreadable picture and every set of copies by name."""
    source, (pairs, correlation) = findings.source, findings.near
    names = [f"{p.split} {p.name}" for p in findings.pictures]
    return {
        "dataset": source.name,
        "protocol": source.protocol,
        "digest": source.digest() if not findings.unreadable else None,
        "failed": findings.failed,
        "labels": list(source.labels),
        "mapping": dict(source.mapping),
        "counts": {n: dict(zip(source.labels, s.counts(len(source.labels)).tolist(), strict=True))
                   for n, s in source.splits.items()},
        "official": dict(source.official),
        "absent": dict(source.absent),
        "dropped": dict(source.dropped),
        "unread": dict(source.unread),
        "unlearnable": list(source.unlearnable),
        "untrainable": findings.untrainable,
        "unreadable": list(findings.unreadable),
        "copies": [vars(scope) for scope in findings.scopes],
        "exact": [[names[i] for i in group] for group in findings.exact],
        "near": [[names[a], names[b], round(float(c), 4)] for (a, b), c in zip(pairs, correlation, strict=True)],
    }  # fmt: skip


def _print_source(screen: Screen, source: Source) -> None:
    screen.say(line((source.name, "bold"), f"  {source.protocol}"), "labels: " + ", ".join(_mapping(source)))


def _mapping(source: Source) -> Iterator[str]:
    """Each name or id on disk with the class id and the canonical name that it means."""
    for found, name in source.mapping.items():
        yield (
            f"{found} → {source.labels.index(name)} {name}" if name in source.labels else f"{found} → {name}, left out"
        )


def _counts_table(findings: Findings) -> Table:
    """Pictures a class and split, with the official numbers."""
    source = findings.source
    table = Table(title="pictures", title_justify="left", title_style="bold")
    table.add_column("class")
    present = [name for name in SPLITS if name in source.splits]
    for name in present:
        table.add_column(name, justify="right")
    counts = {name: source.splits[name].counts(len(source.labels)) for name in present}
    for i, label in enumerate(source.labels):
        table.add_row(label, *(f"{c[i]:,} {c[i] / max(1, c.sum()):6.1%}" for c in counts.values()))
    table.add_section()
    table.add_row("all", *(f"{len(source.splits[name]):,}       " for name in present))
    table.add_row("official", *(_official(findings, name) for name in present))
    rare = {name: c.max() / c.min() if c.min() else float("inf") for name, c in counts.items()}
    table.add_row("largest : smallest", *(f"{ratio:.1f} : 1 " if ratio < float("inf") else "a class is empty"
                                          for ratio in rare.values()))  # fmt: skip
    return table


def _official(findings: Findings, name: Any) -> str | Text:
    official = findings.source.official.get(name)
    if official is None:
        return "none       "
    differs = name in findings.miscounted
    return line((f"{official:,} differs", "red")) if differs else line(f"{official:,} ", ("✓", "green"), "     ")


def _copies_table(findings: Findings) -> Table | str:
    """Exact and near copies within and across splits."""
    if not findings.scopes:
        return "no copies, exact or near"
    note = "too many: within a split all but one a group; across two, those of the later one"
    table = Table(title="copies", title_justify="left", title_style="bold", caption=note, caption_justify="left")
    for header in ("kind", "where"):
        table.add_column(header, no_wrap=True)
    for header in ("groups", "labels differ", "too many"):
        table.add_column(header, justify="right")
    for scope in findings.scopes:
        across = len(scope.splits) == 2
        where = line((" ↔ ".join(scope.splits), "yellow" if across else ""))
        table.add_row(scope.kind, where, f"{scope.groups:,}", f"{scope.conflicting:,}", f"{scope.extra:,}")
    return table


def _verdict(findings: Findings, droppable: bool) -> Iterator[str | Text]:
    """What is wrong, what to know, and the conclusion, a line each; `droppable` if data.copies can be set to drop."""
    source = findings.source
    for split, why in source.absent.items():
        yield f"no {split} split: {why}"
    if findings.untrainable is not None:
        yield line(("train", "red"), f" ferlab train would refuse it: {findings.untrainable}")
    for reason, number in source.dropped.items():
        yield f"left out, {reason}: {number:,}"
    for place, number in source.unread.items():
        yield line(("unread", "red"), f" {number:,} pictures in {place} are in no split; move them, or away from there")
    if source.unlearnable:
        yield line(("train", "red"), f" no face to train on is labelled {', '.join(source.unlearnable)}")
    for error in findings.unreadable[:LISTED]:
        yield line(("unreadable", "red"), f" {error}")
    if len(findings.unreadable) > LISTED:
        yield line(("unreadable", "red"), f" and {len(findings.unreadable) - LISTED:,} more; out=… lists all")
    for split, (here, official) in findings.miscounted.items():
        yield line(("count", "red"), f" {split} must have {official:,} pictures, got {here:,}; download it again")
    for scope in findings.leaks:
        first, second = scope.splits
        share = scope.extra / len(source.splits[second])
        leak = f"{scope.extra:,} of {second} ({share:.1%}) have an {scope.kind} copy in {first}"
        if findings.as_published and not {first, second} <= set(source.official):
            yield line(
                ("leak", "bold yellow"), f" {leak}: a split was cut off here, face by face; say it beside a score"
            )
        elif findings.as_published:
            yield line(("leak", "bold yellow"), f" {leak}: the dataset was published so; say it beside a score")
        elif scope.kind == "exact":
            drop = ", or set data.copies=drop to train without them" if droppable and first == "train" else ""
            yield line(("leak", "red"), f" {leak}; remove them from one of the two{drop}")
        else:
            yield line(("leak", "yellow"), f" {leak}; look at duplicates.png (out=…)")
    if findings.failed:
        yield line(("needs mending", "bold red"))
    elif findings.leaks:
        yield line(("sound but for the leaks", "bold yellow"))
    else:
        yield line(("sound", "bold green"))
