"""`ferlab --help`, and `--help` of a command: what can be said, computed from conf/ and the schemas."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ferlab import catalogue, config

if TYPE_CHECKING:
    from ferlab.cli import Command

WIDTH = 118
KEYS = 34  # columns of a key with its default; a longer one has its meaning in the next line
VALUE = 40  # characters of a default


def overview(commands: Mapping[str, "Command"], flags: Mapping[str, str]) -> str:
    """What `ferlab --help` prints."""
    width = max(map(len, commands))
    lines = ["ferlab <command> [key=value …]", "", "Commands"]
    lines += [f"  {name:<{width}}  {command.summary}" for name, command in commands.items()]
    lines += ["", "Config groups of train, chosen by group=option; `ferlab list` says what each is"]
    for group, options in catalogue.groups("train").items():
        lines += columns(group, ", ".join(options), width)
    lines += ["", "Flags", *(f"  {flag:<{width}}  {text}" for flag, text in flags.items())]
    lines += [
        "",
        "Examples",
        "  ferlab train model=se_resnet data=ferplus trainer.epochs=25",
        "  ferlab train experiment=fer2013_small",
        "  ferlab evaluate bundle=outputs/…/bundle data=ferplus",
        "  ferlab train --help                     every key of a command",
    ]
    return "\n".join(lines)


def columns(first: str, text: str, width: int) -> list[str]:
    """`first`, and beside it a text of as many lines as it needs."""
    wrapped = wrap(text, WIDTH - width - 4) or [""]
    if len(first) > width:
        return [f"  {first}", *(f"  {'':<{width}}  {line}" for line in wrapped if line)]
    return [f"  {left:<{width}}  {line}".rstrip() for left, line in zip_longest([first], wrapped, fillvalue="")]


def explain(name: str, summary: str, file: str, schema: type | None, overrides: Sequence[str]) -> str:
    """What `--help` of a command prints: a line a key, with its default, what it means, and the names that it takes.

    Args:
        name, summary: of the command.
        file: its config under conf/, or "".
        schema: of it, which knows the names that some keys take.
        overrides: `key=value` that are given beside --help; those of other options of a group have other keys.
    """
    lines = [f"ferlab {name}{' [key=value …]' if file else ''}: {summary}"]
    if file:
        lines += ["", "Keys and their defaults (??? must be given), what they mean, and the names that they take"]
        composed = config.unresolved(config.compose(file, overrides))
        for key, value, text in _lines(file, composed, schema, overrides):
            lines += columns(f"{key}={value}", text, KEYS)
    return "\n".join(lines)


def _lines(
    file: str, composed: Mapping[str, Any], schema: type | None, overrides: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Key, value and meaning: groups without keys of their own first, then the keys as the config has them."""
    groups, said = catalogue.groups(file), _comments(file)
    chosen = catalogue.defaults(file) | dict(each.split("=", 1) for each in overrides if "=" in each)
    for group in sorted(groups, key=lambda name: name in composed):
        if group not in composed:
            yield group, chosen[group], _with_names(said.get(group, ""), groups[group], "")
    for key, value in composed.items():
        if key in groups:
            option = chosen[key]
            meaning = catalogue.meaning(key, option) if option in groups[key] else ""
            said |= {f"{key}.{k}": text for k, text in _option_comments(key, option).items()}
            yield key, option, _with_names("; ".join(filter(None, [said.get(key, ""), meaning])), groups[key], option)
        for dotted, leaf in _leaves(key, value):
            if key in groups and dotted == key:
                continue
            named = key in groups and dotted == f"{key}.name"  # what the group has said
            known = catalogue.choices(schema, dotted) if schema and not named else []
            yield dotted, shown(leaf), _with_names(said.get(dotted, ""), known, str(leaf))


def _comments(file: str) -> dict[str, str]:
    """What the comments of a command's config, and of the one that it extends, say of each key."""
    found = dict(catalogue.comments(catalogue.conf_dir() / f"{file}.yaml").keys)
    for other in catalogue.extended(file):
        found = _comments(other) | found
    return found


def _option_comments(group: str, option: str) -> Mapping[str, str]:
    path = catalogue.conf_dir() / group / f"{option}.yaml"
    return catalogue.comments(path).keys if path.is_file() else {}


def _with_names(text: str, names: Sequence[str], value: str) -> str:
    """The text, and the names unless it has them all."""
    if all(name in text or name == value for name in names):
        return text
    return f"{text}{'; ' if text else ''}one of: {', '.join(names)}"


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values; what names code is left out."""
    if not isinstance(value, dict) or not value:
        yield key, value
        return
    for name, part in value.items():
        if not name.startswith("_"):
            yield from _leaves(f"{key}.{name}", part)


def shown(value: Any) -> str:
    """A value as it is typed, cut if it is long."""
    if isinstance(value, list | tuple):
        text = f"[{','.join(map(shown, value))}]"
    else:
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= VALUE else f"{text[:VALUE]}…"
