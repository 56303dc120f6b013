"""Values as they are typed behind a `key=`: text stays text, whatever hydra or YAML would make of it."""

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ferlab.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def as_text(override: str, default: "DictConfig") -> str:
    """The override, its value quoted if the key takes text and hydra reads something else, as in `faces/ä(1).png`.

    Keys that hold numbers, lists or mappings are left alone: there a value that does not parse is a mistake. A key
    whose default is null may take text or a number: `2024_11_25` and `1.10` go there as they were typed, and a schema
    that wants a number takes it from the text.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    key, _, value = override.partition("=")
    before = OmegaConf.select(default, key) if key.lstrip("+~") == key else 0
    if not isinstance(before, str | None):
        with suppress(HydraException):
            if OverridesParser.create().parse_override(override).is_sweep_override():
                raise ConfigError(f"'{key}' must have one value, got '{override}'; put brackets around a list")
        return override
    if value.startswith("~/"):  # few shells expand it behind a "="
        value = os.path.expanduser(value)
        override = f"{key}={value}"
    try:
        parsed = OverridesParser.create().parse_override(override)
        if not parsed.is_sweep_override():
            read = parsed.value()
            as_typed = not isinstance(read, bool | int | float) or str(read) == value
            if isinstance(read, str | None) or (before is None and as_typed):
                return override
    except HydraException:
        pass
    return f"{key}={_quoted(value)}"


def _quoted(value: str) -> str:
    """In hydra's quotes, where a backslash is one unless a quote comes after it."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"'{escaped}'"


def as_item(value: Any) -> str:
    """A value as it is typed in a list in brackets; text is quoted where hydra would read something else."""
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    if re.fullmatch(r"[A-Za-z_][\w ]*(?<! )", value, re.ASCII) and value.lower() not in ("true", "false", "null"):
        return value
    return _quoted(value)
