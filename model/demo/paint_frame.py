"""A visitor paints frames of a video, and the video is painted as they are. What is done with a clip is in
`painted_clip.py`."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.demo.page import SHOWN_QUALITY, Page
from model.demo.painted_clip import PaintedClip
from model.demo.studio import Stopped, in_their_words
from model.demo.visits import Visit
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
        """A video was brought, a file in a folder of its own. It is looked through next: `clip` tells how far that is,
        then which frames are suggested."""
        clip = self.page.studio.bring_clip(path)
        self.page.films.drop(visit, "painted")
        visit.clip = clip
        visit.forget("clip", path)
        visit.forget("painted")
        visit.hush("clip", "painted")

        def look(is_stopped: Callable[[], bool]) -> Iterator[int]:
            for done in self.page.studio.look_through(clip):
                if is_stopped():
                    raise Stopped("Another video was brought.")
                yield done

        def found() -> dict[str, Any]:
            clip.offer(clip.suggested)
            return {"state": "ready"} | self.offered(visit, clip)

        self.page.films.submit(visit, "clip", look, clip.content.source.expected_frames, found)
        return {"name": clip.content.name}

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
                 "picture": self._shown(visit, folder, number, picture), "file": visit.address(file),
                 "file_name": file.name}
            )  # fmt: skip
        visit.forget("frames", folder)
        return {"name": clip.content.name, "width": width, "height": height, "last": clip.last, "frames": frames}

    def _shown(self, visit: Visit, folder: Path, number: int, rgb: np.ndarray) -> str:
        picture = Image.fromarray(rgb)
        picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        path = folder / f"{number}.jpg"
        write_whole(path, bytes_of(picture.save, "JPEG", quality=SHOWN_QUALITY))
        return visit.address(path)

    def choose(self, visit: Visit, told: Any) -> dict[str, Any]:
        """Frames were named by their numbers; paintings of others are put aside, and told as `aside`."""
        clip, numbers = self._clip(visit), told.get("numbers") if isinstance(told, dict) else None
        if not isinstance(numbers, str) or not NUMBERS.fullmatch(numbers):
            raise InputError(f"Frames are named by their numbers, from 0 to {clip.last}, as in 0, {clip.last}.")
        painted = clip.paintings
        clip.offer([int(number) for number in re.findall(r"\d+", numbers)])
        visit.hush("clip")  # the frames that were offered first are not told again
        return self.offered(visit, clip) | {"aside": sorted(set(painted) - set(clip.paintings))}

    def paint(self, visit: Visit, paths: Sequence[Path], of: int | None = None) -> dict[str, Any]:
        """Painted frames were brought; `of` which frame, where a picture does not tell itself."""
        clip = self._clip(visit)
        with ExitStack() as words:
            for path in paths:
                words.enter_context(in_their_words(path))
            clip.take(paths, of)
        visit.forget("painting")
        visit.hush("clip")
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
        self.page.films.render(visit, "painted", frames, f"{source.name}_painted.mp4", source.expected_frames)
