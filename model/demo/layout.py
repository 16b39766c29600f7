"""Where things are on the page, and which handler of `Page` each of them calls."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from model.common.errors import InputError
from model.demo.page import Page, failed
from model.faces.crop import DEFAULT_PADDING

LARGEST_PADDING = 400
"""At an eye distance of 64 pixels: a crop that shows the upper half of a person."""

PICTURES_AT_ONCE = {"cpu": 1, "mps": 1, "cuda": 4}
VIDEOS_AT_ONCE = {"cpu": 1, "mps": 1, "cuda": 2}
"""What is rendered at a time by device; others wait in the queue."""

LONGEST_QUEUE = 60
"""Visitors who wait; more are asked to come back."""

SWEEP_EVERY, KEPT_FOR = 600, 3600
"""Seconds between sweeps of the files that the server sent or received, and how long they stay."""

SIDES = ("left", "right", "top", "bottom")
PADDINGS = dict(zip(SIDES, DEFAULT_PADDING, strict=True))

CSS = """
#message { padding: 0; }
#message:has(.told) { position: fixed; top: 8px; left: 50%; transform: translateX(-50%); z-index: 50;
  width: min(720px, calc(100vw - 16px)); box-shadow: 0 2px 12px rgb(0 0 0 / 30%); border-radius: 8px; }
#message .told { margin: 0; padding: .6em 1em; border-radius: 8px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); color: var(--body-text-color); }
#message .told.error { background: #b3261e; border-color: #b3261e; color: #fff; }
#message progress { width: 100%; height: .8em; accent-color: #f97316; }
"""

NAMES = """
() => {
  const texts = ["The picture before", "The picture in the chosen style"];
  const name = () => {
    document.querySelectorAll("#result img").forEach((picture, number) => {
      if (picture.alt !== texts[number % 2]) picture.alt = texts[number % 2];
    });
    document.querySelectorAll("#gallery button img").forEach((picture) => {
      if (picture.parentElement.ariaLabel !== picture.alt) picture.parentElement.ariaLabel = picture.alt;
    });
  };
  new MutationObserver(name).observe(document.body, {subtree: true, childList: true});
  name();
}
"""
"""What screen readers say: Gradio's picture slider has no alternative texts, its thumbnails are mere numbers."""


def theme() -> gr.themes.Base:
    """Light or dark as the visitor's system is. The system's fonts: nothing is fetched from elsewhere."""
    return gr.themes.Default(primary_hue="orange", font=["system-ui", "sans-serif"], font_mono=["monospace"])


def build(page: Page, device: str) -> gr.Blocks:
    """The page, ready to be launched with `CSS`, `NAMES` and `theme()`; `device` is what the models run on."""
    with gr.Blocks(title="VToonify", analytics_enabled=False, delete_cache=(SWEEP_EVERY, KEPT_FOR)) as blocks:
        gr.Markdown("# VToonify\nTurn a portrait photo or a talking-head video into a cartoon.")
        parts: dict[str, Any] = {"message": gr.HTML("", elem_id="message")}
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                parts |= _style_step(page) | _crop_step()
            with gr.Column(scale=6, min_width=320):
                parts |= _degree_step()
        _connect(blocks, page, parts, device)
        _connect_programs(page, VIDEOS_AT_ONCE[device])
    blocks.queue(max_size=LONGEST_QUEUE)
    return blocks


def _style_step(page: Page) -> dict[str, Any]:
    gr.Markdown("## 1 · Style")
    first = page.gallery.entries[0]
    return {
        "key": gr.State(first.key),
        "gallery": gr.Gallery(
            value=page.gallery.pictures(), label="Styles, each on the sample portrait", show_label=False, columns=4,
            height=300, object_fit="cover", allow_preview=False, interactive=False, selected_index=0, buttons=[],
            elem_id="gallery",
        ),
        "exemplar": gr.Dropdown(label="Exemplar", choices=[], visible=False, elem_id="exemplar"),
        "about": gr.Markdown(f"**{first.title}** · licence: {first.preset.licence}"),
    }  # fmt: skip


def _crop_step() -> dict[str, Any]:
    gr.Markdown("## 2 · Photo or video, and crop")
    parts: dict[str, Any] = {}
    with gr.Tabs():
        with gr.Tab("File"):
            parts["upload"] = gr.File(label="Photo or video", type="filepath", height=120, elem_id="upload")
            parts["sample"] = gr.Button("Use the sample portrait", size="sm", elem_id="sample")
        with gr.Tab("Webcam photo"):
            parts["snapshot"] = gr.Image(
                label="Photo from the webcam", sources=["webcam"], type="filepath", format="png",
                webcam_options=gr.WebcamOptions(mirror=False), elem_id="snapshot",
            )  # fmt: skip
        with gr.Tab("Webcam video"):
            parts["recording"] = gr.Video(
                label="Video from the webcam", sources=["webcam"], include_audio=True,
                webcam_options=gr.WebcamOptions(mirror=False), elem_id="recording",
            )  # fmt: skip
    parts["facts"] = gr.Markdown("")
    parts["crop"] = gr.Image(
        label="The frame and its crop", show_label=False, interactive=False, format="jpeg", buttons=[], height=380,
        alt_text="The frame with the faces that were found; what will not be stylised is dark", elem_id="crop",
    )  # fmt: skip
    parts["face"] = gr.Radio(label="Face", choices=[("Person 1", 0)], value=0, visible=False, elem_id="face")
    gr.Markdown("The bright part is stylised. Room around the eyes, in pixels at 64 pixels between them:")
    for row in (SIDES[:2], SIDES[2:]):
        with gr.Row():
            for side in row:
                parts[side] = gr.Slider(
                    0, LARGEST_PADDING, value=PADDINGS[side], step=8, label=side.capitalize(), min_width=140,
                    buttons=[], elem_id=f"padding_{side}",
                )  # fmt: skip
    return parts


def _degree_step() -> dict[str, Any]:
    gr.Markdown("## 3 · Degree")
    parts: dict[str, Any] = {
        "degree": gr.Slider(
            0, 1, value=1, step=0.05, label="Style degree", info="0 is nearly the photo, 1 the full style", buttons=[],
            elem_id="degree",
        ),
        "colour": gr.Checkbox(label="Take the colours of the style, too", visible=False, elem_id="colour"),
        "result": gr.ImageSlider(
            label="Before and after", show_label=False, interactive=False, format="jpeg", buttons=["fullscreen"],
            max_height=640, elem_id="result",
        ),
        "full_frame": gr.Radio(
            label="Show", choices=[("the crop", 0), ("the whole frame", 1), ("the whole frame, twice as large", 2)],
            value=0, elem_id="full_frame",
        ),
        "picture_file": gr.DownloadButton("Download this picture", interactive=False, elem_id="picture_file"),
    }  # fmt: skip
    with gr.Group(visible=False) as video_part:
        parts["follow"] = gr.Checkbox(label="Follow the face as it moves", value=True, elem_id="follow")
        parts["compare"] = gr.Checkbox(label="Input and result side by side", elem_id="compare")
        parts["run"] = gr.Button("Stylise the whole video", variant="primary", elem_id="run")
        parts["cancel"] = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
        parts["film"] = gr.Video(label="Result", visible=False, interactive=False, buttons=[], elem_id="film")
        parts["film_file"] = gr.DownloadButton("Download the video", visible=False, elem_id="film_file")
    return parts | {"video_part": video_part}


def _connect(blocks: gr.Blocks, page: Page, parts: dict[str, Any], device: str) -> None:
    """Events of the page. Pictures and videos have queues of their own, so that dragging never waits for a video."""
    outputs = list(parts.values())
    names = ("key", "exemplar", "degree", "colour", "face", *SIDES, "follow", "full_frame", "compare")
    controls = [parts[name] for name in names]
    settings = {"outputs": outputs, "api_visibility": "private", "show_progress": "hidden"}
    light = settings | {"concurrency_limit": 8, "concurrency_id": "light"}
    picture = settings | {"concurrency_limit": PICTURES_AT_ONCE[device], "concurrency_id": "picture"}
    # What waits for a slider to rest must not keep drafts waiting.
    rest = settings | {"concurrency_limit": 8, "concurrency_id": "rest"}
    video = settings | {"concurrency_limit": VIDEOS_AT_ONCE[device], "concurrency_id": "video"}

    def on(handler: Callable, how: dict[str, Any]) -> dict[str, Any]:
        """Keyword arguments of an event that calls a handler of the page with all controls."""
        return {"fn": guarded(handler, parts), "inputs": controls} | how

    def chosen(event: gr.SelectData, key: str) -> Iterator[dict[str, Any]]:
        yield from page.choose(event.index, key)

    def clicked(event: gr.SelectData, request: gr.Request) -> dict[str, Any]:
        return page.pick(event.index, request)

    def sample(request: gr.Request) -> Iterator[dict[str, Any]]:
        yield from page.take(None, request)

    def then_show(event: Any) -> None:
        """After `event`, unless it failed: the crop, and the result."""
        event.success(**on(page.frame, light)).success(**on(page.result, picture))

    then_show(blocks.load(guarded(page.open, parts), **light))
    blocks.unload(page.leave)
    then_show(parts["gallery"].select(guarded(chosen, parts), [parts["key"]], **light))
    parts["exemplar"].input(**on(page.result, picture))
    for name, event in (("upload", "upload"), ("snapshot", "input"), ("recording", "stop_recording")):
        then_show(getattr(parts[name], event)(guarded(page.take, parts), [parts[name]], **light))
    then_show(parts["sample"].click(guarded(sample, parts), **light))
    then_show(parts["crop"].select(guarded(clicked, parts), **light))
    then_show(parts["face"].input(guarded(lambda: {}, parts), **light))
    for name in (*SIDES, "degree"):
        slider = parts[name].input
        if name != "degree":
            slider(**on(page.frame, light), trigger_mode="always_last")
        slider(**on(page.draft, picture), trigger_mode="always_last").success(**on(page.settled, rest))
    for name in ("colour", "full_frame"):
        parts[name].input(**on(page.result, picture))
    parts["run"].click(**on(page.film, video))
    parts["cancel"].click(page.cancel, queue=False, api_visibility="private")


def _connect_programs(page: Page, at_once: int) -> None:
    """Endpoints for gradio_client."""
    with gr.Row(visible=False):
        inputs = [
            gr.File(label="Photo or video"),
            gr.Textbox(page.gallery.entries[0].key, label="Style"),
            gr.Textbox("", label="Exemplar"),
            gr.Number(1.0, label="Style degree, 0 to 1"),
            gr.Checkbox(False, label="Take the colours of the style"),
            *(gr.Number(usual, label=f"Padding, {side}") for side, usual in PADDINGS.items()),
            gr.Checkbox(False, label="Follow the face"),
            gr.Number(0, label="Whole frame, so many times as large; 0 for the crop"),
            gr.Checkbox(False, label="Input and result side by side"),
        ]
        result = gr.File(label="Result")
        styles = gr.JSON(label="Styles")
        queue = {"concurrency_limit": at_once, "concurrency_id": "video"}
        gr.Button().click(page.stylize, inputs, result, api_name="stylize", **queue)
        gr.Button().click(page.styles, None, styles, api_name="styles")


def guarded(handler: Callable, parts: dict[str, Any]) -> Callable:
    """A handler for gradio: its dictionaries by names become such by components, an InputError a message in the page.

    What depends on a handler that failed is not called (gradio's `success`): gradio is told, but not to show it again.
    """

    def named(updates: dict[str, Any]) -> dict[Any, Any]:
        return {parts[name]: value for name, value in updates.items()} or {parts["message"]: gr.skip()}

    @functools.wraps(handler)
    def call(*arguments: Any) -> Iterator[dict[Any, Any]]:
        try:
            found = handler(*arguments)
            for updates in [found] if isinstance(found, dict) else found:
                yield named(updates)
        except InputError as error:
            yield named({"message": failed(error)})
            raise gr.Error(str(error), visible=False, print_exception=False) from error

    return call
