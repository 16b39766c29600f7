"""The visits: one state object for each open page, with a folder of its own that goes when its visitor goes."""

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from model.common.memory import give_back
from model.demo.line import Ticket
from model.demo.own_picture import OwnPicture
from model.demo.painted_clip import PaintedClip
from model.demo.studio import Content, Stopped
from model.demo.wishes import Wish
from model.inference.stylizer import Stylizer

if TYPE_CHECKING:
    from model.demo.live import Chosen, Live

RETURN_WITHIN = 20.0  # seconds for a page whose connection broke to come back
IDLE = 600.0  # seconds after which the visit of a program of which nothing was heard ends
SWEEP = 5.0  # seconds between looks for visits that are over
KEPT_RESULTS = 12  # pictures of a visit that can still be downloaded
HEARTBEAT = 10.0  # seconds of silence after which a page is sent an empty line, so that broken connections show


@dataclass(eq=False)
class Job:
    """A video that is being rendered or waits for it."""

    ticket: Ticket | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> bool:
        """End it; True where it had not begun."""
        self.stop.set()
        return self.ticket is not None and self.ticket.cancel()


@dataclass(eq=False)
class Visit:
    """What belongs to one visitor. `owner` is the cookie of their browser: nobody else is served what is theirs."""

    owner: str
    folder: Path
    name: str = field(default_factory=lambda: token_urlsafe(16))
    content: Content | None = None
    wish: Wish = field(default_factory=Wish)  # the newest one
    rendering: Ticket | None = None  # of a picture; it takes the newest wish when it is its turn
    picture: OwnPicture | None = None  # of their own, for the style
    picture_style: Stylizer | None = None  # that style; None until the points were at the face
    clip: PaintedClip | None = None  # of which they paint frames
    jobs: dict[str, Job] = field(default_factory=dict)  # by the part of the page that asked: film, painted
    tiles: tuple[int, int] | None = None  # which content and face are shown in all styles
    live: "Live | None" = None  # the webcam, then what was wished for it last, and with which style it goes
    live_wish: Wish | None = None
    live_style: "Chosen | None" = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    has_page: bool = False  # whether it is that of a page, not of a program
    pages: int = 0  # connections of it that are open
    last_seen: float = field(default_factory=time.monotonic)
    is_over: bool = False
    _news: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)  # by kind, the newest of each
    _count: int = 0
    _wake: Callable[[], None] = lambda: None

    def tell(self, kind: str, **facts: Any) -> None:
        """Have the page told something; what is newer of a kind replaces what is older."""
        with self.lock:
            self._count += 1
            self._news[kind] = self._count, facts
            wake = self._wake
        wake()

    def hush(self, *kinds: str) -> None:
        """What was told of these kinds is no longer true: a page that comes back is not told it."""
        with self.lock:
            for kind in kinds:
                self._news.pop(kind, None)

    async def news(self) -> AsyncIterator[tuple[str, dict[str, Any]] | None]:
        """All that is told, the oldest first, from the beginning on; None where there was nothing for a while."""
        loop, told, seen = asyncio.get_running_loop(), asyncio.Event(), 0

        def wake() -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(told.set)

        self._wake = wake
        while not self.is_over:
            told.clear()
            with self.lock:
                fresh = sorted((count, kind) for kind, (count, _) in self._news.items() if count > seen)
                facts = [(kind, self._news[kind][1]) for _, kind in fresh]
                seen = self._count
            for item in facts:
                yield item
            try:
                await asyncio.wait_for(told.wait(), HEARTBEAT)
            except TimeoutError:
                yield None

    def fresh(self, kind: str) -> Path:
        """A new folder (browsers keep what has the same name). Raises Stopped after the visit's end."""
        folder = self.folder / f"{kind}-{token_urlsafe(8)}"
        try:
            folder.mkdir()
        except FileNotFoundError as error:  # all of it is gone
            raise Stopped("This page was left.") from error
        return folder

    def address(self, path: Path) -> str:
        """Where the page finds a file of the visit."""
        return f"visits/{self.name}/files/{quote(path.relative_to(self.folder).as_posix())}"

    def forget(self, kind: str, *kept: Path | None, most: int = 0) -> None:
        """Remove the folders of a kind but for those that hold one of the files `kept`, and the `most` newest."""
        folders = sorted(self.folder.glob(f"{kind}-*"), key=lambda folder: folder.stat().st_mtime_ns)
        for folder in folders[: len(folders) - most]:
            if not any(path is not None and folder in (path, *path.parents) for path in kept):
                shutil.rmtree(folder, ignore_errors=True)

    def end(self) -> None:
        """Stop what is going on, and remove all files."""
        self.is_over = True
        for job in self.jobs.values():
            job.cancel()
        if self.rendering is not None:
            self.rendering.cancel()
        if self.live is not None:
            self.live.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.content = self.picture_style = self.clip = None
        self._wake()


class Visits:
    """All visits, by their names, which can't be guessed; their folders are under `root`."""

    def __init__(self, root: Path):
        self.root, self._visits = root, {}
        self._lock, self._has_worked = threading.Lock(), False
        threading.Thread(target=self._sweep, name="visits", daemon=True).start()

    def begin(self, owner: str, name: str | None = None) -> Visit:
        """A new visit; or, for a program, which gives its session's `name`, the one that goes on."""
        with self._lock:
            visit = self._visits.get(name)
            if visit is None or visit.owner != owner:
                visit = Visit(owner, self.root / token_urlsafe(16))
                visit.name = name or visit.name
                visit.folder.mkdir(parents=True)
                self._visits[visit.name] = visit
        visit.last_seen, self._has_worked = time.monotonic(), True
        return visit

    def find(self, name: str, owner: str | None) -> Visit | None:
        """The visit of that name, if it goes on and is this owner's."""
        visit = self._visits.get(name)
        if visit is None or visit.owner != owner:
            return None
        visit.last_seen, self._has_worked = time.monotonic(), True
        return visit

    def owner_of(self, path: Path) -> str | None:
        """Whose file this is; None where it is no visit's."""
        for visit in list(self._visits.values()):
            if path.is_relative_to(visit.folder):
                return visit.owner
        return None

    def end(self, name: str) -> None:
        """The visitor left."""
        with self._lock:
            visit = self._visits.pop(name, None)
        if visit is not None:
            visit.end()

    def close(self) -> None:
        """All of them end."""
        for name in list(self._visits):
            self.end(name)

    def sweep(self, now: float) -> None:
        """End what nobody will come back to."""
        for name, visit in list(self._visits.items()):
            patience = RETURN_WITHIN if visit.pages == 0 and visit.has_page else IDLE
            if visit.pages == 0 and now - visit.last_seen > patience:
                self.end(name)

    def _sweep(self) -> None:
        while True:
            time.sleep(SWEEP)
            self.sweep(time.monotonic())
            if self._has_worked:
                self._has_worked = False
                give_back()
