"""Configuration: how conf/ is composed, and errors that name the nearest right key.

The only user of hydra and omegaconf. They are imported inside the functions, so that `ferlab --help` is instant.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import is_dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ferlab.catalogue import choices, conf_dir, groups, meant, trusted
from ferlab.errors import ConfigError, suggest
from ferlab.quoting import as_text

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")
CONFIG_FILE = "config.yaml"  # in a run's folder
MISSING: Any = "???"  # OmegaConf's sign of a key that must be given


def compose(command: str, overrides: Sequence[str]) -> "DictConfig":
    """The config of `command` with `key=value` overrides applied.

    Raises:
        ConfigError: a key, group option or value that does not exist or does not parse; it names the nearest one.
    """
    chosen = tuple(f"{k}={v}" for k, v in _check_groups(command, overrides))
    known: list[str] = []
    with _in_one_line(known):
        default = _composed(command, chosen)
        known += _keys(default)
        _check_keys(command, overrides, known)
        config = _composed(command, tuple(as_text(override, default) for override in overrides))
        _check_values(overrides, default, config)
        return deepcopy(config)


@cache
def _composed(command: str, overrides: tuple[str, ...]) -> "DictConfig":
    """What hydra makes of them; kept, for it takes half a second where a default is all that is asked for."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        return hydra_compose(command, list(overrides))


def _check_groups(command: str, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """The overrides that choose a group's option, each checked; also that every override reads key=value."""
    known = groups(command)
    chosen = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not key or (not equals and not key.startswith("~")):  # ~key takes a key or an option away
            raise ConfigError(
                f"an argument must read key=value, got '{override}'; {meant(command, overrides, override)}"
            )
        group = key.partition("@")[0]  # loss@loss.expression=focal puts an option of a group somewhere else
        if group in known:
            if value not in known[group]:
                raise ConfigError(f"unknown {group} '{value}'; {suggest(value, known[group])}")
            chosen.append((key, value))
    return chosen


def _check_keys(command: str, overrides: Sequence[str], known: list[str]) -> None:
    taken = {*known, *groups(command)}
    for override in overrides:
        key = override.partition("=")[0]
        if key.lstrip("+~") == key and key.partition("@")[0] not in taken:
            raise ConfigError(f"unknown key '{key}' for ferlab {command}; {suggest(key, taken)}")


def _check_values(overrides: Sequence[str], default: "DictConfig", config: "DictConfig") -> None:
    """Each value must be of the kind that it replaces: a schema knows most keys, but none below a `_target_`."""
    from omegaconf import OmegaConf

    given = dict(override.lstrip("+").split("=", 1) for override in overrides if not override.startswith("~"))
    for key, text in given.items():
        wanted, got = (_kind(OmegaConf.select(each, key)) for each in (default, config))
        may_be_null = wanted in ("keys and values", "text")  # augment.sample, model.weights
        if wanted not in (got, "nothing") and not (may_be_null and got == "nothing"):
            raise ConfigError(f"'{key}' must be {wanted}, got {text or 'nothing'}; --cfg shows its default")


def _kind(value: Any) -> str:
    from omegaconf import DictConfig, ListConfig

    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"), ((int, float), "a number"), (str, "text"),
        (ListConfig, "a list in brackets"), (DictConfig, "keys and values"),
    ]  # fmt: skip
    return next((name for kind, name in kinds if isinstance(value, kind)), "nothing")


@contextmanager
def _in_one_line(known: Sequence[str]) -> Iterator[None]:
    """Turn errors of hydra and omegaconf into a ConfigError of one line, with the nearest of the `known` keys."""
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import ConfigKeyError, InterpolationKeyError, OmegaConfBaseException

    try:
        yield
    except InterpolationKeyError as error:
        wrong = str(error).split("'")[1]
        raise ConfigError(f"there is no key '{wrong}' to take a value from; {suggest(wrong, known)}") from error
    except ConfigKeyError as error:
        names = getattr(error.object_type, "__dataclass_fields__", known)
        raise ConfigError(f"unknown key '{error.full_key}'; {suggest(str(error.key), names)}") from error
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{where}{str(error).splitlines()[0]}; see --cfg for the types in use") from error
    except OverrideParseException as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"cannot read '{error.override}': {reason}; close its brackets and quotes") from error
    except HydraException as error:
        raise ConfigError(f"cannot compose the config: {' '.join(str(error).split())}; correct conf/") from error


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of every key below `node`."""
    from omegaconf import DictConfig

    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _keys(child, f"{prefix}{key}.")


def typed(config: "DictConfig", schema: type[T]) -> T:
    """Check `config` against a dataclass and return an instance of it.

    Raises:
        ConfigError: a key without a value, a value of the wrong type, an unknown name, or a key that the schema lacks.
    """
    from omegaconf import OmegaConf

    with _in_one_line(list(_keys(config))):
        merged = OmegaConf.merge(OmegaConf.structured(schema), config)
        missing = sorted(OmegaConf.missing_keys(merged))
        if missing:
            raise ConfigError(f"'{missing[0]}' must be given, got nothing; add {missing[0]}=…")
        OmegaConf.resolve(merged)
        result: T = OmegaConf.to_object(merged)  # type: ignore[assignment]
    _check_choices(result)
    return result


def _check_choices(values: Any, prefix: str = "") -> None:
    """Raise a ConfigError for a value, in these or nested ones, that is none of the names that its field takes."""
    for name in values.__dataclass_fields__:
        value, known = getattr(values, name), choices(type(values), name)
        if is_dataclass(value):
            _check_choices(value, f"{prefix}{name}.")
        for each in value if isinstance(value, list) else [value]:
            if known and each is not None and each not in known:
                raise ConfigError(f"unknown {prefix}{name} '{each}'; {suggest(str(each), known)}")


def plain(config: "DictConfig") -> dict[str, Any]:
    """The config as nested dicts and lists, interpolations resolved."""
    from omegaconf import OmegaConf

    result: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return result


def unresolved(config: "DictConfig") -> dict[str, Any]:
    """The config as nested dicts and lists, references and missing values as they are written."""
    from omegaconf import OmegaConf

    result: dict[str, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    return result


def to_yaml(config: Any) -> str:
    """The config, or plain nested values, as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(config) if isinstance(config, dict) else config)


def load(file: Path) -> "DictConfig":
    """A run's config. ferlab writes values and no references, so that nothing in it needs to be resolved.

    A run's folder may come from elsewhere: what a `_target_` names is called, and a reference can make one, read the
    environment, or another file's keys.

    Raises:
        ConfigError: it cannot be read, holds a reference, or names code that nothing under conf/ names.
    """
    import yaml
    from omegaconf import DictConfig, OmegaConf

    if not file.is_file():
        raise ConfigError(f"{file} must be a run's config, got no such file; check the path")
    try:
        text = file.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):  # nine of nine of nine … fill memory
            raise ConfigError(f"{file} must hold values, got a YAML alias; write the value itself")
        config = OmegaConf.load(StringIO(text))
    except ConfigError:
        raise
    except Exception as error:  # yaml and omegaconf raise unrelated types
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file} must be a run's config, got {reason}; check the path") from error
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{file} must hold keys and values, got a list; check the path")
    _check_trusted(OmegaConf.to_container(config, resolve=False), str(file))
    return config


def _check_trusted(value: Any, where: str) -> None:
    """Raise a ConfigError if nested plain values hold a reference, or a `_target_` that nothing under conf/ names."""
    if isinstance(value, str) and "${" in value:
        raise ConfigError(f"{where} must hold values, got the reference {value[:80]!r}; write the value itself")
    if isinstance(value, dict) and "_target_" in value and (target := str(value["_target_"])) not in trusted():
        raise ConfigError(
            f"{where} must name code that a file under conf/ names, got {target!r}; {suggest(target, trusted())}"
        )
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_trusted(part, where)


def for_training(overrides: Sequence[str], earlier: str | None) -> "DictConfig":
    """The config of a new run, of one that repeats an earlier run, or of one that `resume=RUN` goes on with.

    Args:
        overrides: `key=value`; a resumed run takes no other than `resume` and those that `movable` allows.
        earlier: the folder of the run to repeat, or None.

    Raises:
        ConfigError: as `compose`, or no run's config at the folder.
    """
    if earlier is not None:
        return repeat(run_folder(earlier, "--from") / CONFIG_FILE, overrides)
    given = [override for override in overrides if override.startswith("resume=")]
    folder = compose("train", given).resume
    if folder is None:
        return compose("train", overrides)
    # tracker= as one key, for a run's config has no groups any more.
    moved = [re.sub("^tracker=", "tracker.name=", override) for override in overrides if override not in given]
    for override in moved:
        if not movable(override.partition("=")[0]):
            raise ConfigError(
                f"a resumed run keeps its config, for with {override} it would be another; resume= takes data.root, "
                f"teacher, outputs, tracker, trainer.device, threads and workers; to change others: ferlab train "
                f"--from {folder}"
            )
    resumed = repeat(run_folder(folder, "resume") / CONFIG_FILE, moved)
    resumed.resume = folder
    return resumed


def movable(key: str) -> bool:
    """Whether a key says where things lie or who computes, and changes the run by rounding at most.

    Which faces and which teacher they are, a run knows by their digests.
    """
    parts = key.split(".")
    places = ("outputs", "teacher", "trainer.device", "trainer.threads", "trainer.workers")
    return key in places or parts[0] == "tracker" or (parts[0] == "data" and parts[-1] == "root")


def run_folder(folder: str, key: str) -> Path:
    """The folder of a run, which has a config; else a ConfigError that names one near it."""
    path = Path(folder)
    if (path / CONFIG_FILE).is_file():
        return path
    below = sorted([*path.glob(f"*/{CONFIG_FILE}"), *path.glob(f"*/*/{CONFIG_FILE}")])  # the last is the newest
    near = [file.parent for file in (path.parent / CONFIG_FILE, *below) if file.is_file()]
    got = "which does not exist" if not path.exists() else f"in which there is no {CONFIG_FILE}"
    remedy = f"did you mean {near[-1]}?" if near else "check the path"
    raise ConfigError(f"{key} must be a run's folder, got {folder}, {got}; {remedy}")


def _check_store(file: Path, config: "DictConfig", overrides: Sequence[str]) -> None:
    """Raise a ConfigError if the metrics would go to a store that only the run's folder names."""
    from omegaconf import OmegaConf

    name, uri = (OmegaConf.select(config, f"tracker.{key}") for key in ("name", "uri"))
    if name == "none" or uri is None or any(o.startswith("tracker.uri=") for o in overrides) or uri == own_store():
        return
    raise ConfigError(
        f"{file} sends metrics to {str(uri)!r}, which neither conf/ nor this command names; "
        f"add tracker.uri={str(uri)!r} if it is yours, or tracker.name=none"
    )


def own_store() -> str | None:
    """The tracking store that the user's conf/ names; None is mlruns/ in the working folder."""
    uri: str | None = compose("train", ["tracker=mlflow"]).tracker.uri
    return uri


def repeat(file: Path, overrides: Sequence[str]) -> "DictConfig":
    """The config of an earlier run, with `key=value` overrides; groups cannot be chosen anew.

    Raises:
        ConfigError: no such run, a key that its config lacks, or a tracking store that only its config names: a folder
            from elsewhere must not choose who hears of this machine.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    before, config = load(file), load(file)
    _check_groups("train", overrides)
    known = list(_keys(before))
    with _in_one_line(known):
        for override in overrides:
            key = override.partition("=")[0]
            if key in groups("train"):
                raise ConfigError(
                    f"--from keeps the run's {key}, got '{override}'; change its keys, or start a new run"
                )
            if key not in known:
                raise ConfigError(f"unknown key '{key}' in {file}; {suggest(key, known)}")
            (parsed,) = OverridesParser.create().parse_overrides([as_text(override, before)])
            OmegaConf.update(config, key, parsed.value())
        _check_values(overrides, before, config)
    _check_store(file, config, overrides)
    return config


def instantiate(node: Any, **arguments: Any) -> Any:
    """Build the object that a config names by `_target_`; a ferlab error inside it comes out as itself.

    `arguments` are passed as they are: hydra itself would copy them.

    Raises:
        ConfigError: it cannot be built, or it or a part of it is nothing that conf/ names, whoever wrote the config.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate
    from omegaconf import DictConfig, OmegaConf

    from ferlab.errors import FerlabError

    values = plain(node if isinstance(node, DictConfig) else OmegaConf.create(node))
    if "_target_" not in values:
        raise ConfigError(f"what is built must name its code by _target_, got {str(values)[:80]}; see --cfg")
    _check_trusted(values, "the config")  # after resolving, which can make a target; hydra would resolve once more
    try:
        return hydra_instantiate(values, _convert_="all", _partial_=True)(**arguments)
    except FerlabError:
        raise
    except (InstantiationException, TypeError, ValueError) as error:
        if isinstance(error.__cause__, FerlabError):  # of a part, which hydra builds first
            raise error.__cause__ from error
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"cannot build {values['_target_']}: {reason}; see --cfg for its keys") from error
