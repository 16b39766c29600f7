"""The page's addresses. What a visit brought and got is served to the browser that it belongs to, and to no other.

Each page has one open connection, over which it is told the news (server-sent events); when that ends, the visit does.
"""

import json
import mimetypes
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from model.common.errors import InputError
from model.common.files import bytes_of
from model.demo.doors import COOKIE, Home, browser_page, let_in
from model.demo.page import Page
from model.demo.paint_frame import PaintFrame
from model.demo.visits import Visit
from model.demo.words import LEFT_ALONE, failure

if TYPE_CHECKING:
    from gradio.routes import App

SITE = Path(__file__).with_name("site")
PICTURES = {"preview.jpg": Path(__file__).resolve().parents[2] / "data" / "styles.jpg"}  # for links in messengers
LONGEST_JSON, LONGEST_FRAME = 2**20, 2**22  # bytes
LONGEST_NAME, LONGEST_SUFFIX = 60, 10  # letters of a file that is brought
RETRY = 1000  # milliseconds before a page whose connection broke tries again


Handler = Callable[[Request, Visit], Awaitable[Any]]


class Routes:
    """All addresses. `app`: gives Gradio's app, once there is one; `most_bytes`: of a file that is brought."""

    def __init__(self, page: Page, app: "Callable[[], App]", most_bytes: int):
        self.page, self.paint, self._app, self._most_bytes = page, PaintFrame(page), app, most_bytes

    def routes(self) -> list[Route | Mount]:
        """For Starlette."""
        page, paint = self.page, self.paint

        def told(work: Callable[[Visit, Any], Any]) -> Handler:  # a handler that works on JSON
            async def handle(request: Request, visit: Visit) -> Any:
                body = await read_json(request)
                return await run_in_threadpool(work, visit, body)

            return handle

        def brought(kind: str, work: Callable[[Visit, Path], Any]) -> Handler:  # a handler that works on a file
            async def handle(request: Request, visit: Visit) -> Any:
                return await run_in_threadpool(work, visit, await self._receive(request, visit, kind))

            return handle

        actions: dict[str, Handler] = {
            "content": brought("content", page.take),
            "example": told(lambda visit, told: page.take_example(visit, text(told, "name"))),
            "box": told(page.box),
            "wish": told(page.wish),
            "tiles": told(page.tiles),
            "film": told(page.film),
            "cancel": told(lambda visit, told: page.films.cancel(visit, text(told, "kind"))),
            "gif": told(lambda visit, told: {"file": page.films.animation(visit, text(told, "kind"))}),
            "style": brought("style", page.bring_picture),
            "points": told(page.place),
            "clip": brought("clip", paint.bring),
            "frames": told(paint.choose),
            "painting": self._painting,
            "preview": told(lambda visit, told: {"pictures": paint.preview(visit, number(told, "boil"))}),
            "painted": told(
                lambda visit, told: paint.film(visit, number(told, "boil"), int(number(told, "full_frame")))
            ),
            "leave": self._leave,
        }
        return [
            Home("/", self._home, app=self._app),
            *(Route(f"/visits/{{name}}/{action}", partial(self._act, handler), methods=["POST"])
              for action, handler in actions.items()),
            Route("/visits/{name}/live", self._live, methods=["POST"]),
            Route("/visits/{name}/files/{path:path}", self._file),
            Route("/news", self._news),
            Route("/site/{file}", self._site),
            Route("/styles/{key}.jpg", self._style),
            Route("/examples/{name}.jpg", self._example),
            *([browser_page(self.page.browser_page, self._app)] if self.page.browser_page else []),
        ]  # fmt: skip

    def _check(self, request: Request) -> None:
        if not let_in(request, self._app()):
            raise HTTPException(401)

    def _visit(self, request: Request) -> Visit:
        self._check(request)
        visit = self.page.visits.find(request.path_params["name"], request.cookies.get(COOKIE))
        if visit is None:
            raise InputError(LEFT_ALONE)
        return visit

    async def _act(self, handler: Handler, request: Request) -> Response:
        """What a handler returns, as JSON; an error becomes a sentence."""
        try:
            return JSONResponse(await handler(request, self._visit(request)) or {})
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            return JSONResponse({"error": failure(error)}, 400)

    async def _receive(self, request: Request, visit: Visit, kind: str) -> Path:
        """The file in a request's body, under the name in its query, in a fresh folder."""
        name = Path(request.query_params.get("name", "").replace("\\", "/").replace("\0", "")).name or "file"
        suffix = Path(name).suffix[:LONGEST_SUFFIX]
        path = visit.fresh(kind) / f"{Path(name).stem[:LONGEST_NAME]}{suffix}"
        length = int(request.headers.get("content-length") or 0)
        try:
            with path.open("wb") as file:
                async for chunk in request.stream():
                    length = max(length, file.tell() + len(chunk))
                    if length > self._most_bytes:
                        raise InputError(f"{name} has more than {self._most_bytes >> 20} MB: make it smaller.")
                    await run_in_threadpool(file.write, chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    async def _painting(self, request: Request, visit: Visit) -> Any:
        of = request.query_params.get("of", "")
        path = await self._receive(request, visit, "painting")
        return await run_in_threadpool(self.paint.paint, visit, [path], int(of) if of.isdecimal() else None)

    async def _leave(self, request: Request, visit: Visit) -> None:
        self.page.visits.end(visit.name)

    async def _live(self, request: Request) -> Response:
        try:
            visit = self._visit(request)
            told, seconds = request.query_params.get("wish", "{}"), float(request.query_params.get("t", "0"))
            jpeg = await read_body(request, LONGEST_FRAME)
            answer = await run_in_threadpool(self.page.answer, visit, jpeg, parsed(told), seconds)
            return Response(answer, media_type="image/jpeg", headers={"Cache-Control": "no-store"})
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            return JSONResponse({"error": failure(error)}, 400)

    async def _file(self, request: Request) -> Response:
        try:
            visit = self._visit(request)
        except InputError:
            raise HTTPException(404) from None
        path = (visit.folder / request.path_params["path"]).resolve()
        if not path.is_relative_to(visit.folder.resolve()) or not path.is_file():
            raise HTTPException(404)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        as_file = path.name if "download" in request.query_params or not kind.startswith(("image/", "video/")) else None
        if "svg" in kind:  # it could hold a script
            as_file = path.name
        headers = {"Cache-Control": "private, max-age=600", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, media_type=kind, filename=as_file, headers=headers)

    async def _news(self, request: Request) -> Response:
        """The connection of a page, with which its visit begins; a page that comes back tells its visit's name."""
        self._check(request)
        owner = request.cookies.get(COOKIE)
        if request.method == "HEAD" and owner:  # why it was refused
            return Response()
        if not owner:
            return JSONResponse({"error": "This page needs a cookie, to keep visitors apart: allow it."}, 400)
        known = request.headers.get("last-event-id") or request.query_params.get("visit") or ""
        visit = self.page.visits.find(known, owner) or self.page.visits.begin(owner)
        visit.has_page = True
        return StreamingResponse(
            self._told(visit), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def _told(self, visit: Visit) -> AsyncIterator[str]:
        visit.pages += 1
        try:
            yield f"retry: {RETRY}\nid: {visit.name}\nevent: welcome\ndata: {json.dumps(self.page.welcome(visit))}\n\n"
            async for news in visit.news():
                yield ":\n\n" if news is None else f"event: news\ndata: {json.dumps({'kind': news[0], **news[1]})}\n\n"
        finally:
            visit.pages, visit.last_seen = visit.pages - 1, time.monotonic()

    async def _home(self, request: Request) -> Response:
        html = (SITE / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(
            html.replace("{base}", str(request.base_url).rstrip("/")), headers={"Cache-Control": "no-cache"}
        )

    async def _site(self, request: Request) -> Response:
        name = request.path_params["file"]
        path = PICTURES.get(name, SITE / Path(name).name)
        if not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    async def _style(self, request: Request) -> Response:
        self._check(request)
        try:
            picture = self.page.gallery.picture(self.page.gallery.entry(request.path_params["key"]))
        except InputError:
            raise HTTPException(404) from None
        return Response(bytes_of(picture.save, "JPEG", quality=88), media_type="image/jpeg")

    async def _example(self, request: Request) -> Response:
        self._check(request)
        try:
            picture = await run_in_threadpool(self.page.example_picture, request.path_params["name"])
        except InputError:
            raise HTTPException(404) from None
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "max-age=600"})


async def read_body(request: Request, most: int) -> bytes:
    """A request's body. Raises InputError where it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise InputError("That is too much for this page: reload it.")
    return bytes(body)


def parsed(text: str | bytes) -> Any:
    """JSON as Python has it. Raises InputError for anything else."""
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InputError("The page sent what is no JSON: reload it.") from error


async def read_json(request: Request) -> Any:
    """A request's body as JSON."""
    return parsed(await read_body(request, LONGEST_JSON))


def text(told: Any, name: str) -> str:
    """A value of JSON that has to be text."""
    value = told.get(name) if isinstance(told, dict) else None
    if not isinstance(value, str):
        raise InputError(f"The page sent no {name}: reload it.")
    return value


def number(told: Any, name: str) -> float:
    """A value of JSON that has to be a number; 0 where there is none."""
    value = told.get(name, 0) if isinstance(told, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"The page sent no {name}: reload it.")
    return value
