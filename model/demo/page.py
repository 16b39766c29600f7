"""The page: three steps and the handlers behind them. All that is rendered, `Studio` renders."""

import html
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from model.common.errors import InputError
from model.common.hub import fetched_bytes
from model.demo.drawing import crop_view, nearest_face
from model.demo.gallery import Entry, Gallery, find_entry
from model.demo.studio import Content, Step, Stopped, Studio, Wish, bring, bring_sample
from model.demo.visits import Visit, Visits
from model.media.files import Frame, open_sink

SETTLE = 0.25
"""Seconds that a slider must rest before the result is rendered in full."""

SHOWN_SIDE = 1600
"""Results are sent to the slider at this size at most; the file to download has all of it."""

TELL_EVERY = 0.3
"""Seconds between two messages about the progress of a video."""


def told(sentence: str) -> str:
    """A message for the page."""
    return f'<p class="told" role="status">{html.escape(sentence)}</p>' if sentence else ""


def failed(error: InputError) -> str:
    """What went wrong, in the page, as a sentence."""
    text = str(error)
    text = text.replace("cannot", "Cannot", 1) if text.startswith("cannot") else text
    text = text if text.endswith(".") else f"{text}."
    return f'<p class="told error" role="alert">{html.escape(text)}</p>'


def loading_of(entry: Entry) -> str:
    """That a model is being loaded, and how much of it has been fetched."""
    fetched = 0 if entry.on_disk else fetched_bytes()
    return told(f"Loading {entry.title} …" + (f" {fetched / 1e6:.0f} MB fetched" if fetched else ""))


def progress_of(step: Step) -> str:
    """How far a video is."""
    text = f"{step.done} frames done"
    if step.total:
        text = f"{min(step.done, step.total)} of {step.total} frames, {time_left(step.seconds_left)} left"
    bar = f'<progress max="{step.total}" value="{step.done}"></progress>' if step.total else "<progress></progress>"
    return f'<div class="told" role="status">{bar}<br>{text}</div>'


def time_left(seconds: float) -> str:
    """`8 s`, `2 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def shown(rgb: np.ndarray) -> np.ndarray:
    """A result as the page shows it, not larger than a screen."""
    factor = SHOWN_SIDE / max(rgb.shape[:2])
    return rgb if factor >= 1 else cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


class Page:
    """The page's handlers. Their first arguments are the visitor's session, then the controls in the order of `wish`.

    Args:
        studio: renders.
        gallery: the styles and their pictures.
        root: folder for the visitors' files; the server must be allowed to send files from there.
    """

    def __init__(self, studio: Studio, gallery: Gallery, root: Path):
        self.studio, self.gallery, self.visits = studio, gallery, Visits(root)

    # ---- what the controls say

    def wish(
        self, key: str, exemplar: str | None, degree: float, colour: bool, face: int | None, left: int, right: int,
        top: int, bottom: int, follow: bool = False, full_frame: int = 0, compare: bool = False,
    ) -> Wish:  # fmt: skip
        """The wish that the controls express. Raises InputError for a style that there is not."""
        entry = find_entry(self.gallery.entries, key)
        return Wish(
            entry.ckpt, entry.style or exemplar or None, float(degree), bool(colour), face or 0,
            (int(left), int(right), int(top), int(bottom)), "follow" if follow else "fixed", int(full_frame),
            bool(compare),
        )  # fmt: skip

    def _visit(self, request: gr.Request) -> tuple[Visit, Content]:
        visit = self.visits.known(request.session_hash)
        if visit is None or visit.content is None:
            raise InputError("This page was left alone for too long: reload it.")
        return visit, visit.content

    # ---- handlers

    def open(self, request: gr.Request) -> dict[str, Any]:
        """A new visitor: the sample portrait, so that there is something to play with."""
        visit = self.visits.of(request.session_hash)
        visit.content = bring_sample()
        return {"gallery": gr.Gallery(value=self.gallery.pictures())} | self._arrived(visit.content)

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.visits.end(request.session_hash)

    def choose(self, number: int, key: str) -> Iterator[dict[str, Any]]:
        """A picture of the gallery was chosen: load its model, fetch it if need be; else `key` stays chosen."""
        entry, before = self.gallery.entries[number], find_entry(self.gallery.entries, key)
        try:
            with ThreadPoolExecutor(1, "load") as pool:
                loading = pool.submit(self.studio.stylizer, entry.ckpt)
                while not loading.done():
                    yield {"message": loading_of(entry)}
                    wait([loading], TELL_EVERY)
                model = loading.result()
        except InputError:
            yield {"gallery": gr.Gallery(selected_index=self.gallery.entries.index(before))}
            raise
        self.gallery.draw(entry, model)
        names = [] if entry.style or model.exemplars is None or entry.preset.style is not None else [*model.exemplars]
        usual = model.style_name() if names else None
        yield {
            "message": "",
            "key": entry.key,
            "gallery": gr.Gallery(value=self.gallery.pictures(), selected_index=number),
            "exemplar": gr.Dropdown(choices=[(Path(name).stem, name) for name in names], value=usual,
                                    visible=len(names) > 1),
            # Styles of one model can be compared at the degree that was chosen.
            "degree": gr.skip() if before.ckpt == entry.ckpt
                      else gr.Slider(value=model.degree(), visible=model.network.has_degree),
            "colour": gr.Checkbox(value=False, visible=model.style_encoder is not None and model.network.has_degree
                                  and not entry.preset.colour_transfer),
            "about": f"**{entry.title}** · licence: {entry.preset.licence}",
        }  # fmt: skip

    def take(self, upload: str | None, request: gr.Request) -> Iterator[dict[str, Any]]:
        """A file was uploaded, or came from the webcam; None stands for the sample portrait."""
        visit = self.visits.of(request.session_hash)
        yield {"message": told("Looking for faces …")}
        try:
            content = bring_sample() if upload is None else bring(visit.keep(upload), self.studio.limits)
        except InputError:
            yield {"upload": None}
            raise
        visit.stop.set()
        visit.content = content
        yield {"message": ""} | self._arrived(content)

    def _arrived(self, content: Content) -> dict[str, Any]:
        height, width = content.source.size
        people = [(f"Person {number + 1}", number) for number in range(len(content.faces))]
        kind = "video" if content.source.is_video else "photo"
        return {
            "upload": None,
            "facts": f"{content.name}: {kind}, {width} × {height}, "
                     + ("one face" if len(people) == 1 else f"{len(people)} faces: choose one, or click it"),
            "face": gr.Radio(choices=people, value=0, visible=len(people) > 1),
            "video_part": gr.Group(visible=content.source.is_video),
            "film": gr.Video(value=None, visible=False),
            "film_file": gr.DownloadButton(value=None, visible=False),
        }  # fmt: skip

    def frame(self, request: gr.Request, *controls: Any) -> dict[str, Any]:
        """The frame with the faces and the crop."""
        _, content = self._visit(request)
        wish = self.wish(*controls)
        return {"crop": crop_view(content, self.studio.crop(content, wish), wish.face), "message": ""}

    def pick(self, place: list[int], request: gr.Request) -> dict[str, Any]:
        """The frame was clicked."""
        _, content = self._visit(request)
        return {"face": nearest_face(content, *place)}

    def draft(self, request: gr.Request, *controls: Any) -> dict[str, Any]:
        """While a slider is dragged: quickly, with a quarter of the pixels."""
        visit, content = self._visit(request)
        visit.wish = wish = self.wish(*controls)
        if wish.full_frame:
            return {"message": ""}
        before, after = self.studio.draft(content, wish)
        return {"message": "", "result": (before, after)}

    def settled(self, request: gr.Request, *controls: Any) -> dict[str, Any]:
        """The slider was left alone after a draft: the result in full, unless it has moved on."""
        visit, _ = self._visit(request)
        wish = self.wish(*controls)
        time.sleep(SETTLE)
        return self.result(request, *controls) if visit.wish == wish else {}

    def result(self, request: gr.Request, *controls: Any) -> dict[str, Any]:
        """The picture before and after, in full, and as a file."""
        visit, content = self._visit(request)
        visit.wish = wish = self.wish(*controls)
        before, after = self.studio.picture(content, wish)
        path = visit.fresh("picture") / f"{content.source.name}_vtoonify.jpg"
        with open_sink(path, content.source) as sink:
            sink.write(Frame(after))
        file = gr.DownloadButton(value=str(path), interactive=True)
        return {"result": (shown(before), shown(after)), "picture_file": file}

    def film(self, request: gr.Request, *controls: Any) -> Iterator[dict[str, Any]]:
        """The whole video, with progress."""
        visit, content = self._visit(request)
        wish, stop = self.wish(*controls), threading.Event()
        visit.stop.set()  # the one before, should it still be running
        visit.stop = stop
        path = visit.fresh("video") / f"{content.source.name}_vtoonify.mp4"
        idle = {"run": gr.Button(interactive=True), "cancel": gr.Button(visible=False)}
        yield {
            "message": told("Waiting for the first frame …"),
            "run": gr.Button(interactive=False),
            "cancel": gr.Button(visible=True),
            "film": gr.Video(value=None, visible=False),
            "film_file": gr.DownloadButton(value=None, visible=False),
        }
        told_at = 0.0
        try:
            for step in self.studio.video(content, wish, path, stop.is_set):
                visit.touch()
                if time.monotonic() - told_at > TELL_EVERY:
                    told_at = time.monotonic()
                    yield {"message": progress_of(step)}
        except Stopped:
            yield {"message": told("Cancelled: nothing was kept.")} | idle
        except InputError as error:
            yield {"message": failed(error)} | idle
        else:
            yield {
                "message": told(f"Done: {step.done} frames."),
                "film": gr.Video(value=str(path), visible=True),
                "film_file": gr.DownloadButton(value=str(path), visible=True),
            } | idle

    def cancel(self, request: gr.Request) -> None:
        """End the video that is being rendered."""
        visit = self.visits.known(request.session_hash)
        if visit is not None:
            visit.stop.set()

    # ---- for programs

    def styles(self) -> list[dict[str, Any]]:
        """All styles: `style` (its name for /stylize), whether its files are `on_disk`, its `variant` and `licence`."""
        variants = {"dualstylegan": "D", "toonify": "T"}
        return [
            {"style": entry.key, "on_disk": entry.on_disk, "variant": variants[entry.preset.backbone],
             "licence": entry.preset.licence}
            for entry in self.gallery.entries
        ]  # fmt: skip

    def stylize(
        self, content: str, style: str, exemplar: str, degree: float, color_transfer: bool, padding_left: float,
        padding_right: float, padding_top: float, padding_bottom: float, follow: bool, full_frame: float,
        compare: bool, request: gr.Request,
    ) -> str:  # fmt: skip
        """Stylise a photo (to .jpg) or a video (to .mp4, with its sound).

        content: the file. style: one of /styles. exemplar: for models of many exemplars, the name of one. degree: 0
        (nearly the photo) to 1. padding: room around the eyes at 64 pixels between them. follow: move the crop with
        the face. full_frame: 0 for the crop alone, else how many times the frame is enlarged (1, 2, 4). compare: input
        and result side by side. Of several faces the most prominent is stylised.
        """
        try:
            if not content:
                raise InputError("There is no content: give the file of a photo or video.")
            brought = bring(content, self.studio.limits)
            if full_frame not in (0, 1, 2, 4):
                raise InputError(f"full_frame is {full_frame:g}: give 0, 1, 2 or 4.")
            padding = padding_left, padding_right, padding_top, padding_bottom
            wish = self.wish(style, exemplar, degree, color_transfer, 0, *padding, follow, int(full_frame), compare)
            visit = self.visits.of(request.session_hash)
            suffix = ".mp4" if brought.source.is_video else ".jpg"
            path = visit.fresh("api") / f"{brought.source.name}_vtoonify{suffix}"
            for _ in self.studio.video(brought, wish, path, visit.stop.is_set):
                visit.touch()
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Stopped as error:
            raise gr.Error("The connection was closed.", print_exception=False) from error
        return str(path)
