"""The tab "Paint a frame": its parts, and the handlers behind them. What is done with a clip is in `painted_clip.py`.

The handlers are as those of `Page`, in whose `Visit` the clip is kept.
"""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gradio as gr

from model.common.errors import InputError
from model.demo.page import FIELDS, LEFT_ALONE, NO_FILM, TELL_EVERY, Page, Updates, progress, told
from model.demo.painted_clip import PaintedClip
from model.demo.studio import Visit, in_their_words, reduced
from model.inference.look import Look
from model.styles.keyframes.paintings import laid_over, read_cover, read_painting

NAMES = "paint_"  # what the names of the tab's parts begin with
THUMBNAIL, PREVIEW_SIDE = 640, 1000  # longer sides of the pictures that are shown, in pixels
BY_ITSELF = ""  # the choice of frame that is left to the picture
NUMBERS = re.compile(r"[\s,;]*\d{1,9}(?:[\s,;]+\d{1,9})*[\s,;]*")
UPLOAD_FIRST = "There is no video: upload one first."
ABOUT = """Paint over one to three frames of a video, in any program; the whole video is then painted as they are. The
face that is the most prominent at first is followed."""
HOW = """**Download the pictures, paint over them**, by hand or otherwise, and keep their size: what is painted has to
lie where it was. Other frames can be named by their numbers."""
CSS = """
:is(#paint_frames, #paint_preview) .grid-wrap { height: auto; min-height: 0; max-height: none; }
:is(#paint_frames, #paint_preview) .grid-container { grid-template-rows: none;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, var(--least)), 1fr)); }
#paint_frames { --least: 110px; }
#paint_preview { --least: 170px; }
#paint_preview .grid-wrap { padding-top: 1.5em; }
:is(#paint_frames, #paint_preview) .caption-label { max-width: calc(100% - 8px); padding: 1px 4px; font-size: 11px; }
#paint_files .label-clear-button { display: none; }
"""


class PaintFrame:
    """The handlers of the tab, for the visitors of a page."""

    def __init__(self, page: Page):
        self.page = page

    def _clip(self, session: str) -> tuple[Visit, PaintedClip]:
        visit = self.page.visits.known(session)
        if visit is None:
            raise InputError(LEFT_ALONE)
        if visit.clip is None or not visit.clip.places:
            raise InputError(UPLOAD_FIRST)
        return visit, visit.clip

    def bring(self, session: str, paint_upload: str | None = None) -> Updates:
        """A video was uploaded. `look` comes next."""
        visit = self.page.visits.of(session)
        yield {"message": told("Looking for faces …"), "paint_upload": None}
        if not paint_upload:
            raise InputError(UPLOAD_FIRST)
        path = visit.fresh("clip") / Path(paint_upload).name
        clip = self.page.studio.bring_clip(Path(shutil.copy(paint_upload, path)))
        if visit.clip is not None:
            visit.clip.stop.set()
        visit.clip = clip
        yield {
            "message": told("Looking through the video …"),
            "paint_facts": clip.content.name,
            "paint_part": gr.update(visible=False),
            "paint_result": gr.update(visible=False),
        }

    def look(self, session: str) -> Updates:
        """Follow the face through the clip that was brought, and suggest frames; given up where another one is."""
        visit = self.page.visits.known(session)
        clip = visit and visit.clip
        if clip is None:
            raise InputError(LEFT_ALONE)
        begun, told_at = time.monotonic(), 0.0
        for done in self.page.studio.look_through(clip):
            if self.page.visits.known(session) is not visit or visit.clip is not clip:
                return
            if (now := time.monotonic()) - told_at > TELL_EVERY:
                told_at = now
                yield {"message": progress(done, clip.content.source.expected_frames, now - begun)}
        clip.offer(clip.suggested)
        nothing = {f"{NAMES}{name}": update for name, update in NO_FILM.items()}
        yield (
            self._offered(clip)
            | nothing
            | {
                "message": "",
                "paint_part": gr.update(visible=True),
                "paint_preview": gr.update(value=None, visible=False),
                "paint_run": gr.update(interactive=False),
            }
        )

    def _offered(self, clip: PaintedClip) -> dict[str, Any]:
        """Updates that show the frames to be painted, and what is painted already."""
        (height, width), pictures = clip.content.source.size, []
        for number, crop in clip.crops(clip.offered).items():
            painting = clip.paintings.get(number)
            picture = (
                crop.rgb if painting is None else laid_over(read_painting(painting), read_cover(painting), crop.rgb)
            )
            caption = f"{'' if painting is None else '✓ '}{clip.caption(number)}"
            pictures.append((self.page.shown(reduced(picture, THUMBNAIL)), caption))
        choices = [(f"frame {number}", str(number)) for number in clip.offered]
        return {
            "paint_facts": f"{clip.content.name}: {width} × {height}, frames 0 to {clip.last}",
            "paint_frames": gr.update(value=pictures, columns=min(len(pictures), 3)),
            "paint_numbers": ", ".join(map(str, clip.offered)),
            "paint_files": [str(path) for path in clip.files()],
            "paint_of": gr.update(choices=[("as it tells itself", BY_ITSELF), *choices], value=BY_ITSELF),
        }

    def choose(self, session: str, paint_numbers: str) -> Updates:
        """Frames were named by their numbers. `preview` comes next, for paintings of others are put aside."""
        yield {"message": told("Taking these frames …")}
        _, clip = self._clip(session)
        if not NUMBERS.fullmatch(paint_numbers or ""):
            raise InputError(f"Frames are named by their numbers, from 0 to {clip.last}, as in 0, {clip.last}.")
        clip.offer([int(number) for number in re.findall(r"\d+", paint_numbers)])
        yield self._offered(clip) | {"message": ""}

    def paint(self, session: str, paint_pictures: list[str] | None = None, paint_of: str = BY_ITSELF) -> Updates:
        """Painted frames were uploaded. `preview` comes next."""
        yield {"message": told("Looking at what is painted …"), "paint_pictures": None}
        _, clip = self._clip(session)
        paths = [Path(name) for name in paint_pictures or ()]
        with ExitStack() as words:
            for path in paths:
                words.enter_context(in_their_words(path))
            clip.take(paths, int(paint_of) if paint_of else None)
        yield self._offered(clip) | {"message": told("Painting three frames …")}

    def preview(self, session: str, paint_boil: float = 0.0) -> Updates:
        """Three frames as they will be, or none where nothing is painted."""
        _, clip = self._clip(session)
        if clip.stylizer is None:
            yield {"paint_result": gr.update(visible=False), "paint_run": gr.update(interactive=False)}
            return
        pictures = [
            (self.page.shown(reduced(rgb, PREVIEW_SIDE)), clip.caption(number))
            for number, rgb in clip.preview(paint_boil).items()
        ]
        yield {
            "message": "",
            "paint_result": gr.update(visible=True),
            "paint_preview": gr.update(value=pictures, visible=True),
            "paint_run": gr.update(interactive=True),
        }

    def film(self, session: str, paint_boil: float = 0.0, paint_full_frame: int = 0) -> Updates:
        """The whole video, with progress. Whatever happens, it can be run again."""
        visit, clip = self._clip(session)
        stylizer, look = clip.stylizer, Look(full_frame=paint_full_frame, boil=paint_boil)
        if stylizer is None:
            raise InputError("No frame is painted yet: bring a painted one.")
        clip.stop.set()  # the one before, should it still be running
        stop = clip.stop = threading.Event()
        path = visit.fresh("painted") / f"{clip.content.source.name}_painted.mp4"

        def frames() -> Iterator[int]:
            person = self.page.studio.person(clip.content, stylizer, 0, look)
            yield from self.page.studio.video(clip.content, person, path, stop.is_set)

        yield from self.page.filmed(session, frames(), path, clip.content.source.expected_frames, NAMES)

    def cancel(self, request: gr.Request) -> None:
        """End the video that is being rendered."""
        visit = self.page.visits.known(request.session_hash)
        if visit and visit.clip:
            visit.clip.stop.set()


def make_parts() -> None:
    """The parts of the tab."""
    gr.Markdown(ABOUT)
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            gr.Markdown("## 1 · Video")
            gr.File(label="Video", type="filepath", height=120, elem_id="paint_upload")
            gr.Markdown("", elem_id="paint_facts")
            with gr.Column(visible=False, elem_id="paint_part"):
                gr.Markdown("## 2 · Frames to paint")
                gr.Gallery(
                    label="Frames to paint", show_label=False, columns=3, height="auto", object_fit="contain",
                    interactive=False, buttons=[], elem_id="paint_frames",
                )  # fmt: skip
                gr.Markdown(HOW)
                gr.File(label="To download", interactive=False, file_count="multiple", elem_id="paint_files")
                with gr.Row():
                    gr.Textbox(label="Frames, by number", max_lines=1, elem_id="paint_numbers", min_width=160, scale=3)
                    gr.Button("Take these frames", size="sm", elem_id="paint_choose", min_width=120, scale=1)
                gr.Markdown("## 3 · Painted pictures")
                gr.File(
                    label="Painted pictures",
                    file_count="multiple",
                    type="filepath",
                    height=120,
                    elem_id="paint_pictures",
                )
                gr.Radio(
                    label="Frame that a picture is of",
                    choices=[("as it tells itself", BY_ITSELF)],
                    value=BY_ITSELF,
                    info="Some programs drop the note of it.",
                    elem_id="paint_of",
                )
        with gr.Column(scale=6, min_width=320), gr.Column(visible=False, elem_id="paint_result"):
            gr.Markdown("## 4 · Preview and video")
            gr.Gallery(
                label="Three frames as they will be", columns=3, height="auto", object_fit="contain",
                interactive=False, buttons=[], elem_id="paint_preview",
            )  # fmt: skip
            about = FIELDS["boil"].metadata
            gr.Slider(
                about["least"],
                about["most"],
                value=0,
                step=0.05,
                label="Boil",
                buttons=[],
                info=about["help"].split(";")[0].capitalize(),
                elem_id="paint_boil",
            )
            gr.Radio(
                label="The video shows",
                choices=[("the crop", 0), ("the whole frame, with the painted head in it", 1)],
                value=0,
                elem_id="paint_full_frame",
            )
            gr.Button("Paint the whole video", variant="primary", interactive=False, elem_id="paint_run")
            gr.Button("Cancel", variant="stop", visible=False, elem_id="paint_cancel")
            gr.Video(label="Result", visible=False, interactive=False, buttons=[], elem_id="paint_film")
            gr.DownloadButton("Download the video", visible=False, elem_id="paint_film_file")


def connect(paint: PaintFrame, parts: dict[str, gr.blocks.Block], call: Callable[..., dict[str, Any]]) -> None:
    """Events of the tab; `call(handler, queue, inputs)` gives the arguments of one."""

    def inputs(*names: str) -> dict[str, gr.blocks.Block]:
        return {name: parts[name] for name in names}

    def preview(event: Callable) -> None:
        event(**call(paint.preview, "picture", inputs("paint_boil")))

    parts["paint_upload"].upload(**call(paint.bring, inputs=inputs("paint_upload"))).success(
        **call(paint.look, "look", {})
    )
    for event in (parts["paint_choose"].click, parts["paint_numbers"].submit):
        preview(event(**call(paint.choose, "look", inputs("paint_numbers"))).success)
    preview(parts["paint_pictures"].upload(**call(paint.paint, "look", inputs("paint_pictures", "paint_of"))).success)
    preview(parts["paint_boil"].release)
    options = inputs("paint_boil", "paint_full_frame")
    parts["paint_run"].click(**call(paint.film, "video", options, trigger_mode="once"))
    parts["paint_cancel"].click(paint.cancel, queue=False, api_visibility="private")
