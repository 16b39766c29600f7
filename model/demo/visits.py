"""Who is on the page: what each visitor brought, in a folder of their own that goes when they go."""

import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from model.demo.studio import Content

IDLE = 3600.0  # seconds after which a visitor of whom nothing was heard counts as gone


@dataclass(eq=False)
class Visit:
    """One open page.

    folder: for the visitor's files; its name can't be guessed. content: what is shown. newest: the controls of what was
    asked for last; whoever renders something older may give up. stop: set to end the video that is being rendered.
    """

    folder: Path
    content: Content | None = None
    newest: dict[str, Any] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    last_seen: float = field(default_factory=time.monotonic)

    def fresh(self, kind: str) -> Path:
        """A new folder for files of this kind, of another name, as browsers keep what has the same.

        Older ones go, but for the one of the content that is still shown.
        """
        for old in self.folder.glob(f"{kind}-*"):
            if self.content is None or old not in self.content.source.path.parents:
                shutil.rmtree(old, ignore_errors=True)
        folder = self.folder / f"{kind}-{token_urlsafe(8)}"
        folder.mkdir()
        return folder


class Visits:
    """The visits by the name of the browser's session, their folders all under `root`."""

    def __init__(self, root: Path):
        self._root, self._visits = root, {}

    def of(self, session: str) -> Visit:
        """The visit of a session, begun if it is new. Visits that were idle for long end."""
        visit = self._visits.setdefault(session, Visit(self._root / token_urlsafe(16)))
        visit.folder.mkdir(parents=True, exist_ok=True)
        visit.last_seen = time.monotonic()
        for name, other in list(self._visits.items()):
            if time.monotonic() - other.last_seen > IDLE:
                self.end(name)
        return visit

    def known(self, session: str) -> Visit | None:
        """The visit of a session, if it goes on: what is late must not begin a new one."""
        if visit := self._visits.get(session):
            visit.last_seen = time.monotonic()
        return visit

    def end(self, session: str) -> None:
        """The visitor left: stop what is going on, and remove the folder."""
        if visit := self._visits.pop(session, None):
            visit.stop.set()
            shutil.rmtree(visit.folder, ignore_errors=True)
