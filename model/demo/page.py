"""What the page does for its visitors: contents and wishes come in, pictures and videos go out.

A call returns what the page has to know at once; what takes its time is told later (`Visit.tell`): `result` the picture
of a wish, `waiting` its place in the line, `thumbnail-KEY` the visitor's face in a style, `film` a video.
"""

import base64
import io
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import numpy as np
from PIL import ExifTags, Image

from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.common.hub import NotFetched, fetched_bytes
from model.demo.gallery import Entry, Gallery, thumbnail
from model.demo.line import Line
from model.demo.live import Chosen, Live
from model.demo.own_picture import OwnPicture
from model.demo.studio import MAX_PIXELS, Content, Result, Stopped, Studio, in_their_words, short_name
from model.demo.visits import KEPT_RESULTS, Job, Visit, Visits
from model.demo.wishes import LARGEST_PADDING, OWN, Wish, in_plain_words
from model.inference.look import Look
from model.inference.stylizer import Stylizer
from model.media.files import open_frames
from model.media.frames import MARK
from model.media.sample import SAMPLE_NAME
from model.styles.base import Style

WISHED, TILE, SAMPLE = 0, 1, 2  # urgency of pictures: what somebody waits for, their small ones, the gallery's
VIEW_SIDE, SHOWN_SIDE = 900, 1600  # longer sides of the frame and of results on the page; downloads have all of it
SHOWN_QUALITY, TILE_QUALITY, FILE_QUALITY = 90, 82, 95
FILES = {"JPEG": {"quality": FILE_QUALITY, "subsampling": "4:4:4"}, "PNG": {"compress_level": 1}}
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}
TELL_EVERY = 0.3  # seconds between two messages about the progress of something
GIF_SIDE, GIF_RATE = 480, 12.5  # longer side and frames a second of an animation
KEPT_OF_EXAMPLE = 40  # pictures of an example that are kept, thumbnails among them
LEFT_ALONE = "This page was left alone for too long: reload it."
SYNTHETIC = "A synthetic face (CC BY-NC-SA 4.0)"  # those that the style pictures of the project were painted from
TITLES = {"astronaut": "Astronaut", "a clip": "A clip"}


class Page:
    """All that visitors can ask for. `root`: a folder for their files; `at_once`: pictures and videos rendered at a
    time."""

    def __init__(
        self, studio: Studio, gallery: Gallery, root: Path, at_once: int = 1, browser_page: Path | None = None
    ):  # fmt: skip
        self.browser_page = browser_page
        self.studio, self.gallery, self.visits = studio, gallery, Visits(root)
        self.pictures, self.videos = Line(at_once, "picture"), Line(at_once, "video")
        self._fetched: set[str] = set()
        # Of examples, which many visitors look at: by wish or by face and style. A visitor's own are never kept.
        self._kept: WeakKeyDictionary[Content, dict[Any, Any]] = WeakKeyDictionary()

    def close(self) -> None:
        """The server ends: stop what is going on."""
        self.visits.close()
        for line in (self.pictures, self.videos):
            line.close()

    def warm_up(self) -> None:
        """In the background, render what every visitor sees first, and the gallery's pictures."""

        def first() -> None:
            content, entry = self.studio.example(SAMPLE_NAME), self.gallery.entries[0]
            wish = Wish(style=entry.key)
            self._results(content, wish, *self.studio.chosen(wish, entry, None))

        self.pictures.submit(first)
        for entry in self.gallery.entries:
            if entry.on_disk:
                self.pictures.submit(partial(self.gallery.try_to_draw, entry), SAMPLE)

    def welcome(self, visit: Visit) -> dict[str, Any]:
        """What a page shows before anything is brought."""
        styles = [
            {"key": entry.key, "title": entry.title, "is_here": entry.on_disk, "model": entry.preset.name,
             "licence": entry.preset.licence, "picture": f"styles/{quote(entry.key)}.jpg"}
            for entry in self.gallery.entries
        ]  # fmt: skip
        examples = [
            {"name": name, "title": TITLES.get(name, SYNTHETIC), "picture": f"examples/{quote(name)}.jpg"}
            for name in self.studio.examples
        ]
        limits = {"seconds": self.studio.max_seconds, "megapixels": MAX_PIXELS["photo"] // 10**6}
        return {
            "visit": visit.name,
            "styles": styles,
            "examples": examples,
            "limits": limits,
            "browser": bool(self.browser_page),
        }

    def example_picture(self, name: str) -> bytes:
        """A small picture of an example, as JPEG."""
        return _jpeg(np.asarray(thumbnail(self.studio.example(name).shown.rgb)), TILE_QUALITY)

    def address(self, visit: Visit, path: Path) -> str:
        """Where the page finds a file of its visit."""
        return f"visits/{visit.name}/files/{quote(path.relative_to(visit.folder).as_posix())}"

    # Contents

    def take(self, visit: Visit, path: Path) -> dict[str, Any]:
        """A photo or video was brought, a file in a folder of the visit's own."""
        return self._taken(visit, self.studio.bring(path))

    def take_example(self, visit: Visit, name: str) -> dict[str, Any]:
        """An example was chosen."""
        return self._taken(visit, self.studio.example(name))

    def box(self, visit: Visit, told: Any) -> dict[str, Any]:
        """A box was drawn around a face that was not found."""
        content = self._content(visit)
        visit.content = content.with_box(told.get("box") if isinstance(told, dict) else [])
        return self._shown(visit) | {"face": len(visit.content.faces) - 1}

    def _taken(self, visit: Visit, content: Content) -> dict[str, Any]:
        self._end_job(visit, "film")
        visit.content = content
        visit.forget("content", content.source.path, visit.clip and visit.clip.folder)
        visit.forget("film")
        visit.hush("result", "film", *(f"thumbnail-{entry.key}" for entry in self.gallery.entries))
        return self._shown(visit)

    def _shown(self, visit: Visit) -> dict[str, Any]:
        content = visit.content
        path = visit.fresh("view") / "frame.jpg"
        view = Image.fromarray(content.shown.rgb)
        view.thumbnail((VIEW_SIDE, VIEW_SIDE))
        write_whole(path, _jpeg(np.asarray(view), SHOWN_QUALITY))
        visit.forget("view", path)
        height, width = content.source.size
        has_file = content.source.path.is_relative_to(visit.folder)
        return {
            "name": content.name, "is_video": content.source.is_video, "width": width, "height": height,
            "is_in_gallery": self.gallery.is_complete and content is self.studio.example(SAMPLE_NAME),
            "seconds": content.seconds, "frame": self.address(visit, path), "faces": content.boxes(),
            "file": self.address(visit, content.source.path) if has_file and content.source.is_video else None,
        }  # fmt: skip

    def _content(self, visit: Visit) -> Content:
        if visit.content is None:
            raise InputError(LEFT_ALONE)
        return visit.content

    # Pictures

    def wish(self, visit: Visit, told: Any) -> None:
        """Something else is to be seen: of all wishes the one with the highest number."""
        self._content(visit)
        wish = Wish.read(told)
        entry = self._entry(wish.style)
        with visit.lock:
            if wish.number <= visit.wish.number:
                return
            visit.wish = wish
        if entry is None or entry.on_disk or entry.key in self._fetched:
            self._submit(visit)
        else:
            threading.Thread(target=self._fetch, args=(visit, wish, entry), daemon=True).start()

    def _entry(self, style: str) -> Entry | None:
        return None if style == OWN else self.gallery.entry(style)

    def _submit(self, visit: Visit) -> None:
        """Render the newest wish, when it is its turn; what waits already will take it."""

        def moved(place: int) -> None:
            visit.tell("waiting", number=visit.wish.number, place=place)

        with visit.lock:
            if visit.rendering is None or visit.rendering.has_begun:
                visit.rendering = self.pictures.submit(partial(self._render, visit), WISHED, moved)

    def _fetch(self, visit: Visit, wish: Wish, entry: Entry) -> None:
        """Load a model that is not on this machine, or tell why it can't be had."""
        done = threading.Event()

        def tell() -> None:
            while not done.wait(TELL_EVERY) and visit.wish is wish:
                visit.tell("waiting", number=wish.number, place=-1, fetched=fetched_bytes())

        threading.Thread(target=tell, daemon=True).start()
        try:
            self.studio.stylizer(entry.preset.source)
            self._fetched.add(entry.key)
            self.gallery.draw(entry)
            self._submit(visit)
        except Exception as error:
            if visit.wish is wish:
                visit.tell("result", number=wish.number, error=failure(error), is_style=True)
        finally:
            done.set()

    def _render(self, visit: Visit) -> None:
        """The newest wish as pictures: they are thrown away where there is a newer one by now."""
        wish, content = visit.wish, visit.content
        if content is None or visit.is_over:
            return
        try:
            stylizer, look = self.studio.chosen(wish, self._entry(wish.style), visit.picture_style)
            for result in self._results(content, wish, stylizer, look):
                if visit.wish is not wish or visit.content is not content:
                    return
                facts = self._published(visit, content, wish, result) | {
                    "controls": self._controls(wish, stylizer.style)
                }
                with visit.lock:
                    if visit.wish is wish and visit.content is content:
                        visit.tell("result", number=wish.number, is_draft=result.is_draft, **facts)
        except Exception as error:
            if visit.wish is wish and visit.content is content and not visit.is_over:
                visit.tell("result", number=wish.number, error=failure(error))

    def _results(self, content: Content, wish: Wish, stylizer: Stylizer, look: Look) -> Iterable[Result]:
        """The pictures of a wish; those of an example are kept for the next visitor."""
        results = self.studio.results(content, wish, stylizer, look)
        if not self.studio.is_example(content) or wish.style == OWN or wish.people or wish.quick:
            return results
        kept, key = self._kept.setdefault(content, {}), replace(wish, number=0)
        if key not in kept:
            if len(kept) >= KEPT_OF_EXAMPLE:
                return results
            kept[key] = list(results)
        return kept[key]

    def _published(self, visit: Visit, content: Content, wish: Wish, result: Result) -> dict[str, Any]:
        """Files of a result for the page, and where they are."""
        kind = "draft" if result.is_draft else "result"
        folder = visit.fresh(kind)
        for name, rgb in (("before.jpg", result.before), ("after.jpg", result.after)):
            shown = Image.fromarray(rgb)
            shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
            write_whole(folder / name, _jpeg(np.asarray(shown), SHOWN_QUALITY))
        height, width = result.after.shape[:2]
        facts = {
            "before": self.address(visit, folder / "before.jpg"), "after": self.address(visit, folder / "after.jpg"),
            "width": width, "height": height, "crop": result.crop, "style": wish.style,
        }  # fmt: skip
        if not result.is_draft:
            name = f"{content.source.name}_{MARK.lower()}"
            for old in visit.folder.glob("result-*/*.png"):  # they are large, and the newest is wanted
                old.unlink(missing_ok=True)
            for kind, settings in FILES.items():
                path = folder / f"{name}{SUFFIXES[kind]}"
                exif = Image.Exif()
                exif[ExifTags.Base.Software] = MARK
                write_whole(path, bytes_of(Image.fromarray(result.after).save, kind, exif=exif, **settings))
                facts[kind.lower()] = self.address(visit, path)
        visit.forget("draft", most=2)
        visit.forget("result", most=KEPT_RESULTS)
        return facts

    def _controls(self, wish: Wish, style: Style) -> dict[str, Any]:
        """What can be set for a style, and what it has where nothing is set."""
        entry = self._entry(wish.style)
        has_choice = entry is not None and entry.style is None and not entry.preset.single_style
        names = style.exemplar_names if has_choice else []
        return {
            "title": style.name if entry is None else entry.title,
            "licence": style.licence if entry is None else entry.preset.licence,
            "uses": sorted(style.uses),
            "degree": style.degree(),
            "padding": rooms(style),
            "exemplars": [(Path(name).stem, name) for name in names] if len(names) > 1 else [],
            "exemplar": style.exemplar_name() if names else None,
            "has_colours": entry is None or entry.preset.colour_transfer,
        }

    def tiles(self, visit: Visit, told: Any) -> None:
        """Show a face in all styles that are here, small, in the background; the chosen style comes first."""
        content, face = self._content(visit), told.get("face") if isinstance(told, dict) else None
        if not isinstance(face, int) or not 0 <= face < len(content.faces):
            return
        first = told.get("style")

        def is_wanted() -> bool:
            return visit.content is content and not visit.is_over and visit.tiles == wanted

        def draw(entry: Entry) -> None:
            if is_wanted():
                kept = self._kept.setdefault(content, {}) if self.studio.is_example(content) else {}
                if (face, entry.key) not in kept:
                    drawn = np.asarray(thumbnail(self.studio.thumbnail(content, face, entry)))
                    kept[face, entry.key] = _jpeg(drawn, TILE_QUALITY)
                picture = kept[face, entry.key]
                if is_wanted():
                    data = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
                    visit.tell(f"thumbnail-{entry.key}", key=entry.key, face=face, picture=data)

        wanted = visit.tiles = (id(content), face)
        for entry in sorted(self.gallery.entries, key=lambda entry: entry.key != first):
            if entry.on_disk:
                self.pictures.submit(partial(draw, entry), TILE)

    # Videos

    def film(self, visit: Visit, told: Any) -> None:
        """Render a whole video, or the part of it that is wished for."""
        content, wish = self._content(visit), Wish.read(told)
        if not content.source.is_video:
            raise InputError(f"{content.name} is a photo: bring a video.")
        seconds = content.seconds
        if seconds is not None:
            length = min(wish.end or seconds, seconds) - wish.start
            if length > self.studio.max_seconds + 0.5:
                most = f"this page takes up to {self.studio.max_seconds:g}"
                raise InputError(f"The part has {length:.0f} seconds; {most}: choose a shorter one.")
        entry = self._entry(wish.style)
        own = visit.picture_style

        def frames(path: Path, is_stopped: Callable[[], bool]) -> Iterator[int]:
            stylizer, look = self.studio.chosen(wish, entry, own)
            yield from self.studio.video(content, wish, stylizer, look, path, is_stopped)

        total = content.source.expected_frames
        if total and seconds:
            total = round(total * (min(wish.end or seconds, seconds) - wish.start) / seconds)
        self.run_video(visit, "film", frames, f"{content.source.name}_{MARK.lower()}.mp4", total)

    def run_video(
        self, visit: Visit, kind: str, frames: Callable[[Path, Callable[[], bool]], Iterator[int]], name: str,
        total: int | None,
    ) -> None:  # fmt: skip
        """Put a video into the line; one of a `kind` at a time. `frames(path, is_stopped)` renders it, and yields how
        many are done."""
        self._end_job(visit, kind)
        job = visit.jobs[kind] = Job()

        def tell(**facts: Any) -> None:
            if visit.jobs.get(kind) is job:
                visit.tell(kind, **facts)

        def work() -> None:
            begun, told_at, done = time.monotonic(), 0.0, 0
            try:
                visit.forget(kind)
                path = visit.fresh(kind) / name
                for done in frames(path, job.stop.is_set):
                    if (now := time.monotonic()) - told_at > TELL_EVERY:
                        told_at = now
                        left = (now - begun) / done * (total - done) if total else None
                        tell(state="running", done=done, total=total, left=left)
                tell(state="done", done=done, video=self.address(visit, path), name=name)
            except Stopped:
                tell(state="cancelled")
            except Exception as error:
                tell(state="failed", error=failure(error))

        def moved(place: int) -> None:
            tell(state="waiting", place=place)

        tell(state="waiting", place=0)
        job.ticket = self.videos.submit(work, moved=moved)

    def cancel(self, visit: Visit, kind: str) -> None:
        """End a video of this kind."""
        job = visit.jobs.get(kind)
        if job is not None and job.cancel():
            visit.tell(kind, state="cancelled")

    def _end_job(self, visit: Visit, kind: str) -> None:
        if job := visit.jobs.pop(kind, None):
            job.cancel()

    def animation(self, visit: Visit, kind: str) -> str:
        """A rendered video as a GIF, reduced; returns where it is."""
        films = sorted(visit.folder.glob(f"{kind}-*/*.mp4"))
        if not films:
            raise InputError("There is no video: render it first.")
        path = films[-1].with_suffix(".gif")
        if not path.is_file():
            write_whole(path, partial(_write_gif, films[-1]))
        return self.address(visit, path)

    # A picture of one's own as the style

    def bring_picture(self, visit: Visit, path: Path) -> dict[str, Any]:
        """A picture was brought, a file in a folder of its own: the points of its face, and whether they are enough to
        use it as the style."""
        with in_their_words(path):
            picture = OwnPicture.find(path, self.studio.read_picture(path))
        style = self.studio.picture_style(path) if picture.is_found else visit.picture_style
        visit.picture, visit.picture_style = picture, style
        visit.forget("style", path)
        return self._editor(visit)

    def place(self, visit: Visit, told: Any) -> dict[str, Any]:
        """The points were moved."""
        picture = visit.picture
        if picture is None:
            raise InputError(LEFT_ALONE)
        placed = picture.edited(told)
        style = self.studio.picture_style(placed.path)
        if visit.picture is picture:  # else another one was brought meanwhile
            visit.picture, visit.picture_style = placed, style
        return self._editor(visit)

    def _editor(self, visit: Visit) -> dict[str, Any]:
        picture = visit.picture
        return picture.editor | {
            "picture": self.address(visit, picture.shown), "file": self.address(visit, picture.points_file),
            "advice": picture.advice, "is_found": picture.is_found, "title": short_name(picture.path),
        }  # fmt: skip

    # The webcam

    def answer(self, visit: Visit, jpeg: bytes, told: Any, seconds: float) -> bytes:
        """The cartoon of a picture of the webcam, as JPEG."""
        wish = Wish.read(told)
        entry = self._entry(wish.style)
        if entry is not None and not entry.on_disk and entry.key not in self._fetched:
            raise InputError(f"{entry.title} is not on this machine: choose another style.")
        with visit.lock:
            visit.live = visit.live or Live()
            if visit.live_wish != wish:
                visit.live_wish, (stylizer, look) = wish, self.studio.chosen(wish, entry, visit.picture_style)
                look.lost, look.batch_size = "pass", 1
                visit.live_style = Chosen(stylizer, look)
            chosen = visit.live_style
        return visit.live.answer(jpeg, seconds, chosen)


def rooms(style: Style) -> list[int]:
    """The room around the eyes that a style wants, as far as the sliders go."""
    return [min(room, LARGEST_PADDING) for room in style.padding]


def failure(error: Exception) -> str:
    """What is told of an error. What nobody foresaw is logged, and none of the visitor's business."""
    if isinstance(error, NotFetched):
        return f"{error.reason}: choose another style."
    if isinstance(error, InputError):
        sentence = in_plain_words(str(error)).rstrip(".")
        is_word = sentence.partition(" ")[0].isalpha()  # and no file's name
        return f"{sentence[:1].upper() if is_word else sentence[:1]}{sentence[1:]}."
    logging.getLogger(__name__).error("A visitor met an unexpected error", exc_info=error)
    return "Something went wrong on this server: try again, or with another file."


def _jpeg(rgb: np.ndarray, quality: int) -> bytes:
    return bytes_of(Image.fromarray(rgb).save, "JPEG", quality=quality)


def _write_gif(video: Path, path: Path) -> None:
    """A video as an animation, as small as messengers like it."""
    pictures, due = [], 0.0
    with open_frames(video) as source:
        for frame in source:
            if float(frame.time or 0) + 1e-6 < due:
                continue
            due += 1 / GIF_RATE
            picture = Image.fromarray(frame.rgb)
            picture.thumbnail((GIF_SIDE, GIF_SIDE))
            pictures.append(picture.quantize(128, dither=Image.Dither.FLOYDSTEINBERG))
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / GIF_RATE), loop=0)
    path.write_bytes(file.getvalue())
