"""`ferlab live`: what a model says of the faces in front of a camera, or in a video, while it runs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab import config
from ferlab.box import named
from ferlab.live.settings import PAGE, LiveConfig
from ferlab.screen import Screen, counted

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.live.pipeline import Seen
    from ferlab.live.run import Live


@dataclass
class DecryptConfig:
    """Keys of conf/live_decrypt.yaml, which explains them."""

    session: str = config.MISSING
    key: str = config.MISSING
    out: str = config.MISSING


REMEMBERED = 100  # faces whose label is known, so that days of them fill no memory


def live(invocation: "Invocation") -> None:
    """Watch a source until it ends, or until Ctrl-C; say each change of a label, and keep what `out` asks for."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), LiveConfig)

    from ferlab.interrupt import listening
    from ferlab.live.camera import shown
    from ferlab.live.rows import print_json
    from ferlab.live.run import Live
    from ferlab.live.session import plain

    printed = settings.out == "-"
    screen = Screen(stderr=printed)
    with listening() as stop:
        if settings.source == PAGE:
            serve_page(settings, screen, lambda: stop.signal is not None)
            return
        watched = Live(settings, screen.say, lambda: stop.signal is not None)
        if (torch := sys.modules.get("torch")) is not None:  # the model is a bundle
            torch.set_num_threads(settings.threads)
        name = named(watched.runner.path)
        screen.say(f"model   {f'{name} of the box, ' if name else ''}{watched.runner!r}")
        screen.say(f"faces   detect={watched.detector.name}, search={settings.search}, preset={settings.preset}")
        screen.say(f"source  {shown(settings.source)}; Ctrl-C ends")
        changes = Changes(watched.runner.labels)
        try:
            with closing(iter(watched)) as frames:
                for seen in frames:
                    if printed:
                        print_json(plain(seen, settings.top, settings.names), sys.stdout)
                        sys.stdout.flush()
                    for told in changes(seen):
                        screen.say(told)
        finally:
            if watched.tally.frames:
                screen.say(*closing_lines(watched))


def serve_page(settings: LiveConfig, screen: Screen, stopped: Callable[[], bool]) -> None:
    """Serve the page until Ctrl-C."""
    from ferlab.live.web.serve import serve

    serve(settings, screen.say, stopped)


def decrypt(invocation: "Invocation") -> None:
    """Write the files of an encrypted session to a folder."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), DecryptConfig)

    from ferlab.live.encrypted import unseal
    from ferlab.live.keys import read_key

    folder, out = Path(settings.session).expanduser(), Path(settings.out).expanduser()
    found = unseal(folder, read_key(Path(settings.key).expanduser()), out)
    Screen().say(f"{counted(found, 'file')} of {folder} in {out}, whole and as they were written")


class Changes:
    """What a person is told while it runs: another label of a face, and who it is."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._shown: dict[int, int] = {}
        self._named: dict[int, str] = {}

    def __call__(self, seen: "Seen") -> Iterator[str]:
        """A sentence for each face whose label or name is new."""
        for number, name in zip(seen.faces.ids.tolist(), seen.who, strict=False):  # none where no gallery is asked
            if name is not None and self._named.get(number) != name:
                self._named[number] = name
                yield f"{seen.frame.time:8.2f} s  face {number}  is {name}"
        for i, face in enumerate(seen.shown):
            number = int(seen.faces.ids[i])
            if self._shown.get(number) != face.label:
                share = seen.faces.answers["expression"][i][face.label]
                doubt = ", uncertain" if face.uncertain else ""
                yield f"{seen.frame.time:8.2f} s  face {number}  {self.names[face.label]} {share:.2f}{doubt}"
        self._shown |= {int(seen.faces.ids[i]): face.label for i, face in enumerate(seen.shown)}
        for known in (self._shown, self._named):
            while len(known) > REMEMBERED:
                del known[min(known)]


def closing_lines(watched: "Live") -> list[str]:
    """The last lines: what was seen, how fast, and where it lies."""
    from ferlab.evaluation.drift import sentence

    tally, counts, out = watched.tally, watched.camera and watched.camera.counts, watched.settings.out
    found = tally.summary()
    lines = [
        f"seen    {counted(tally.frames, 'frame')} in {found['seconds']:.1f} s, {found['fps'] or 0:.1f} frames/s; "
        f"{counted(tally.tracks, 'face')} followed; {counted(tally.errors, 'frame')} left out; {watched.ended}"
    ]
    if tally.frames:
        ms = {name: f"{value['p50']:.1f} ms (p95 {value['p95']:.1f})" for name, value in found["ms"].items()}
        whole = "from capture to answer" if counts else "all together"
        lines.append(f"time    detector {ms['detector']}, classifier {ms['classifier']}, {whole} {ms['end_to_end']}")
    if counts and counts.fps is not None:
        by = f" by {counts.backend}" if counts.backend else ""
        lines.append(
            f"camera  {counts.fps:.1f} frames/s{by}, {counts.dropped:,} of {counts.captured:,} dropped for newer ones; "
            f"frames were {found['ms']['age']['p50']:.1f} ms old when they were taken"
        )
    if tally.labels:
        shares = ", ".join(f"{name} {100 * n / tally.labels.total():.0f} %" for name, n in tally.labels.most_common(5))
        lines.append(f"labels  {shares}")
    if (drift := watched.drift.summary()) is not None:
        lines.append(f"drift   {sentence(drift)}")
    for name, each in (watched.kept.summary() if watched.kept else {}).items():
        if name == "video" and each["frames"]:
            lines.append(
                f"video   {Path(str(out)) / each['file']}, {counted(each['frames'], 'frame')}, {each['seconds']:.1f} s"
            )
    if out not in (None, "-") and tally.frames:
        sealed = f"encrypted; ferlab live decrypt session={out} key={watched.settings.encrypt} out=… reads it"
        lines.append(f"session {out}, {sealed if watched.settings.encrypt else 'with all files whole'}")
    return lines
