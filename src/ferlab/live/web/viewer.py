"""The session viewer: its page, and of a session's folder what the page asks for and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.text import Text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from ferlab import __version__
from ferlab.live.record import H264
from ferlab.live.view import View, own_file
from ferlab.live.web.address import Address
from ferlab.live.web.hosted import PAGE, Hosted, failure

ALIGNED = 8  # bytes: where a column begins, a browser can look at it as it is
KINDS = {"<f8": "Float64Array", "<f4": "Float32Array", "<u4": "Uint32Array", "<u2": "Uint16Array", "|u1": "Uint8Array"}


def application(view: View) -> Starlette:
    """The viewer of one session; it reads nothing but the video after this."""
    content, columns = packed(view)
    told = json.dumps({**about(view), "columns": columns}, ensure_ascii=False, allow_nan=False).encode()

    async def root(request: Request) -> Response:
        return RedirectResponse("/view", 303)

    async def page(request: Request) -> Response:
        return FileResponse(PAGE / "view.html")

    async def session(request: Request) -> Response:
        return Response(told, media_type=JSONResponse.media_type)

    async def numbers(request: Request) -> Response:
        return Response(content, media_type="application/octet-stream")

    async def video(request: Request) -> Response:
        path = own_file(view.folder, H264) if view.video == H264 else None
        if path is None:
            return PlainTextResponse("This session has no video that a browser plays.\n", 404)
        return FileResponse(path, media_type="video/mp4", stat_result=path.lstat())  # in the ranges that are asked for

    routes: list[BaseRoute] = [
        Route("/", root),
        Route("/view", page),
        Mount("/page", StaticFiles(directory=PAGE)),
        Route("/session/about.json", session),
        Route("/session/columns.bin", numbers),
        Route("/session/video.mp4", video),
    ]
    return Starlette(routes=routes)


def packed(view: View) -> tuple[bytes, list[dict[str, Any]]]:
    """All columns one after the other, and of each its name, of what it is, what it is read as, where, and how wide."""
    parts, columns, at = [], [], 0
    for of, each in (("frames", view.frames), ("faces", view.faces)):
        for name, values in each.items():
            wide = values.shape[1] if values.ndim == 2 else 1
            kind = KINDS[values.dtype.newbyteorder("<").str]
            columns.append({"of": of, "name": name, "kind": kind, "at": at, "count": values.size, "wide": wide})
            part = np.ascontiguousarray(values).tobytes()
            part += bytes(-len(part) % ALIGNED)
            parts.append(part)
            at += len(part)
    return b"".join(parts), columns


def about(view: View) -> dict[str, Any]:
    """What is known of the session beside its columns, plain values."""
    labels: list[list[Any]] = []
    excluded: list[tuple[float, float]] = []
    events: list[tuple[float, str]] = []
    if (truth := view.truth) is not None:
        everybody = [(start, end, entry.label) for start, end, entry in truth.everybody]
        labels += [[start, end, None, label] for start, end, label in everybody]
        for start, end, entry in truth.spans:  # what is said of everybody is in those of who has others, too
            if not any(a <= start and end <= b and entry.label == label for a, b, label in everybody):
                labels.append([start, end, entry.track, entry.label])
        excluded, events = list(truth.excluded), list(truth.events)
    return {
        "name": view.folder.resolve().name,
        "labels": list(view.labels),
        "affect": "valence" in view.faces,
        "picture": list(view.picture),
        "names": {str(track): name for track, name in view.names.items()},
        "summary": [list(each) for each in view.summary],
        "drawn": view.drawn,
        "video": view.video == H264,
        "annotations": {"labels": labels, "excluded": excluded, "events": events},
        "notes": list(view.notes),
        "version": __version__,
    }


def hosted(address: Address, view: View, say: Callable[[str | Text], None], browse: bool) -> Hosted:
    """The viewer, to be served at an address."""
    return Hosted(address, application(view), lambda error: say(failure(error)), say, browse)
