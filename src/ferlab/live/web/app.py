"""The routes of the page's server."""

import mimetypes
from concurrent.futures import Executor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from ferlab.box import named
from ferlab.errors import BundleError
from ferlab.live.parts import Parts
from ferlab.live.run import sha256
from ferlab.live.smooth import PRESETS
from ferlab.live.web.client import Client

PAGE = Path(__file__).parent / "page"
mimetypes.add_type("text/javascript", ".js")  # Windows may have registered another


def hello(parts: Parts) -> dict[str, Any]:
    """The first message to each client: what answers it, and with which settings."""
    from dataclasses import asdict

    settings, runner = parts.settings, parts.runner
    try:
        card = runner.card
    except BundleError:
        card = ""
    file = runner.path
    size = 0 if file is None else sum(f.stat().st_size for f in ([file] if file.is_file() else file.rglob("*.*")))
    return {
        "type": "hello",
        "labels": list(runner.labels),
        "affect": runner.spec.affect,
        "model": {
            "name": named(file) or str(runner.model.get("name")),
            "summary": repr(runner),
            "size": runner.spec.size,
            "bytes": size,
            "digest": sha256(runner),
            "card": card,
        },
        "detector": {"name": parts.detector.name, "side": settings.side},
        "presets": {name: asdict(each) for name, each in PRESETS.items()},
        "settings": {
            "preset": settings.preset,
            "smooth": asdict(settings.smoothing),
            "score": settings.score,
            "smallest": settings.smallest,
        },
        "can": {"record": False, "enroll": False, "source": "page", "encrypted": False, "blur": settings.blur},
        "version": version("ferlab"),
    }


def application(parts: Parts, turn: Executor) -> Starlette:
    """The server's application."""
    first = hello(parts)

    async def index(request: Request) -> Response:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    async def websocket(socket: WebSocket) -> None:
        await socket.accept()
        await Client(socket, parts, turn, first).run()

    return Starlette(
        routes=[
            Route("/", index),
            Mount("/page", StaticFiles(directory=PAGE)),
            WebSocketRoute("/ws", websocket),
        ]
    )
