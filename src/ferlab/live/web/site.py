"""What all clients of a server share: the model, the turn, what was done, and who listens."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ferlab import __version__
from ferlab.box import named
from ferlab.errors import BundleError
from ferlab.live.encrypted import session_key
from ferlab.live.heat import cooling
from ferlab.live.parts import Parts, Tuning
from ferlab.live.settings import PAGE, LiveConfig
from ferlab.live.smooth import PRESETS, preset
from ferlab.live.web import protocol
from ferlab.live.web.feed import Feed
from ferlab.live.web.hosted import failure
from ferlab.live.web.metrics import Metrics
from ferlab.live.web.recording import OUT

MOST = 8  # clients at a time
TOLD = 100  # different failures that are told

Pictured = tuple[str, bytes | None]  # a message and, of a frame, the picture that follows it


class Ending(Protocol):
    """Something that must end before the program does."""

    def finish(self, why: str) -> None:
        """End, once the event loop is over."""
        ...


class Site:
    """State of one server; its methods are called in the event loop's thread.

    Attributes:
        settings, parts: what answers, and how.
        presets: that a client may name.
        turn: one thread, in which frames are answered, one of each client in turn.
        cool: to be called once a turn.
        metrics: what was done.
        answers: each answer, as text.
        pictures: each frame of the server's own source, with its picture.
        clients: pages that are there now.
        key: that recordings are encrypted with, or None.
        keeping: clients whose recordings run.
        ending: whether the server is about to end.
        hello: the first message to each.

    Args:
        parts: opened and warm.
        say: told, in a sentence, what a person should know.

    Raises:
        ConfigError: the key of recordings cannot be had.
    """

    def __init__(self, parts: Parts, say: Callable[[str], None]) -> None:
        self.settings, self.parts, self.say = parts.settings, parts, say
        self.key = key_of(self.settings, say)
        self.keeping: set[Ending] = set()
        self.ending = False
        self.presets = {**PRESETS, Path(self.settings.preset).name: preset(self.settings.preset)}
        self.turn = ThreadPoolExecutor(1, "turn")
        self.cool = cooling(self.settings.device, say)
        self.metrics = Metrics()
        self.answers: Feed[str] = Feed()
        self.pictures: Feed[Pictured] = Feed()
        self.clients = 0
        self.hello = hello(parts, self.presets)
        self._told: set[str] = set()

    def answered(self, client: int, answer: Mapping[str, Any]) -> None:
        """Count an answer, and give it to who listens."""
        self.metrics.count(answer)
        if len(self.answers):
            hidden = set() if self.settings.names else {"name"}
            faces = [{key: value for key, value in face.items() if key not in hidden} for face in answer["faces"]]
            self.answers.publish(client, protocol.encoded({"client": client, **answer, "faces": faces}))

    def failed(self, error: BaseException) -> None:
        """Tell of a failure, the same one once."""
        line = failure(error)
        if line not in self._told and len(self._told) < TOLD:
            self._told.add(line)
            self.say(line)

    def close(self) -> None:
        """End the recordings that run; the event loop is over."""
        for each in list(self.keeping):
            each.finish("ferlab was stopped")

    def note(self, text: str) -> None:
        """Tell everybody who looks at the server's source."""
        self.pictures.publish(-1, (protocol.encoded({"type": "note", "text": text}), None))


def key_of(settings: LiveConfig, say: Callable[[str], None]) -> bytes | None:
    """The key of what the page records; None if that is not encrypted, or the session is the source's."""
    if settings.encrypt is None or settings.source != PAGE:
        return None
    return session_key(Path(settings.encrypt).expanduser(), Path(settings.out or OUT).expanduser(), say)


def hello(parts: Parts, presets: Mapping[str, Any]) -> dict[str, Any]:
    """The first message to each client: what answers it, and with which settings."""
    settings, runner = parts.settings, parts.runner
    return {
        "type": "hello",
        "labels": list(runner.labels),
        "affect": runner.spec.affect,
        "model": model(parts),
        "detector": {"name": parts.detector.name, "side": settings.side},
        "presets": {name: asdict(each) for name, each in presets.items()},
        "settings": protocol.settings(Tuning.of(settings), presets),
        "can": {
            "record": settings.source == PAGE,
            "enroll": settings.source == PAGE and parts.gallery is not None,
            "source": "page" if settings.source == PAGE else "server",
            "encrypted": settings.encrypt is not None,
            "blur": settings.blur,
        },
        "version": __version__,
    }


def model(parts: Parts) -> dict[str, Any]:
    """What a person may want to know of the model; plain values."""
    runner = parts.runner
    try:
        card = runner.card
    except BundleError:  # an exported file may lie alone
        card = ""
    path, name = runner.path, str(runner.model.get("name"))
    files = [] if path is None else [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    about = f"{name}, {runner.spec.size}×{runner.spec.size} {runner.spec.colour}, trained on "
    return {
        "name": named(path) or name,
        "summary": about + str(runner.provenance.get("dataset") or "a dataset that it does not name"),
        "size": runner.spec.size,
        "bytes": sum(file.stat().st_size for file in files),
        "digest": parts.sha256,
        "card": card,
    }
