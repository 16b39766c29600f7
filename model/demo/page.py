"""The handlers behind the page's controls. All that is rendered, `Studio` renders.

A handler gets the visitor's session and, by name, the values it works on; it yields what the page's parts are to show.
"""

import hashlib
import html
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from PIL import Image
from tqdm import tqdm

from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.common.hub import fetched_bytes
from model.common.sizes import DEFAULT_PADDING
from model.demo.gallery import Gallery
from model.demo.studio import Content, Stopped, Studio, Visit, Visits, reduced
from model.inference.look import Look
from model.inference.scene import Person
from model.inference.stylizer import Stylizer
from model.media.files import Frame, open_sink
from model.styles.base import Style
from model.styles.example.presets import LANDMARKS_SUFFIX

Updates = Iterator[dict[str, Any]]

FIELDS = {field.name: field for field in fields(Look)}
# Controls that set an option of `Look`, and which; then those that set `Look.padding`, and their defaults.
SAME_NAMES = "color_transfer", "boil", "style_size", "example_area", "keep_tone", "crop", "full_frame", "compare"
OPTIONS = {"degree": "style_degree"} | {name: name for name in SAME_NAMES}
PADDINGS = dict(zip(("padding_left", "padding_right", "padding_top", "padding_bottom"), DEFAULT_PADDING, strict=True))
LARGEST_PADDING = 400  # at an eye distance of 64 pixels: a crop that shows the upper half of a person
OWN = ""  # the chosen style's key when it is the visitor's own picture; the gallery has none of that name
SETTLE = 0.25  # seconds that a slider must rest before the result is rendered in full
SHOWN_SIDE = 1600  # results are sent to the slider at this size at most; the file to download has all of it
SHOWN_QUALITY, SHOWN_SECONDS = 90, 300  # of the JPEG files for that, and how long they stay
TELL_EVERY = 0.3  # seconds between two messages about the progress of something
LEFT_ALONE = "This page was left alone for too long: reload it."
NO_FILM = {name: gr.update(value=None, visible=False) for name in ("film", "film_file")}


def told(sentence: str, bar: str = "", role: str = "status") -> str:
    """A message for the page; `role` is status or alert, `bar` HTML that stands above."""
    return f'<div class="told {role}" role="{role}">{bar}{html.escape(sentence)}</div>'


def progress(done: int, total: int | None, seconds: float) -> str:
    """A message of how far a video is after some seconds of work; `total` is unknown for some files."""
    bar = f'<progress max="{total}" value="{done}"></progress><br>' if total else "<progress></progress><br>"
    words = "{n_fmt} of {total_fmt} frames, {remaining} left" if total else "{n_fmt} frames done"
    return told(tqdm.format_meter(done, total and max(done, total), seconds, bar_format=words), bar)


def failure(error: Exception) -> str:
    """What is told of an error. What nobody foresaw is logged, and none of the visitor's business."""
    if isinstance(error, InputError):
        return f"{str(error).rstrip('.')}."
    logging.getLogger(__name__).error("A visitor met an unexpected error", exc_info=error)
    return "Something went wrong on this server: try again, or with another file."


class Page:
    """The handlers. root: folder for the visitors' files; the server must be allowed to send files from there."""

    def __init__(self, studio: Studio, gallery: Gallery, root: Path):
        self.studio, self.gallery, self.visits = studio, gallery, Visits(root)
        self._shown = root.parent / "shown"

    def shown(self, picture: Image.Image) -> str:
        """A picture as a file, for components. Gradio's own file of the same picture would be written over while it is
        being sent to another visitor; those of files it copies are written once. They go after some minutes."""
        data = bytes_of(picture.save, "JPEG", quality=SHOWN_QUALITY)
        path = self._shown / f"{hashlib.sha256(data).hexdigest()}.jpg"
        self._shown.mkdir(parents=True, exist_ok=True)
        for old in self._shown.iterdir():
            with suppress(OSError):  # another thread was quicker
                if old != path and time.time() - old.stat().st_mtime > SHOWN_SECONDS:
                    old.unlink()
        try:
            os.utime(path)  # it is young again
        except FileNotFoundError:
            write_whole(path, data)
        return str(path)

    def pictures(self) -> list[tuple[str, str]]:
        """The gallery's pictures, with their captions."""
        return [(self.shown(picture), caption) for picture, caption in self.gallery.pictures()]

    def _visit(self, session: str) -> tuple[Visit, Content]:
        visit = self.visits.known(session)
        if visit is None or visit.content is None:
            raise InputError(LEFT_ALONE)
        return visit, visit.content

    def _person(
        self, content: Content, own: Stylizer | None, style: str, exemplar: str = "", face: int = 0, **options: Any
    ) -> Person:
        """Who is rendered how, as the controls say; `own` is the style for `OWN`. Raises InputError for a style that
        there is not."""
        if own is not None and style == OWN:
            stylizer, name = own, None
        else:
            entry = self.gallery.entry(style)
            stylizer, name = self.studio.stylizer(entry.preset.source), entry.style or exemplar or None
        given = [options.pop(name, None) for name in PADDINGS]
        padding = [
            int(usual if room is None else room) for room, usual in zip(given, stylizer.style.padding, strict=True)
        ]
        wanted = {OPTIONS[name]: value for name, value in options.items()}
        look = Look(style_id=name, padding=padding, **wanted)
        return self.studio.person(content, stylizer, face, look)

    def _controls(self, style: Style, is_new: bool, takes_colours: bool, has_choice: bool) -> dict[str, Any]:
        """Updates of the controls for a style: which it has a use for and, where it `is_new`, what they are at first.

        takes_colours: whether it has the style's colours anyway; has_choice: whether its exemplars are to choose from.
        """
        controls = {}
        for name, option in OPTIONS.items():
            if needs := FIELDS[option].metadata["needs"]:
                controls[name] = gr.update(visible=style.uses.issuperset(needs.split()))
        controls["color_transfer"]["visible"] &= not takes_colours
        if is_new:
            if (degree := style.degree()) is not None:
                controls["degree"]["value"] = degree
            controls |= {name: gr.update(value=room) for name, room in zip(PADDINGS, rooms(style), strict=True)}
        exemplars = style.exemplar_names if has_choice else []
        controls["exemplar"] = gr.update(
            choices=[(Path(name).stem, name) for name in exemplars],
            value=style.exemplar_name() if exemplars else None, visible=len(exemplars) > 1,
        )  # fmt: skip
        return controls

    def take(self, session: str, upload: str | None = None) -> Updates:
        """A file was uploaded, or came from the webcam; None: the sample portrait, with which the page opens."""
        visit = self.visits.of(session)
        yield {"message": told("Looking for faces …"), "upload": None}
        content = self.studio.bring(upload and shutil.copy(upload, visit.fresh("input") / Path(upload).name))
        visit.stop.set()
        visit.content = content
        height, width = content.source.size
        count, kind = len(content.faces), "video" if content.source.is_video else "photo"
        people = "one face" if count == 1 else f"{count} faces: choose one, or click it"
        yield NO_FILM | {
            "message": "",
            "facts": f"{content.name}: {kind}, {width} × {height}, {people}",
            "face": gr.update(choices=[(f"Person {n + 1}", n) for n in range(count)], value=0, visible=count > 1),
            "video_part": gr.update(visible=content.source.is_video),
        }

    def choose(self, session: str, place: int, style: str) -> Updates:
        """A picture of the gallery was chosen: load its model, fetch it if need be; else `style` stays chosen."""
        entry, before = self.gallery.entries[place], None if style == OWN else self.gallery.entry(style)
        preset = entry.preset
        try:
            with ThreadPoolExecutor(1, "load") as pool:
                loading = pool.submit(self.studio.stylizer, preset.source)
                while not loading.done():
                    fetched = 0 if entry.on_disk else fetched_bytes()
                    amount = f" {fetched / 1e6:.0f} MB fetched" if fetched else ""
                    yield {"message": told(f"Loading {entry.title} …{amount}")}
                    wait([loading], TELL_EVERY)
            model = loading.result().style
            self.gallery.draw(entry)
        except Exception:
            yield {"gallery": gr.update(selected_index=before and self.gallery.entries.index(before))}
            raise
        is_new = before is None or before.preset != preset  # styles of one model can be compared as they were chosen
        has_choice = entry.style is None and not preset.single_style
        yield self._controls(model, is_new, preset.colour_transfer, has_choice) | {
            "message": "",
            "style": entry.key,
            "gallery": gr.update(value=self.pictures(), selected_index=place),
            "about": f"**{entry.title}** · licence: {preset.licence}",
        }

    def bring_picture(self, session: str, own_upload: str | None = None) -> Updates:
        """A picture was uploaded that is to be the style: show the points of its face. It is the style as soon as these
        are found, or were placed."""
        visit = self.visits.of(session)
        yield {"message": told("Looking for the face in the picture …"), "own_upload": None}
        if not own_upload:
            raise InputError("There is no picture: drop one.")
        path = visit.fresh("style") / Path(own_upload).name
        picture, chosen = self.studio.bring_picture(Path(shutil.copy(own_upload, path))), {}
        if picture.is_found:
            visit.picture_style = self.studio.picture_style(picture.path)
            chosen = self._chosen_picture(visit.picture_style.style, is_new=True)
        visit.picture = picture
        yield chosen | {
            "message": told(picture.advice) if picture.advice else "",
            "points": picture.editor,
            "own_part": gr.update(visible=True),
            "points_file": gr.update(value=str(picture.points_file)),
        }

    def place(self, session: str, points: str, style: str, **padding: float) -> Updates:
        """The points of the visitor's own picture were moved, or it was chosen: it is the style now."""
        visit = self.visits.known(session)
        if visit is None or visit.picture is None:
            raise InputError(LEFT_ALONE)
        before, shown = visit.picture, [padding[name] for name in PADDINGS]
        is_as_it_was = visit.picture_style is not None and shown == rooms(visit.picture_style.style)
        picture = before.edited(points)
        stylizer = self.studio.picture_style(picture.path)
        if visit.picture is before:  # else another one was brought meanwhile
            visit.picture, visit.picture_style = picture, stylizer
            chosen = self._chosen_picture(stylizer.style, is_new=style != OWN)
            if is_as_it_was:  # nobody has set another crop: it shows what the picture shows
                room_now = zip(PADDINGS, rooms(stylizer.style), strict=True)
                chosen |= {name: gr.update(value=room) for name, room in room_now}
            yield chosen | {"message": "", "points_file": gr.update(value=str(picture.points_file))}

    def _chosen_picture(self, style: Style, is_new: bool) -> dict[str, Any]:
        """Updates that tell that a visitor's picture is the style now."""
        return self._controls(style, is_new, takes_colours=True, has_choice=False) | {
            "style": OWN,
            "gallery": gr.update(selected_index=None),
            "about": f"**{style.name}** · licence: {style.licence}",
        }

    def pick(self, session: str, place: tuple[int, int]) -> Updates:
        """The frame was clicked at this pixel."""
        yield {"message": "", "face": self._visit(session)[1].nearest_face(*place)}

    def face_chosen(self, session: str) -> Updates:
        """A face was chosen: what was told before is over."""
        yield {"message": ""}

    def frame(self, session: str, **controls: Any) -> Updates:
        """The frame with the faces and the crop. It clears no message: a newer upload may have failed by now."""
        visit, content = self._visit(session)
        crop = self._person(content, visit.picture_style, **controls).portrait.crop
        yield {"frame": self.shown(content.crop_view(controls["face"], crop))}

    def draft(self, session: str, **controls: Any) -> Updates:
        """While a slider is dragged: quickly, with a quarter of the pixels."""
        visit, content = self._visit(session)
        visit.newest, person = controls, self._person(content, visit.picture_style, **controls)
        drafts = () if person.look.full_frame else self.studio.draft(content, person)
        result = {"result": tuple(self.shown(Image.fromarray(rgb)) for rgb in drafts)} if drafts else {}
        yield {"message": ""} | result

    def settled(self, session: str, **controls: Any) -> Updates:
        """The slider was left alone after a draft: the result in full, unless it has moved on."""
        time.sleep(SETTLE)
        if self._visit(session)[0].newest == controls:
            yield from self.result(session, **controls)

    def result(self, session: str, **controls: Any) -> Updates:
        """The picture before and after, in full, and as a file."""
        visit, content = self._visit(session)
        visit.newest = controls
        person = self._person(content, visit.picture_style, **controls)
        before, after = self.studio.picture(content, person)
        path = visit.fresh("picture") / f"{content.source.name}_vtoonify.jpg"
        with open_sink(path, content.source) as sink:
            sink.write(Frame(after))
        yield {
            "result": tuple(self.shown(reduced(rgb, SHOWN_SIDE)) for rgb in (before, after)),
            "picture_file": gr.update(value=str(path), interactive=True),
        }

    def film(self, session: str, **controls: Any) -> Updates:
        """The whole video, with progress. Whatever happens, it can be run again."""
        visit, content = self._visit(session)
        visit.stop.set()  # the one before, should it still be running
        stop = visit.stop = threading.Event()
        path = visit.fresh("video") / f"{content.source.name}_vtoonify.mp4"

        def frames() -> Iterator[int]:
            person = self._person(content, visit.picture_style, **controls)
            yield from self.studio.video(content, person, path, stop.is_set)

        yield from self.filmed(session, frames(), path, content.source.expected_frames)

    def filmed(self, session: str, frames: Iterator[int], path: Path, total: int | None, of: str = "") -> Updates:
        """What is shown while a video is rendered into `path`, by parts whose names begin with `of`. frames: how many
        are done, after each; total: of them, if known."""
        run, cancel, *films = (f"{of}{name}" for name in ("run", "cancel", *NO_FILM))
        nothing = dict.fromkeys(films, gr.update(value=None, visible=False))
        buttons = {run: gr.update(interactive=False), cancel: gr.update(visible=True)}
        yield nothing | buttons | {"message": told("Waiting for the first frame …")}
        begun, told_at = time.monotonic(), 0.0
        try:
            for done in frames:
                self.visits.known(session)
                if (now := time.monotonic()) - told_at > TELL_EVERY:
                    told_at = now
                    yield {"message": progress(done, total, now - begun)}
            outcome = {name: gr.update(value=str(path), visible=True) for name in films}
            outcome["message"] = told(f"Done: {done} frames.")
        except Exception as error:
            outcome = {"message": told(failure(error), role="status" if isinstance(error, Stopped) else "alert")}
        yield outcome | {run: gr.update(interactive=True), cancel: gr.update(visible=False)}

    def cancel(self, request: gr.Request) -> None:
        """End the video that is being rendered."""
        if visit := self.visits.known(request.session_hash):
            visit.stop.set()

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.visits.end(request.session_hash)

    def styles(self) -> list[dict[str, Any]]:
        """All styles: `style` (its name for /stylize), whether its files are `on_disk`, its `variant` (painter,
        picture, D or T) and `licence`."""
        return [
            {"style": entry.key, "on_disk": entry.on_disk, "variant": entry.preset.variant,
             "licence": entry.preset.licence}
            for entry in self.gallery.entries
        ]  # fmt: skip

    def stylize(
        self, request: gr.Request, content: str | None = None, degree: float | None = None,
        style_image: str | None = None, landmarks: str | None = None, padding_left: float | None = None,
        padding_right: float | None = None, padding_top: float | None = None, padding_bottom: float | None = None,
        **controls: Any,
    ) -> str:  # fmt: skip
        """Stylise a photo (to .jpg) or a video (to .mp4, with its sound).

        content: the file. style: one of /styles. style_image: instead of it, the file of a picture of a face, as which
        the result is painted; landmarks: the file of that face's 68 points, which are found without it. exemplar: for
        models of many exemplars, the name of one. degree: 0 (nearly the photo) to 1; nothing: the style's own. padding:
        room around the eyes at 64 pixels between them. The others are options of style_transfer.py. Of several faces
        the most prominent is stylised.
        """
        try:
            if not content:
                raise InputError("There is no content: give the file of a photo or video.")
            if landmarks and not style_image:
                raise InputError("There are landmarks, but no style_image: give the picture that they are of.")
            own = self._picture_style(style_image, landmarks) if style_image else None
            if own:
                controls["style"] = OWN
            padding = zip(PADDINGS, (padding_left, padding_right, padding_top, padding_bottom), strict=True)
            brought, visit = self.studio.bring(content), self.visits.of(request.session_hash)
            suffix = ".mp4" if brought.source.is_video else ".jpg"
            path = visit.fresh("api") / f"{brought.source.name}_vtoonify{suffix}"
            person = self._person(brought, own, degree=degree, **controls, **dict(padding))
            for _ in self.studio.video(brought, person, path, visit.stop.is_set):
                self.visits.known(request.session_hash)
        except Exception as error:
            raise gr.Error(failure(error), print_exception=False) from error
        return str(path)

    def _picture_style(self, picture: str, landmarks: str | None) -> Stylizer:
        """The style that a program's picture is, with the points of its face if they are known. Raises InputError."""
        with TemporaryDirectory() as folder:  # a style keeps what it needs of its files
            path = Path(shutil.copy(picture, folder))
            if landmarks:
                shutil.copy(landmarks, path.with_name(path.stem + LANDMARKS_SUFFIX))
            self.studio.read_picture(path)
            return self.studio.picture_style(path)


def rooms(style: Style) -> list[int]:
    """The room around the eyes that a style wants, as far as the sliders go."""
    return [min(room, LARGEST_PADDING) for room in style.padding]
