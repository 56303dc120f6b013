"""`ferlab live`: what a model says of the faces in front of a camera, in a page or on the terminal, while it runs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab import config
from ferlab.box import named
from ferlab.live.settings import PAGE, LiveConfig
from ferlab.screen import Screen, counted

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.live.parts import Parts
    from ferlab.live.pipeline import Seen
    from ferlab.live.run import Live
    from ferlab.live.web.address import Address


@dataclass
class DecryptConfig:
    """Keys of conf/live_decrypt.yaml, which explains them."""

    session: str = config.MISSING
    key: str = config.MISSING
    out: str = config.MISSING


REMEMBERED = 100  # faces whose label is known, so that days of them fill no memory


def live(invocation: "Invocation") -> None:
    """Serve the page, or watch a source until it ends; until Ctrl-C."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), LiveConfig)

    from ferlab.interrupt import listening

    screen = Screen(stderr=settings.out == "-")
    with ExitStack() as held:
        stop = held.enter_context(listening())
        address = None
        if settings.paged:
            from ferlab.live.web.address import taken

            address = taken(settings)  # before the model is opened, which takes a while
            held.callback(address.socket.close)
        if settings.view is not None:
            assert address is not None
            look_at(settings, address, screen, lambda: stop.signal is not None)
        elif settings.source == PAGE:
            assert address is not None
            serve(settings, address, screen, lambda: stop.signal is not None)
        else:
            watch(settings, address, screen, lambda: stop.signal is not None)


def look_at(settings: LiveConfig, address: "Address", screen: Screen, stopped: Callable[[], bool]) -> None:
    """Show a session in the browser until `stopped`."""
    from ferlab.live.view import view_of
    from ferlab.live.web.viewer import hosted

    screen.say(f"session {settings.view}")
    view = view_of(Path(str(settings.view)).expanduser())
    frames, faces = len(view.frames["time"]), len(view.faces["track"])
    screen.say(
        f"        {counted(frames, 'frame')} with {counted(faces, 'face')}", *(f"note    {x}" for x in view.notes)
    )
    with hosted(address, view, screen.say, settings.open) as page:
        screen.say("        Ctrl-C ends")
        page.wait(stopped)


def serve(settings: LiveConfig, address: "Address", screen: Screen, stopped: Callable[[], bool]) -> None:
    """Answer the frames of browsers until `stopped`."""
    from ferlab.live.parts import Parts
    from ferlab.live.web.serve import Served

    with Served(address, opened(Parts(settings, screen.say), screen), screen.say) as page:
        screen.say("        Ctrl-C ends")
        page.wait(stopped)
        done = page.site.metrics
    if done.served:
        found = f"{counted(done.frames, 'frame')} of {counted(done.served, 'page')}, {counted(done.faces, 'face')}"
        screen.say(f"seen    {found}; {counted(done.errors.total(), 'message')} refused")


def watch(settings: LiveConfig, address: "Address | None", screen: Screen, stopped: Callable[[], bool]) -> None:
    """Watch a source; say each change of a label, or show it on the page, and keep what `out` asks for."""
    from ferlab.live.camera import shown
    from ferlab.live.rows import print_json
    from ferlab.live.run import Live
    from ferlab.live.session import plain
    from ferlab.live.sources import is_camera

    if address is not None:
        settings = replace(settings, paced=not is_camera(settings.source))  # a file at its own speed, to be looked at
    watched = Live(settings, screen.say, stopped)
    opened(watched.parts, screen)
    screen.say(f"source  {shown(settings.source)}; Ctrl-C ends")
    changes = Changes(watched.runner.labels)
    with ExitStack() as held:
        page = None
        if address is not None:
            from ferlab.live.web.serve import Served

            page = held.enter_context(Served(address, watched.parts, screen.say))
            if not is_camera(settings.source):
                page.wait(lambda: stopped() or page.watched)  # it would be over before the page is open
        held.callback(summed_up, watched, screen)
        for seen in held.enter_context(closing(iter(watched))):
            if settings.out == "-":
                print_json(plain(seen, settings.top, settings.names), sys.stdout)
                sys.stdout.flush()
            for line in changes(seen) if page is None else ():
                screen.say(line)
            if page is not None:
                page.show(seen)
        if page is not None:
            page.note(f"{shown(settings.source)}: {watched.ended}")


def opened(parts: "Parts", screen: Screen) -> "Parts":
    """Say what answers."""
    if (torch := sys.modules.get("torch")) is not None:  # the model is a bundle
        torch.set_num_threads(parts.settings.threads)
    name = named(parts.runner.path)
    screen.say(f"model   {f'{name} of the box, ' if name else ''}{parts.runner!r}")
    how = f"search={parts.settings.search}, preset={parts.settings.preset}"
    screen.say(f"faces   detect={parts.detector.name}, {how}")
    return parts


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


def summed_up(watched: "Live", screen: Screen) -> None:
    """Say what was seen, if anything was."""
    if watched.tally.frames:
        screen.say(*closing_lines(watched))


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
