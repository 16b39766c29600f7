"""The handlers behind the page's controls. All that is rendered, `Studio` renders.

A handler gets the visitor's session and, by name, the values it works on. It returns or yields what the parts of the
page of these names are to show.
"""

import html
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gradio as gr
from tqdm import tqdm

from model.common.errors import InputError
from model.common.hub import fetched_bytes
from model.demo.drawing import crop_view, nearest_face, reduced
from model.demo.gallery import Gallery, find_entry
from model.demo.studio import Content, RenderRequest, Stopped, Studio, bring, bring_sample
from model.demo.visits import Visit, Visits
from model.faces.crop import DEFAULT_PADDING
from model.inference.look import Look
from model.media.files import Frame, open_sink

FIELDS = {field.name: field for field in fields(Look)}

OPTIONS = {"degree": "style_degree"} | {name: name for name in ("color_transfer", "crop", "full_frame", "compare")}
"""Controls that set an option of `Look`, and which; default, range, choices and help stand with its field."""

PADDINGS = dict(zip(("padding_left", "padding_right", "padding_top", "padding_bottom"), DEFAULT_PADDING, strict=True))
"""Controls that set `Look.padding`, and their defaults."""

CONTROLS = ("style", "exemplar", *OPTIONS, *PADDINGS)
"""What `Page.request` takes, from the page and from programs; the page tells which face it is, too."""

SETTLE = 0.25
"""Seconds that a slider must rest before the result is rendered in full."""

SHOWN_SIDE = 1600
"""Results are sent to the slider at this size at most; the file to download has all of it."""

TELL_EVERY = 0.3
"""Seconds between two messages about the progress of a video."""


def told(sentence: str, bar: str = "", role: str = "status") -> str:
    """A message for the page; `role` is status or alert, `bar` HTML that stands above."""
    return f'<div class="told {role}" role="{role}">{bar}{html.escape(sentence)}</div>'


def failure(error: Exception) -> str:
    """What is told of an error. What nobody foresaw is logged, and none of the visitor's business."""
    if isinstance(error, InputError):
        return f"{str(error).rstrip('.')}."
    if isinstance(error, Stopped):
        return "Cancelled: nothing was kept."
    logging.getLogger(__name__).error("A visitor met an unexpected error", exc_info=error)
    return "Something went wrong on this server: try again, or with another file."


class Page:
    """The page's handlers.

    Args:
        studio: renders.
        gallery: the styles and their pictures.
        root: folder for the visitors' files; the server must be allowed to send files from there.
    """

    def __init__(self, studio: Studio, gallery: Gallery, root: Path):
        self.studio, self.gallery, self.visits = studio, gallery, Visits(root)

    def request(self, style: str, exemplar: str | None = None, face: int = 0, **options: Any) -> RenderRequest:
        """What the controls ask for. Raises InputError for a style that there is not."""
        entry = find_entry(self.gallery.entries, style)
        look = Look(style_id=entry.style or exemplar or None)
        look.padding = [int(options.pop(name, usual)) for name, usual in PADDINGS.items()]
        return RenderRequest(entry.ckpt, face, replace(look, **{OPTIONS[name]: options[name] for name in options}))

    def _visit(self, session: str) -> tuple[Visit, Content]:
        visit = self.visits.known(session)
        if visit is None or visit.content is None:
            raise InputError("This page was left alone for too long: reload it.")
        return visit, visit.content

    def take(self, session: str, upload: str | None = None) -> Iterator[dict[str, Any]]:
        """A file was uploaded, or came from the webcam; None: the sample portrait, with which the page opens."""
        visit = self.visits.of(session)
        yield {"message": told("Looking for faces …"), "upload": None}
        if upload is None:
            content = bring_sample()
        else:
            content = bring(shutil.copy(upload, visit.fresh("input") / Path(upload).name), self.studio.limits)
        visit.stop.set()
        visit.content = content
        height, width = content.source.size
        count, kind = len(content.faces), "video" if content.source.is_video else "photo"
        people = "one face" if count == 1 else f"{count} faces: choose one, or click it"
        yield {
            "message": "",
            "facts": f"{content.name}: {kind}, {width} × {height}, {people}",
            "face": gr.update(choices=[(f"Person {n + 1}", n) for n in range(count)], value=0, visible=count > 1),
            "video_part": gr.update(visible=content.source.is_video),
        } | _no_film()

    def leave(self, session: str) -> None:
        """The page was closed."""
        self.visits.end(session)

    def choose(self, session: str, place: int, style: str) -> Iterator[dict[str, Any]]:
        """A picture of the gallery was chosen: load its model, fetch it if need be; else `style` stays chosen."""
        entry, before = self.gallery.entries[place], find_entry(self.gallery.entries, style)
        try:
            with ThreadPoolExecutor(1, "load") as pool:
                loading = pool.submit(self.studio.stylizer, entry.ckpt)
                while not loading.done():
                    fetched = 0 if entry.on_disk else fetched_bytes()
                    amount = f" {fetched / 1e6:.0f} MB fetched" if fetched else ""
                    yield {"message": told(f"Loading {entry.title} …{amount}")}
                    wait([loading], TELL_EVERY)
                model = loading.result()
            self.gallery.draw(entry, self.studio.stylizer)
        except Exception:
            yield {"gallery": gr.update(selected_index=self.gallery.entries.index(before))}
            raise
        has_choice = entry.style is None and entry.preset.style is None
        exemplars = model.style.exemplar_names if has_choice else []
        needs = {name: FIELDS[option].metadata["needs"] for name, option in OPTIONS.items()}
        controls = {
            name: gr.update(visible=model.style.uses.issuperset(uses.split())) for name, uses in needs.items() if uses
        }
        controls["color_transfer"]["visible"] &= not entry.preset.colour_transfer  # it does so anyway
        if before.ckpt != entry.ckpt and (degree := model.style.degree()) is not None:
            controls["degree"]["value"] = degree  # styles of one model can be compared at the degree that was chosen
        yield controls | {
            "message": "",
            "style": entry.key,
            "gallery": gr.update(value=self.gallery.pictures(), selected_index=place),
            "exemplar": gr.update(
                choices=[(Path(name).stem, name) for name in exemplars],
                value=model.style.exemplar_name() if exemplars else None, visible=len(exemplars) > 1,
            ),
            "about": f"**{entry.title}** · licence: {entry.preset.licence}",
        }  # fmt: skip

    def pick(self, session: str, place: tuple[int, int]) -> dict[str, Any]:
        """The frame was clicked at this pixel."""
        _, content = self._visit(session)
        return {"face": nearest_face(content, *place)}

    def frame(self, session: str, **controls: Any) -> dict[str, Any]:
        """The frame with the faces and the crop."""
        _, content = self._visit(session)
        request = self.request(**controls)
        crop = self.studio.person(content, request).portrait.crop
        return {"message": "", "frame": crop_view(content, request.face, crop)}

    def draft(self, session: str, **controls: Any) -> dict[str, Any]:
        """While a slider is dragged: quickly, with a quarter of the pixels."""
        visit, content = self._visit(session)
        visit.newest = self.request(**controls)
        result = {} if visit.newest.look.full_frame else {"result": self.studio.draft(content, visit.newest)}
        return {"message": ""} | result

    def settled(self, session: str, **controls: Any) -> dict[str, Any]:
        """The slider was left alone after a draft: the result in full, unless it has moved on."""
        time.sleep(SETTLE)
        visit, _ = self._visit(session)
        return self.result(session, **controls) if visit.newest == self.request(**controls) else {}

    def result(self, session: str, **controls: Any) -> dict[str, Any]:
        """The picture before and after, in full, and as a file."""
        visit, content = self._visit(session)
        visit.newest = self.request(**controls)
        before, after = self.studio.picture(content, visit.newest)
        path = visit.fresh("picture") / f"{content.source.name}_vtoonify.jpg"
        with open_sink(path, content.source) as sink:
            sink.write(Frame(after))
        return {
            "result": (reduced(before, SHOWN_SIDE), reduced(after, SHOWN_SIDE)),
            "picture_file": gr.update(value=str(path), interactive=True),
        }

    def film(self, session: str, **controls: Any) -> Iterator[dict[str, Any]]:
        """The whole video, with progress. Whatever happens, it can be run again."""
        visit, content = self._visit(session)
        request, stop = self.request(**controls), threading.Event()
        visit.stop.set()  # the one before, should it still be running
        visit.stop = stop
        path = visit.fresh("video") / f"{content.source.name}_vtoonify.mp4"
        yield {
            "message": told("Waiting for the first frame …"),
            "run": gr.update(interactive=False),
            "cancel": gr.update(visible=True),
        } | _no_film()
        begun, told_at, total = time.monotonic(), 0.0, content.source.expected_frames
        try:
            for done in self.studio.video(content, request, path, stop.is_set):
                visit.touch()
                if (now := time.monotonic()) - told_at > TELL_EVERY:
                    told_at = now
                    yield {"message": progress(done, total, now - begun)}
            parts = {name: gr.update(value=str(path), visible=True) for name in ("film", "film_file")}
            outcome = {"message": told(f"Done: {done} frames.")} | parts
        except Exception as error:
            role = "status" if isinstance(error, Stopped) else "alert"
            outcome = {"message": told(failure(error), role=role)}
        yield outcome | {"run": gr.update(interactive=True), "cancel": gr.update(visible=False)}

    def cancel(self, session: str) -> None:
        """End the video that is being rendered."""
        if visit := self.visits.known(session):
            visit.stop.set()

    def styles(self) -> list[dict[str, Any]]:
        """All styles: `style` (its name for /stylize), whether its files are `on_disk`, its `variant` and `licence`."""
        return [
            {"style": entry.key, "on_disk": entry.on_disk, "variant": entry.preset.backbone[0].upper(),
             "licence": entry.preset.licence}
            for entry in self.gallery.entries
        ]  # fmt: skip

    def stylize(self, session: str, content: str | None, **controls: Any) -> str:
        """Stylise a photo (to .jpg) or a video (to .mp4, with its sound).

        content: the file. style: one of /styles. exemplar: for models of many exemplars, the name of one. degree: 0
        (nearly the photo) to 1; nothing: the style's own. padding: room around the eyes at 64 pixels between them. The
        others are options of style_transfer.py. Of several faces the most prominent is stylised.
        """
        try:
            if not content:
                raise InputError("There is no content: give the file of a photo or video.")
            brought, visit = bring(content, self.studio.limits), self.visits.of(session)
            suffix = ".mp4" if brought.source.is_video else ".jpg"
            path = visit.fresh("api") / f"{brought.source.name}_vtoonify{suffix}"
            for _ in self.studio.video(brought, self.request(**controls), path, visit.stop.is_set):
                visit.touch()
        except Exception as error:
            raise gr.Error(failure(error), print_exception=False) from error
        return str(path)


def _no_film() -> dict[str, Any]:
    return {name: gr.update(value=None, visible=False) for name in ("film", "film_file")}


def progress(done: int, total: int | None, seconds: float) -> str:
    """How far a video is after some seconds of work; `total` is unknown for some files."""
    if not total:
        return told(f"{done} frames done", "<progress></progress><br>")
    left = tqdm.format_interval(max(total - done, 0) * seconds / done)
    bar = f'<progress max="{total}" value="{done}"></progress><br>'
    return told(f"{min(done, total)} of {total} frames, {left} left", bar)
