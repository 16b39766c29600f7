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
from model.media.files import Frame, open_sink

Updates = Iterator[dict[str, Any]]

FIELDS = {field.name: field for field in fields(Look)}
# Controls that set an option of `Look`, and which; then those that set `Look.padding`, and their defaults.
SAME_NAMES = "color_transfer", "boil", "style_size", "example_area", "keep_tone", "crop", "full_frame", "compare"
OPTIONS = {"degree": "style_degree"} | {name: name for name in SAME_NAMES}
PADDINGS = dict(zip(("padding_left", "padding_right", "padding_top", "padding_bottom"), DEFAULT_PADDING, strict=True))
SETTLE = 0.25  # seconds that a slider must rest before the result is rendered in full
SHOWN_SIDE = 1600  # results are sent to the slider at this size at most; the file to download has all of it
SHOWN_QUALITY, SHOWN_SECONDS = 90, 300  # of the JPEG files for that, and how long they stay
TELL_EVERY = 0.3  # seconds between two messages about the progress of something
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
            raise InputError("This page was left alone for too long: reload it.")
        return visit, visit.content

    def _person(self, content: Content, style: str, exemplar: str = "", face: int = 0, **options: Any) -> Person:
        """Who is rendered how, as the controls say. Raises InputError for a style that there is not."""
        entry = self.gallery.entry(style)
        padding = [options.pop(name, None) for name in PADDINGS]
        padding = None if None in padding else list(map(int, padding))  # the style's own
        wanted = {OPTIONS[name]: value for name, value in options.items()}
        look = Look(style_id=entry.style or exemplar or None, padding=padding, **wanted)
        return self.studio.person(content, entry.preset.source, face, look)

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
        entry, before = self.gallery.entries[place], self.gallery.entry(style)
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
            yield {"gallery": gr.update(selected_index=self.gallery.entries.index(before))}
            raise
        exemplars = model.exemplar_names if entry.style is None and not preset.single_style else []
        controls = {}
        for name, option in OPTIONS.items():
            if needs := FIELDS[option].metadata["needs"]:
                controls[name] = gr.update(visible=model.uses.issuperset(needs.split()))
        controls["color_transfer"]["visible"] &= not preset.colour_transfer  # it does so anyway
        if before.preset != preset:  # styles of one model can be compared as they were chosen
            if (degree := model.degree()) is not None:
                controls["degree"]["value"] = degree
            controls |= {name: gr.update(value=room) for name, room in zip(PADDINGS, model.padding, strict=True)}
        yield controls | {
            "message": "",
            "style": entry.key,
            "gallery": gr.update(value=self.pictures(), selected_index=place),
            "exemplar": gr.update(
                choices=[(Path(name).stem, name) for name in exemplars],
                value=model.exemplar_name() if exemplars else None, visible=len(exemplars) > 1,
            ),
            "about": f"**{entry.title}** · licence: {preset.licence}",
        }  # fmt: skip

    def pick(self, session: str, place: tuple[int, int]) -> Updates:
        """The frame was clicked at this pixel."""
        yield {"message": "", "face": self._visit(session)[1].nearest_face(*place)}

    def face_chosen(self, session: str) -> Updates:
        """A face was chosen: what was told before is over."""
        yield {"message": ""}

    def frame(self, session: str, **controls: Any) -> Updates:
        """The frame with the faces and the crop. It clears no message: a newer upload may have failed by now."""
        _, content = self._visit(session)
        crop = self._person(content, **controls).portrait.crop
        yield {"frame": self.shown(content.crop_view(controls["face"], crop))}

    def draft(self, session: str, **controls: Any) -> Updates:
        """While a slider is dragged: quickly, with a quarter of the pixels."""
        visit, content = self._visit(session)
        visit.newest, person = controls, self._person(content, **controls)
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
        before, after = self.studio.picture(content, self._person(content, **controls))
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
        buttons = {"run": gr.update(interactive=False), "cancel": gr.update(visible=True)}
        yield NO_FILM | buttons | {"message": told("Waiting for the first frame …")}
        begun, told_at, total = time.monotonic(), 0.0, content.source.expected_frames
        try:
            for done in self.studio.video(content, self._person(content, **controls), path, stop.is_set):
                self.visits.known(session)
                if (now := time.monotonic()) - told_at > TELL_EVERY:
                    told_at = now
                    yield {"message": progress(done, total, now - begun)}
            outcome = {name: gr.update(value=str(path), visible=True) for name in NO_FILM}
            outcome["message"] = told(f"Done: {done} frames.")
        except Exception as error:
            outcome = {"message": told(failure(error), role="status" if isinstance(error, Stopped) else "alert")}
        yield outcome | {"run": gr.update(interactive=True), "cancel": gr.update(visible=False)}

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
        self, request: gr.Request, content: str | None = None, degree: float | None = None, **controls: Any
    ) -> str:
        """Stylise a photo (to .jpg) or a video (to .mp4, with its sound).

        content: the file. style: one of /styles. exemplar: for models of many exemplars, the name of one. degree: 0
        (nearly the photo) to 1; nothing: the style's own. padding: room around the eyes at 64 pixels between them. The
        others are options of style_transfer.py. Of several faces the most prominent is stylised.
        """
        try:
            if not content:
                raise InputError("There is no content: give the file of a photo or video.")
            brought, visit = self.studio.bring(content), self.visits.of(request.session_hash)
            suffix = ".mp4" if brought.source.is_video else ".jpg"
            path = visit.fresh("api") / f"{brought.source.name}_vtoonify{suffix}"
            person = self._person(brought, degree=degree, **controls)
            for _ in self.studio.video(brought, person, path, visit.stop.is_set):
                self.visits.known(request.session_hash)
        except Exception as error:
            raise gr.Error(failure(error), print_exception=False) from error
        return str(path)
