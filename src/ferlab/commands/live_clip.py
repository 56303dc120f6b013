"""`ferlab live make-clip`: annotated clips, to measure `ferlab live` with."""

from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlab import config
from ferlab.live.clips import ClipSettings, chosen, write_clips
from ferlab.screen import Screen, counted, progress

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.data.source import Source


@dataclass(kw_only=True)
class LiveClipConfig(ClipSettings):
    """Keys of conf/live_clip.yaml, which explains them."""

    data: dict[str, Any] = field(default_factory=dict)
    out: str = config.MISSING


def make_clip(invocation: "Invocation") -> None:
    """Write clips with their truth."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), LiveClipConfig)
    source: Source = config.instantiate(settings.data)
    how = ClipSettings(**{each.name: getattr(settings, each.name) for each in fields(ClipSettings)})
    out = Path(settings.out).expanduser()
    written = write_clips(source, out, how, partial(progress, "drawing clips"))
    labels, few = chosen(source, how)
    screen = Screen()
    screen.say(f"faces   {source.name}, validation: {source.protocol_of('validation')}")
    screen.say(f"labels  {', '.join(source.labels[i] for i in labels)}")
    if few:
        screen.say(f"        left out, with too few faces: {', '.join(few)}")
    people = counted(how.people, "person").replace("persons", "people")
    screen.say(f"wrote   {counted(len(written), 'clip')} of {how.seconds:g} s with {people} to {out}")
    screen.say(f"measure {out} by: ferlab live evaluate clips={out}")
