"""A face that gets a name in the page: some looks at its track over the next second, and into the gallery."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import FerlabError
from ferlab.live.identity import APART_S, LOOKS
from ferlab.live.pipeline import Seen
from ferlab.live.web import protocol
from ferlab.live.web.protocol import MessageError, Tell
from ferlab.live.web.site import Site

GIVE_UP_S = 6.0  # seconds within which a face must have shown itself LOOKS times
SMALLEST = 60  # longer side of a face that is looked at, pixels: as `ferlab enroll`
NAME = 100  # characters


@dataclass
class Wanted:
    """A face that is to get a name: its track, the name, and its looks up to now, the last at `looked`, s."""

    track: int
    name: str
    timer: asyncio.TimerHandle
    looks: list[npt.NDArray[np.float32]] = field(default_factory=list)
    looked: float = float("-inf")


class Enrolment:
    """Names that one client gives; its methods are called in the event loop's thread.

    Attributes:
        kinds: type of a message -> what takes it; see `Client`.

    Args:
        site: what all clients share; the gallery is asked and changed in its turn.
        tell: sends the client a message.
        name: told who a track is.
    """

    def __init__(self, site: Site, tell: Tell, name: Callable[[int, str], None]) -> None:
        self._site, self._tell, self._name = site, tell, name
        self.kinds = {"enroll": self._enroll}
        self._wanted: Wanted | None = None
        self._failing: asyncio.Task[None] | None = None

    async def take(self, seen: Seen) -> None:
        """Look at the face that is to get a name, if it is in this frame and was not looked at just now."""
        wanted, time = self._wanted, seen.frame.time
        if wanted is None or time < wanted.looked + APART_S:
            return
        rows = np.flatnonzero(seen.faces.ids == wanted.track)
        if not len(rows) or np.isnan(marks := seen.faces.landmarks[rows[0]]).any():
            return
        if seen.faces.boxes[rows[0], 2:].max() < SMALLEST:
            return
        loop, wanted.looked = asyncio.get_running_loop(), time
        wanted.looks.append(await loop.run_in_executor(self._site.turn, self._site.parts.look, seen.frame.image, marks))
        if len(wanted.looks) == LOOKS and wanted is self._wanted:
            self.cancel()
            await self._tell(await self._named(wanted))

    def cancel(self) -> None:
        """Nobody is to get a name any more; nobody is told."""
        if self._wanted is not None:
            self._wanted.timer.cancel()
        self._wanted = None

    async def _enroll(self, message: dict[str, Any]) -> None:
        track, name = message.get("track"), message.get("name")
        if self._site.parts.gallery is None:
            raise MessageError("enroll", "names must go into a gallery, got none; start with identity=gallery.json")
        if not isinstance(track, int) or isinstance(track, bool) or not 0 <= track < 2**31:
            raise MessageError("enroll", "track must be the number of a face, got something else")
        name = " ".join(name.split()) if isinstance(name, str) else ""
        if not 0 < len(name) <= NAME:
            raise MessageError("enroll", f"name must have 1 to {NAME} characters, got {len(name)}")
        if self._wanted is not None:
            raise MessageError("enroll", f"face {self._wanted.track} is being enrolled; wait a moment")
        loop = asyncio.get_running_loop()
        self._wanted = Wanted(track, name, loop.call_later(GIVE_UP_S, self._give_up))

    async def _named(self, wanted: Wanted) -> dict[str, Any]:
        """Add a face to the gallery, and what is said of that."""
        parts, looks = self._site.parts, np.stack(wanted.looks)
        try:
            loop = asyncio.get_running_loop()
            faces = await loop.run_in_executor(self._site.turn, parts.enroll, wanted.name, looks)
        except FerlabError as error:
            return protocol.error(MessageError("enroll", str(error)))
        parts.share()
        self._name(wanted.track, wanted.name)
        return {"type": "enrolled", "name": wanted.name, "faces": faces}

    def _give_up(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            must = f"seen {LOOKS} times within {GIVE_UP_S:g} s, at least {SMALLEST} pixels large"
            text = f"face {wanted.track} must be {must}, got {len(wanted.looks)} looks; come nearer, facing the camera"
            said = protocol.error(MessageError("enroll", text))
            self._failing = asyncio.ensure_future(self._tell_still(said))

    async def _tell_still(self, said: dict[str, Any]) -> None:
        try:
            await self._tell(said)
        except Exception as error:  # the client has just left
            self._site.failed(error)
