"""A visitor paints frames of a video, and the video is painted as they are. What is done with a clip is in
`painted_clip.py`."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.demo.page import SHOWN_QUALITY, TELL_EVERY, Page, failure
from model.demo.painted_clip import PaintedClip
from model.demo.studio import in_their_words
from model.demo.visits import Job, Visit
from model.inference.look import Look
from model.styles.keyframes.paintings import laid_over, read_cover, read_painting

SHOWN_SIDE = 1000  # longer side of the pictures on the page, in pixels
NUMBERS = re.compile(r"[\s,;]*\d{1,9}(?:[\s,;]+\d{1,9})*[\s,;]*")
UPLOAD_FIRST = "There is no video: bring one first."


class PaintFrame:
    """What visitors of a page can ask for."""

    def __init__(self, page: Page):
        self.page = page

    def _clip(self, visit: Visit) -> PaintedClip:
        if visit.clip is None or not visit.clip.places:
            raise InputError(UPLOAD_FIRST)
        return visit.clip

    def bring(self, visit: Visit, path: Path) -> dict[str, Any]:
        """A video was brought, a file in a folder of its own. It is looked through next: `clip` tells how far that
        is."""
        clip = self.page.studio.bring_clip(path)
        for kind in ("clip", "painted"):
            if job := visit.jobs.pop(kind, None):
                job.cancel()
        visit.clip = clip
        visit.forget("clip", path)
        visit.forget("painted")
        visit.hush("clip", "painted")
        job = visit.jobs["clip"] = Job()

        def moved(place: int) -> None:
            visit.tell("clip", state="waiting", place=place)

        job.ticket = self.page.videos.submit(lambda: self._look(visit, clip), moved=moved)
        return {"name": clip.content.name}

    def _look(self, visit: Visit, clip: PaintedClip) -> None:
        """Follow the face through a clip, and suggest frames; given up where another one is brought."""
        begun, told_at, total = time.monotonic(), 0.0, clip.content.source.expected_frames
        try:
            for done in self.page.studio.look_through(clip):
                if visit.clip is not clip or visit.is_over:
                    return
                if (now := time.monotonic()) - told_at > TELL_EVERY:
                    told_at = now
                    left = (now - begun) / done * (total - done) if total else None
                    visit.tell("clip", state="running", done=done, total=total, left=left)
            clip.offer(clip.suggested)
            visit.tell("clip", state="ready", **self.offered(visit, clip))
        except Exception as error:
            if visit.clip is clip:
                visit.tell("clip", state="failed", error=failure(error))

    def offered(self, visit: Visit, clip: PaintedClip) -> dict[str, Any]:
        """The frames to be painted, and what is painted already."""
        (height, width), frames = clip.content.source.size, []
        folder = visit.fresh("frames")
        for (number, crop), file in zip(clip.crops(clip.offered).items(), clip.files(), strict=True):
            painting = clip.paintings.get(number)
            picture = crop.rgb
            if painting is not None:
                picture = laid_over(read_painting(painting), read_cover(painting), crop.rgb)
            frames.append(
                {"number": number, "caption": clip.caption(number), "is_painted": painting is not None,
                 "picture": self._shown(visit, folder, number, picture), "file": self.page.address(visit, file),
                 "file_name": file.name}
            )  # fmt: skip
        visit.forget("frames", folder)
        return {"name": clip.content.name, "width": width, "height": height, "last": clip.last, "frames": frames}

    def _shown(self, visit: Visit, folder: Path, number: int, rgb: np.ndarray) -> str:
        picture = Image.fromarray(rgb)
        picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        path = folder / f"{number}.jpg"
        write_whole(path, bytes_of(picture.save, "JPEG", quality=SHOWN_QUALITY))
        return self.page.address(visit, path)

    def choose(self, visit: Visit, told: Any) -> dict[str, Any]:
        """Frames were named by their numbers; paintings of others are put aside."""
        clip, numbers = self._clip(visit), told.get("numbers") if isinstance(told, dict) else None
        if not isinstance(numbers, str) or not NUMBERS.fullmatch(numbers):
            raise InputError(f"Frames are named by their numbers, from 0 to {clip.last}, as in 0, {clip.last}.")
        clip.offer([int(number) for number in re.findall(r"\d+", numbers)])
        return self.offered(visit, clip)

    def paint(self, visit: Visit, paths: Sequence[Path], of: int | None = None) -> dict[str, Any]:
        """Painted frames were brought; `of` which frame, where a picture does not tell itself."""
        clip = self._clip(visit)
        with ExitStack() as words:
            for path in paths:
                words.enter_context(in_their_words(path))
            clip.take(paths, of)
        visit.forget("painting")
        return self.offered(visit, clip)

    def preview(self, visit: Visit, boil: float = 0.0) -> list[dict[str, str]]:
        """Three frames as they will be; none where nothing is painted."""
        clip = self._clip(visit)
        if clip.stylizer is None:
            return []
        folder = visit.fresh("preview")
        pictures = [
            {"picture": self._shown(visit, folder, number, rgb), "caption": clip.caption(number)}
            for number, rgb in clip.preview(boil).items()
        ]
        visit.forget("preview", folder)
        return pictures

    def film(self, visit: Visit, boil: float = 0.0, full_frame: int = 0) -> None:
        """Paint the whole video."""
        clip = self._clip(visit)
        stylizer, look = clip.stylizer, Look(full_frame=full_frame, boil=boil)
        look.check()
        if stylizer is None:
            raise InputError("No frame is painted yet: bring a painted one.")

        def frames(path: Path, is_stopped: Callable[[], bool]) -> Iterator[int]:
            person = self.page.studio.person(clip.content, stylizer, 0, look)
            yield from self.page.studio.rendered(clip.content, [person], look, path, is_stopped)

        source = clip.content.source
        self.page.run_video(visit, "painted", frames, f"{source.name}_painted.mp4", source.expected_frames)
