"""What there is to choose from: the groups, options and keys under conf/, and what the comments there say of them.

conf/ is read as text, without a YAML parser, so that `ferlab --help` is instant.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints


def conf_dir() -> Path:
    """The folder with ferlab's own configs: in the wheel beside this file, in a checkout at its root."""
    package = Path(__file__).parent
    return package / "conf" if (package / "conf").is_dir() else package.parents[1] / "conf"


def groups(command: str) -> dict[str, list[str]]:
    """Config groups of a command and their options, by name."""
    names = defaults(command)
    folders = sorted(p for p in conf_dir().iterdir() if p.is_dir() and p.name in names)
    return {p.name: options(p.name) for p in folders}


def options(group: str) -> list[str]:
    """The options of a config group."""
    return sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))


def defaults(command: str) -> dict[str, str]:
    """The groups in the defaults list of a command's config, and of the config that it extends, with their options.

    A line of it reads `  - [optional ]group: option` or `  - config`.
    """
    found: dict[str, str] = {}
    for other in extended(command):
        found |= defaults(other)
    return found | dict(item.split(": ", 1) for item in _listed(command) if ": " in item)


def extended(command: str) -> list[str]:
    """The configs that a command's config extends."""
    return [item for item in _listed(command) if ": " not in item and item != "_self_"]


def _listed(command: str) -> list[str]:
    lines = (conf_dir() / f"{command}.yaml").read_text(encoding="utf-8").splitlines()
    listed = (line.partition("#")[0].strip() for line in lines if line.startswith("  - "))
    return [line.removeprefix("- ").removeprefix("optional ") for line in listed]


@dataclass(frozen=True)
class Comments:
    """What the comments in a YAML file say.

    Attributes:
        head: of the file, as one paragraph, without the commands that it shows.
        keys: of each key, by its dotted name; in a defaults list, of each group.
    """

    head: str
    keys: Mapping[str, str]


@cache
def comments(file: Path) -> Comments:
    """The comments in a YAML file: those at its top, and those above a key or behind it."""
    head: list[str] = []
    above: list[str] = []
    keys: dict[str, str] = {}
    parents: list[tuple[int, str]] = []  # of the line, with how far they are indented
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not keys and not parents:
            head.append(line.removeprefix("#").strip())
            continue
        text, _, comment = line.partition(" # ")
        if line.lstrip().startswith("#"):
            above.append(line.strip().removeprefix("#").strip())
        elif found := re.match(r"( *)(?:- (?:optional )?/?)?([\w@.]+):", text):
            depth = len(found[1])
            parents = [each for each in parents if each[0] < depth]
            name = ".".join([*(key for _, key in parents if key != "defaults"), found[2]])
            parents.append((depth, found[2]))
            keys[name] = " ".join([*above, comment.strip()]).strip()
            above = []
    return Comments(" ".join(each for each in head if not each.startswith(("@package", "ferlab "))), keys)


def meaning(group: str, option: str) -> str:
    """The first sentence of what an option's file says of it."""
    return re.split(r"(?<!et al)\.(?:\s|$)", comments(conf_dir() / group / f"{option}.yaml").head, maxsplit=1)[0]


def choice(default: Any, known: Iterable[str] | str | Callable[[], Iterable[str]]) -> Any:
    """A field of a schema that takes one of the names in `known`, or a list of them; `config.typed` checks it.

    Args:
        default: of the field; `...` is none.
        known: the names; what is slow to import is given as "ferlab.formats:FORMATS" or by a function.
    """
    make: dict[str, Any] = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    make = {} if default is ... else make
    return field(**make, metadata={"choices": known})


def choices(schema: type, key: str) -> list[str]:
    """The names that a dotted key takes, as its schema says; none if it says nothing."""
    first, _, rest = key.partition(".")
    fields = schema.__dataclass_fields__ if is_dataclass(schema) else {}
    if first not in fields:
        return []
    if rest:
        return choices(get_type_hints(schema)[first], rest)
    known = fields[first].metadata.get("choices", ())
    if isinstance(known, str):
        module, name = known.split(":")
        known = getattr(import_module(module), name)
    return list(known() if callable(known) else known)


def model_names() -> list[str]:
    """The architectures that the options of `model=` name."""
    texts = (file.read_text(encoding="utf-8") for file in sorted((conf_dir() / "model").glob("*.yaml")))
    return sorted({name for text in texts for name in re.findall(r"^name: (\w+)", text, re.MULTILINE)})


def meant(command: str, overrides: Sequence[str], word: str) -> str:
    """The end of an error sentence: which key a word without one is likely for."""
    chosen = [f"{group}={word}" for group, options in groups(command).items() if word in options]
    must = re.findall(r"^(\w+): \?\?\?", (conf_dir() / f"{command}.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    left = [f"{key}={word}" for key in must if not any(each.startswith(f"{key}=") for each in overrides)]
    likely = chosen or left[-1 if Path(word).suffix else 0 :]  # face.png is a picture, not the model to ask
    return f"did you mean '{likely[0]}'?" if likely else "see 'ferlab --help'"


@cache
def trusted() -> frozenset[str]:
    """Everything that a `_target_` names under conf/, the user's own files there included."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in conf_dir().rglob("*.yaml"))
    return frozenset(re.findall(r"_target_\s*:\s*([\w.]+)", text))
