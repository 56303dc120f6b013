"""Configuration: where conf/ is, how it is composed, and errors that name the nearest right key.

The only user of hydra and omegaconf. They are imported inside the functions, so that `ferlab --help` is instant.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ferlab.errors import ConfigError, suggest

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")


def conf_dir() -> Path:
    """The folder with ferlab's own configs: in the wheel beside this file, in a checkout at its root."""
    package = Path(__file__).parent
    return package / "conf" if (package / "conf").is_dir() else package.parents[1] / "conf"


def groups(command: str) -> dict[str, list[str]]:
    """Config groups of a command and their options, by name."""
    names = _defaults(command)
    folders = sorted(p for p in conf_dir().iterdir() if p.is_dir() and p.name in names)
    return {p.name: sorted(f.stem for f in p.glob("*.yaml")) for p in folders}


def _defaults(command: str) -> list[str]:
    """Group names in the defaults list of a command's config, and of the config that it extends.

    Read without a YAML parser, for speed: `  - [optional ]group: option` or `  - config`.
    """
    lines = (conf_dir() / f"{command}.yaml").read_text(encoding="utf-8").splitlines()
    listed = (line.partition("#")[0].strip() for line in lines if line.startswith("  - "))
    items = [line.removeprefix("- ").removeprefix("optional ") for line in listed]
    extended = [name for item in items if ":" not in item and item != "_self_" for name in _defaults(item)]
    return extended + [item.split(":")[0] for item in items if ":" in item]


def compose(command: str, overrides: Sequence[str]) -> "DictConfig":
    """The config of `command` with `key=value` overrides applied.

    Raises:
        ConfigError: a key, group option or value that does not exist or does not parse; it names the nearest one.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    chosen = _check_groups(command, overrides)
    try:
        with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
            default = hydra_compose(command, [f"{k}={v}" for k, v in chosen])
            _check_keys(command, overrides, list(_keys(default)))
            return hydra_compose(command, [_as_text(override, default) for override in overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"cannot compose the config: {' '.join(str(error).split())}; check the overrides") from error


def _check_groups(command: str, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """The overrides that choose a group's option, each checked; also that every override reads key=value."""
    known = groups(command)
    chosen = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"an argument must read key=value, got '{override}'; see 'ferlab --help'")
        if key in known and value != "null":
            if value not in known[key]:
                raise ConfigError(f"unknown {key} '{value}'; {suggest(value, known[key])}")
            chosen.append((key, value))
    return chosen


def _check_keys(command: str, overrides: Sequence[str], known: list[str]) -> None:
    taken = {*known, *groups(command)}
    for override in overrides:
        key = override.partition("=")[0]
        if key.lstrip("+~") == key and key not in taken:
            raise ConfigError(f"unknown key '{key}' for ferlab {command}; {suggest(key, taken)}")


def _as_text(override: str, default: "DictConfig") -> str:
    """The override, its value quoted if the key takes text and hydra's grammar cannot read it, as for `faces/ä(1).png`.

    Keys that hold numbers, lists or mappings are left alone: there a value that does not parse is a mistake.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    key, _, value = override.partition("=")
    if key.lstrip("+~") != key or not isinstance(OmegaConf.select(default, key), str | None):
        return override
    try:
        if not OverridesParser.create().parse_override(override).is_sweep_override():
            return override
    except HydraException:
        pass
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"{key}='{escaped}'"


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
        ConfigError: a key without a value, a value of the wrong type, or a key that the schema lacks.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), config)
        missing = sorted(OmegaConf.missing_keys(merged))
        if missing:
            raise ConfigError(f"'{missing[0]}' must be given, got nothing; add {missing[0]}=…")
        OmegaConf.resolve(merged)
        result: T = OmegaConf.to_object(merged)  # type: ignore[assignment]
        return result
    except MissingMandatoryValue as error:
        raise ConfigError(f"a value is missing: {' '.join(str(error).split())}") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(str(error).split())}; see --cfg for the types in use") from error


def plain(config: "DictConfig") -> dict[str, Any]:
    """The config as nested dicts and lists, interpolations resolved."""
    from omegaconf import OmegaConf

    result: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return result


def to_yaml(config: Any) -> str:
    """The config, or plain nested values, as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(config) if isinstance(config, dict) else config)


def load(file: Path) -> "DictConfig":
    """A config that `to_yaml` wrote; ConfigError if it cannot be read."""
    from omegaconf import DictConfig, OmegaConf

    try:
        config = OmegaConf.load(file)
    except Exception as error:  # yaml and omegaconf raise unrelated types
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file} must be a run's config, got {reason}; check the path") from error
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{file} must hold keys and values, got a list; check the path")
    return config


def repeat(file: Path, overrides: Sequence[str]) -> "DictConfig":
    """The config of an earlier run, with `key=value` overrides; groups cannot be chosen anew.

    Raises:
        ConfigError: no such run, or a key that its config lacks.
    """
    from omegaconf import OmegaConf

    config = load(file)
    _check_groups("train", overrides)
    known = list(_keys(config))
    for override in overrides:
        key = override.partition("=")[0]
        if key in groups("train"):
            raise ConfigError(f"--from keeps the run's {key}, got '{override}'; change single keys, or start a new run")
        if key not in known:
            raise ConfigError(f"unknown key '{key}' in {file}; {suggest(key, known)}")
    merged: DictConfig = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))  # type: ignore[assignment]
    return merged


def instantiate(node: Any, **arguments: Any) -> Any:
    """Build the object that a trusted config names by `_target_`; a ferlab error inside it comes out as itself.

    `arguments` are passed as they are: hydra itself would copy them.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    from ferlab.errors import FerlabError

    try:
        return hydra_instantiate(node, _convert_="all", _partial_=True)(**arguments)
    except FerlabError:
        raise
    except (InstantiationException, TypeError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"cannot build {node['_target_']}: {reason}; see --cfg for its keys") from error
