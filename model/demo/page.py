"""What the page does for its visitors: contents and wishes come in, pictures and videos go out.

A call returns what the page has to know at once; what takes its time is told later (`Visit.tell`): `result` the picture
of a wish, `waiting` its place in the line, `thumbnail-KEY` the visitor's face in a style, `film` a video.
"""

import base64
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import numpy as np
from PIL import ExifTags, Image

from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.common.hub import fetched_bytes
from model.demo.films import TELL_EVERY, Films
from model.demo.gallery import Entry, Gallery, thumbnail
from model.demo.line import Line
from model.demo.live import Chosen, Live
from model.demo.own_picture import OwnPicture
from model.demo.studio import MAX_PIXELS, Content, Result, Studio, in_their_words, short_name
from model.demo.visits import KEPT_RESULTS, Visit, Visits
from model.demo.wishes import LARGEST_PADDING, OWN, Wish
from model.demo.words import LEFT_ALONE, failure
from model.inference.look import Look
from model.inference.stylizer import Stylizer
from model.media.frames import MARK
from model.media.sample import SAMPLE_NAME
from model.styles.base import Style

WISHED, TILE, SAMPLE = 0, 1, 2  # urgency of pictures: what somebody waits for, their small ones, the gallery's
VIEW_SIDE, SHOWN_SIDE = 900, 1600  # longer sides of the frame and of results on the page; downloads have all of it
SHOWN_QUALITY, TILE_QUALITY, FILE_QUALITY = 90, 82, 95
FILES = {"JPEG": {"quality": FILE_QUALITY, "subsampling": "4:4:4"}, "PNG": {"compress_level": 1}}
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}
KEPT_OF_EXAMPLE = 40  # pictures of an example that are kept, thumbnails among them
SYNTHETIC = "A synthetic face (CC BY-NC-SA 4.0)"  # those that the style pictures of the project were painted from
TITLES = {"astronaut": "Astronaut", "a clip": "A clip"}


class Page:
    """All that visitors can ask for. `root`: a folder for their files; `at_once`: pictures and videos rendered at a
    time."""

    def __init__(
        self, studio: Studio, gallery: Gallery, root: Path, at_once: int = 1, browser_page: Path | None = None
    ):  # fmt: skip
        self.browser_page, self.name = browser_page, token_urlsafe(8)  # another one after each start
        self.studio, self.gallery, self.visits = studio, gallery, Visits(root)
        self.pictures, self.films = Line(at_once, "picture"), Films(at_once)
        self._fetched: set[str] = set()
        # Of examples, which many visitors look at: by wish or by face and style. A visitor's own are never kept.
        self._kept: WeakKeyDictionary[Content, dict[Any, Any]] = WeakKeyDictionary()

    def close(self) -> None:
        """The server ends: stop what is going on."""
        self.visits.close()
        for line in (self.pictures, self.films.line):
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
            "server": self.name,
        }

    def example_picture(self, name: str) -> bytes:
        """A small picture of an example, as JPEG."""
        return _jpeg(np.asarray(thumbnail(self.studio.example(name).shown.rgb)), TILE_QUALITY)

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
        self.films.drop(visit, "film")
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
            "seconds": content.seconds, "frame": visit.address(path), "faces": content.boxes(),
            "file": visit.address(content.source.path) if has_file and content.source.is_video else None,
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
            with visit.lock:
                picture, own = visit.picture, visit.picture_style
            stylizer, look = self.studio.chosen(wish, self._entry(wish.style), own)
            for result in self._results(content, wish, stylizer, look):
                if visit.wish is not wish or visit.content is not content:
                    return
                facts = self._published(visit, content, wish, result) | {
                    "controls": self._controls(wish, stylizer.style),
                    "picture": picture.state if wish.style == OWN else None,
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
            "before": visit.address(folder / "before.jpg"), "after": visit.address(folder / "after.jpg"),
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
                facts[kind.lower()] = visit.address(path)
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
        self.films.render(visit, "film", frames, f"{content.source.name}_{MARK.lower()}.mp4", total)

    # A picture of one's own as the style

    def bring_picture(self, visit: Visit, path: Path) -> dict[str, Any]:
        """A picture was brought, a file in a folder of its own: the points of its face, and whether they are enough to
        use it as the style."""
        with in_their_words(path):
            picture = OwnPicture.find(path, self.studio.read_picture(path))
        use(visit, picture, self.studio.picture_style(path) if picture.is_found else None)
        visit.forget("style", path)
        return self._editor(visit)

    def place(self, visit: Visit, told: Any) -> dict[str, Any]:
        """The points were moved."""
        picture = visit.picture
        if picture is None:
            raise InputError(LEFT_ALONE)
        placed = picture.edited(told)
        style = self.studio.picture_style(placed.path)
        with visit.lock:
            if visit.picture is picture:  # else another one was brought meanwhile
                use(visit, placed, style)
        return self._editor(visit)

    def _editor(self, visit: Visit) -> dict[str, Any]:
        picture = visit.picture
        return picture.editor | {
            "picture": visit.address(picture.shown), "file": visit.address(picture.points_file),
            "advice": picture.advice, "is_found": picture.is_found, "title": short_name(picture.path),
            "state": picture.state,
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


def use(visit: Visit, picture: OwnPicture, style: Stylizer | None) -> None:
    """From now on the style of a visitor's own picture is this; None as long as its face has to be marked."""
    with visit.lock:
        visit.picture, visit.picture_style = picture, style
        visit.live_wish = None  # the webcam goes with it, too


def rooms(style: Style) -> list[int]:
    """The room around the eyes that a style wants, as far as the sliders go."""
    return [min(room, LARGEST_PADDING) for room in style.padding]


def _jpeg(rgb: np.ndarray, quality: int) -> bytes:
    return bytes_of(Image.fromarray(rgb).save, "JPEG", quality=quality)
