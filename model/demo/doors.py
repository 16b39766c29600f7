"""Who may have what: a browser is known by its cookie, and where a password is asked for (`--auth`), it has told it."""

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.demo.page import Page

if TYPE_CHECKING:
    from gradio.routes import App

COOKIE, COOKIE_SECONDS = "vtoonify", 30 * 24 * 3600
GRADIO_FILES = ("/gradio_api/file=", "/gradio_api/file/")  # Gradio serves what it knows of to everybody


class Entrance:
    """ASGI middleware: every browser and every program gets a cookie, by which files of visits are kept apart."""

    def __init__(self, app: ASGIApp, page: Page, folder: Path):
        self._app, self._page, self._folder = app, page, folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        owner = request.cookies.get(COOKIE)
        if not self._may_have(scope["path"], owner):
            await Response(status_code=404)(scope, receive, send)
            return
        if owner:
            await self._app(scope, receive, send)
            return

        async def greet(message: Message) -> None:
            if message["type"] == "http.response.start":
                is_safe = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
                kind = "SameSite=None; Secure; Partitioned" if is_safe else "SameSite=Lax"  # pages in frames of others
                cookie = f"{COOKIE}={token_urlsafe(24)}; Path=/; HttpOnly; Max-Age={COOKIE_SECONDS}; {kind}"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, greet)

    def _may_have(self, address: str, owner: str | None) -> bool:
        """Whether a file that Gradio would send to anybody is one of the visit of who asks for it."""
        for start in GRADIO_FILES:
            if start in address:
                path = Path(os.path.realpath(address.partition(start)[2]))
                return bool(owner) and self._page.visits.owner_of(path) == owner
        return True


class Home(Route):
    """The page itself. Who has to tell a password first is left to Gradio's own page, and so is its `?view=api`."""

    def __init__(self, path: str, endpoint: Callable, app: "Callable[[], App]"):
        super().__init__(path, endpoint, methods=["GET", "HEAD"])
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match = super().matches(scope)
        if match[0] == Match.FULL and (not let_in(Request(scope), self._app()) or b"view=" in scope["query_string"]):
            return Match.NONE, {}
        return match


def let_in(request: Request, app: "App") -> bool:
    """Whether who asks has told a password, where the server wants one (`--auth`)."""
    if app is None or app.auth is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(app.tokens.get(request.cookies.get(name)) is not None for name in names)


def browser_page(folder: Path, app: "Callable[[], App]") -> Mount:
    """The page of `folder`, which draws in the visitor's browser (`model.demo.web.build`), below /browser/."""
    files = StaticFiles(directory=folder, html=True)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        answer = files if let_in(Request(scope), app()) else Response(status_code=401)
        await answer(scope, receive, send)

    return Mount("/browser", serve)
