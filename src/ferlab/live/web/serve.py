"""The page of `ferlab live` while it is served: its clients' frames, or a source of the server's own."""

from collections.abc import Callable
from types import TracebackType

import cv2
from rich.text import Text

from ferlab.live.blur import Blur
from ferlab.live.parts import Parts
from ferlab.live.pipeline import Seen
from ferlab.live.web import protocol
from ferlab.live.web.address import Address
from ferlab.live.web.app import application
from ferlab.live.web.hosted import Hosted
from ferlab.live.web.site import Site

QUALITY = 80  # of the pictures that are shown, JPEG


class Served(Hosted):
    """The page while it is served. A context, which ends the server, and the recordings that run.

    Attributes:
        site: what its clients share.

    Args:
        address: taken.
        parts: opened and warm.
        say: told, in a sentence, what a person should know.
    """

    def __init__(self, address: Address, parts: Parts, say: Callable[[str | Text], None]) -> None:
        self.site = Site(parts, say)
        super().__init__(address, application(self.site), self.site.failed, say, parts.settings.open)
        self._blur = Blur() if parts.settings.blur else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.site.ending = True
        super().__exit__(kind, error, trace)
        self.site.close()
        self.site.turn.shutdown(wait=False, cancel_futures=True)

    @property
    def watched(self) -> bool:
        """Whether somebody looks at the server's own source."""
        return len(self.site.pictures) > 0

    def show(self, seen: Seen) -> None:
        """Show a frame of the server's own source to all who look; from any thread."""
        spans = {"queue": seen.age_ms, "detector": seen.detector_ms, "classifier": seen.classifier_ms}
        spans |= {"pipeline": seen.pipeline_ms, "server": seen.end_to_end_ms}
        said = protocol.content(seen, spans, self.site.parts.gallery is not None)
        message = {"type": "frame", "id": seen.frame.index, "time": seen.frame.time, **said}
        picture, image = b"", seen.frame.image
        if self._blur is not None:
            self._blur.note(seen)
        if self.watched:
            bgr = cv2.cvtColor(self._blur(image) if self._blur is not None else image, cv2.COLOR_RGB2BGR)
            encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            picture = protocol.HEADER.pack(seen.frame.index % 2**32, seen.frame.time) + encoded
        self.call(self._publish, message, picture)

    def note(self, text: str) -> None:
        """Tell all who look at the server's own source; from any thread."""
        self.call(self.site.note, text)

    def _publish(self, message: dict[str, object], picture: bytes) -> None:
        self.site.answered(0, {**message, "type": "answer"})
        if picture:
            self.site.pictures.publish(0, (protocol.encoded(message), picture))
