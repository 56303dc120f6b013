"""The routes of the page's server."""

from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from ferlab.live.settings import PAGE as PAGE_SOURCE
from ferlab.live.web import protocol
from ferlab.live.web.client import IN_A_ROW, POLICY, Client, first
from ferlab.live.web.feed import Listener
from ferlab.live.web.hosted import PAGE
from ferlab.live.web.metrics import CONTENT_TYPE
from ferlab.live.web.protocol import MessageError
from ferlab.live.web.site import MOST, Pictured, Site

LATER = 1013  # WebSocket's code for a server that is full


def application(site: Site) -> Starlette:
    """The server's application."""

    async def index(request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def metrics(request: Request) -> Response:
        text = site.metrics.text(site.clients, site.hello["model"]["name"], site.hello["version"])
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def client(socket: WebSocket) -> None:
        await socket.accept()
        if site.clients >= MOST:
            full = MessageError("message", f"at most {MOST} pages are answered at a time; close one of the others")
            await socket.send_text(protocol.encoded(protocol.error(full)))
            await socket.close(LATER, "too many clients")
            return
        site.clients += 1
        site.metrics.served += 1
        try:
            await (Client(socket, site).run() if site.settings.source == PAGE_SOURCE else view(socket, site))
        finally:
            site.clients -= 1

    async def feed(socket: WebSocket) -> None:
        await socket.accept()
        if len(site.answers) >= MOST:
            await socket.close(LATER, "too many listeners")
            return
        with site.answers.listening() as listener, suppress(WebSocketDisconnect):
            await first(_closed_by_any(socket), _tell(socket, listener))

    routes: list[BaseRoute] = [
        Route("/", index),
        Route("/metrics", metrics),
        Mount("/page", StaticFiles(directory=PAGE)),
        WebSocketRoute("/ws", client),
        WebSocketRoute("/feed", feed),
    ]
    return Starlette(routes=routes)


async def view(socket: WebSocket, site: Site) -> None:
    """Show a client the server's own source, the newest frame each time."""
    with site.pictures.listening() as listener, suppress(WebSocketDisconnect):
        await socket.send_text(protocol.encoded(site.hello))
        await first(_refuse(socket, site, listener), _show(socket, listener))


async def _refuse(socket: WebSocket, site: Site, listener: Listener[Pictured]) -> None:
    """Nothing can be asked of a source that is the same for all."""
    for wrong in range(1, IN_A_ROW + 1):
        if (await socket.receive())["type"] == "websocket.disconnect":
            return
        site.metrics.errors["message"] += 1
        error = MessageError("message", "the source is the server's, the same for all, and takes no messages")
        listener.put(-1 - wrong, (protocol.encoded(protocol.error(error)), None))
    await socket.close(POLICY, f"{IN_A_ROW} messages in a row were wrong")


async def _show(socket: WebSocket, listener: Listener[Pictured]) -> None:
    while True:
        text, picture = await listener.take()
        await socket.send_text(text)
        if picture is not None:
            await socket.send_bytes(picture)


async def _tell(socket: WebSocket, listener: Listener[str]) -> None:
    while True:
        await socket.send_text(await listener.take())


async def _closed_by_any(socket: WebSocket) -> None:
    """Who listens says nothing; WebSocketDisconnect once it left."""
    if (await socket.receive())["type"] != "websocket.disconnect":
        await socket.close(POLICY, "the feed is read-only")
