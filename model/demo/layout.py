"""Where things are on the page, and which handler of `Page` each of them calls."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from model.common.errors import InputError
from model.demo import paint_frame
from model.demo.own_picture import EDITOR, EDITOR_CSS, EDITOR_JS
from model.demo.page import FIELDS, LARGEST_PADDING, OPTIONS, PADDINGS, Page, Updates, failure, told

SWEEPS = 600, 3600  # seconds between sweeps of the files that the server sent or received, and how long they stay

Parts = dict[str, gr.blocks.Block]  # by name, as in the handlers' answers and in the page's HTML

CSS = """
#message { padding: 0; }
#message:has(.told) { position: fixed; top: 8px; left: 50%; transform: translateX(-50%); z-index: 50;
  width: min(720px, calc(100vw - 16px)); box-shadow: 0 2px 12px rgb(0 0 0 / 30%); border-radius: 8px; }
#message .told { margin: 0; padding: .6em 1em; border-radius: 8px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); color: var(--body-text-color); }
#message .told.alert { background: #b3261e; border-color: #b3261e; color: #fff; }
#message progress { width: 100%; height: .8em; accent-color: #f97316; }
"""

# What screen readers say: Gradio's picture slider has no alternative texts, its thumbnails are mere numbers.
NAMES = """
() => new MutationObserver(() => {
  document.querySelectorAll("#result img").forEach((picture, number) => {
    picture.alt = ["The picture before", "The picture in the chosen style"][number % 2];
  });
  document.querySelectorAll(":is(#gallery, #paint_frames, #paint_preview) button img").forEach((picture) => {
    picture.parentElement.ariaLabel = picture.alt;
  });
}).observe(document.body, {subtree: true, childList: true})
"""


def serve(page: Page, on_cuda: bool, server_name: str, server_port: int | None, **settings: Any) -> None:
    """Serve the page until Ctrl-C; `settings` are Gradio's. InputError when the address or port can't be used."""
    with gr.Blocks(title="VToonify", analytics_enabled=False, delete_cache=SWEEPS) as blocks:
        gr.Markdown("# VToonify\nTurn a portrait photo or a talking-head video into a cartoon.")
        gr.HTML("", elem_id="message")
        with gr.Tab("Stylise"), gr.Row():
            with gr.Column(scale=5, min_width=320):
                _style_and_content(page)
            with gr.Column(scale=6, min_width=320):
                _results()
        with gr.Tab("Paint a frame", render_children=True):
            paint_frame.make_parts()
        parts = {part.elem_id: part for part in blocks.blocks.values() if part.elem_id}
        # Dragging never waits for a video, nor for a slider to rest.
        at_once = {"light": 8, "rest": 8, "look": 4, "picture": 4 if on_cuda else 1, "video": 2 if on_cuda else 1}
        _connect(blocks, page, parts, at_once)
        _connect_programs(page, at_once["video"])
    try:
        blocks.queue(max_size=60).launch(  # more visitors than that are asked to come back
            theme=gr.themes.Default(primary_hue="orange", font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=CSS + paint_frame.CSS, js=NAMES, footer_links=["api", "settings"], ssr_mode=False,
            server_name=server_name, server_port=server_port, **settings,
        )  # fmt: skip
    except OSError as error:
        place = f"{server_name}, port {server_port or '7860 and up'}"
        mend = "the port is taken, or that is no address of this machine; choose another --server_port or --server_name"
        raise InputError(f"The page cannot be served at {place}: {mend}.") from error


def _option(name: str, **settings: Any) -> gr.blocks.Block:
    """A control for an option of `Look` as its field describes it; `settings` are other arguments of the component."""
    field = FIELDS[OPTIONS[name]]
    about, label = field.metadata, name.replace("_", " ").capitalize()
    info = about["help"].split(";")[0]  # the rest is about the command line
    usual = {"label": label, "info": info[0].upper() + info[1:], "value": field.default, "elem_id": name}
    settings = usual | settings
    if field.type is bool:
        return gr.Checkbox(**settings)
    if about.get("choices"):
        return gr.Radio(**{"choices": about["choices"]} | settings)
    if settings["value"] is None:
        return gr.Number(**settings)
    return gr.Slider(about["least"], about["most"], step=0.05, buttons=[], **settings)


def _style_and_content(page: Page) -> None:
    gr.Markdown("## 1 · Style")
    first = page.gallery.entries[0]
    gr.State(first.key).elem_id = "style"
    with gr.Tab("Gallery"):
        gr.Gallery(
            page.pictures(), label="Styles, each on the sample portrait", show_label=False, columns=4, height=300,
            object_fit="cover", allow_preview=False, interactive=False, selected_index=0, buttons=[], elem_id="gallery",
        )  # fmt: skip
    with gr.Tab("Your own picture"):
        _own_picture()
    gr.Dropdown(label="Exemplar", choices=[], visible=False, elem_id="exemplar")
    gr.Markdown(f"**{first.title}** · licence: {first.preset.licence}", elem_id="about")
    gr.Markdown("## 2 · Photo or video, and crop")
    webcam = {"sources": ["webcam"], "webcam_options": gr.WebcamOptions(mirror=False)}
    with gr.Tab("File"):
        gr.File(label="Photo or video", type="filepath", height=120, elem_id="upload")
        gr.Button("Use the sample portrait", size="sm", elem_id="sample")
    with gr.Tab("Webcam photo"):
        gr.Image(label="Photo from the webcam", type="filepath", format="png", elem_id="snapshot", **webcam)
    with gr.Tab("Webcam video"):
        gr.Video(label="Video from the webcam", include_audio=True, elem_id="recording", **webcam)
    gr.Markdown("", elem_id="facts")
    gr.Image(
        label="The frame and its crop", show_label=False, interactive=False, format="jpeg", buttons=[], height=380,
        alt_text="The frame with the faces that were found; what will not be stylised is dark", elem_id="frame",
    )  # fmt: skip
    gr.Radio(label="Face", choices=[("Person 1", 0)], value=0, visible=False, elem_id="face")
    gr.Markdown(f"The bright part is stylised. The sliders: {FIELDS['padding'].metadata['help']}.")
    slider = {"minimum": 0, "maximum": LARGEST_PADDING, "step": 1, "min_width": 200, "buttons": []}
    with gr.Row():
        for name, usual in PADDINGS.items():
            gr.Slider(value=usual, label=name.removeprefix("padding_").capitalize(), elem_id=name, **slider)


def _own_picture() -> None:
    gr.File(label="A painted face", type="filepath", height=120, elem_id="own_upload")
    with gr.Column(visible=False, elem_id="own_part"):
        gr.HTML(html_template=EDITOR, css_template=EDITOR_CSS, js_on_load=EDITOR_JS, elem_id="points")
        with gr.Row():
            gr.Button("Use it as the style", size="sm", elem_id="use_own")
            gr.DownloadButton("Download the points", size="sm", elem_id="points_file")


def _results() -> None:
    gr.Markdown("## 3 · Degree")
    _option("degree", value=1)
    _option("color_transfer", visible=False)
    _option("style_size")
    _option("example_area")
    _option("keep_tone", visible=False)
    gr.ImageSlider(
        label="Before and after", show_label=False, interactive=False, format="jpeg", buttons=["fullscreen"],
        max_height=640, elem_id="result",
    )  # fmt: skip
    shows = [("the crop", 0), ("the whole frame", 1)]
    shows += [(f"the whole frame, {n} times as large", n) for n in FIELDS["full_frame"].metadata["choices"] if n > 1]
    _option("full_frame", choices=shows)
    gr.DownloadButton("Download this picture", interactive=False, elem_id="picture_file")
    with gr.Group(visible=False, elem_id="video_part"):
        _option("boil")
        _option("crop", value="follow", choices=["follow", "fixed"])
        _option("compare")
        gr.Button("Stylise the whole video", variant="primary", elem_id="run")
        gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
        gr.Video(label="Result", visible=False, interactive=False, buttons=[], elem_id="film")
        gr.DownloadButton("Download the video", visible=False, elem_id="film_file")


def _connect(blocks: gr.Blocks, page: Page, parts: Parts, at_once: dict[str, int]) -> None:
    """Events of the page; `at_once`: how many events of each queue are worked on at a time."""
    controls = {name: parts[name] for name in ("style", "exemplar", "face", *OPTIONS, *PADDINGS)}

    def call(
        handler: Callable[..., Updates], queue: str = "light", inputs: Parts = controls, click: bool = False,
        trigger_mode: str = "always_last",
    ) -> dict[str, Any]:  # fmt: skip
        """Arguments of an event that calls `handler`, with `click` also with the place of the click."""
        return {
            "fn": _guarded(handler, parts, click), "inputs_kwargs": inputs, "outputs": list(parts.values()),
            "show_progress": "hidden", "api_visibility": "private", "concurrency_limit": at_once[queue],
            "concurrency_id": queue, "trigger_mode": trigger_mode,
        }  # fmt: skip

    def show(event: Callable) -> None:
        """After an event: the crop, then the result."""
        event(**call(page.frame)).success(**call(page.result, "picture"))

    for event in (blocks.load, parts["sample"].click):
        show(event(**call(page.take, inputs={})).success)
    for name, event in (("upload", "upload"), ("snapshot", "input"), ("recording", "stop_recording")):
        show(getattr(parts[name], event)(**call(page.take, inputs={"upload": parts[name]})).success)
    show(parts["gallery"].select(**call(page.choose, inputs={"style": parts["style"]}, click=True)).success)
    show(parts["own_upload"].upload(**call(page.bring_picture, inputs={"own_upload": parts["own_upload"]})).success)
    placing = {name: parts[name] for name in ("points", "style", *PADDINGS)}
    for event in (parts["points"].input, parts["use_own"].click):
        show(event(**call(page.place, inputs=placing)).success)
    show(parts["frame"].select(**call(page.pick, inputs={}, click=True)).success)
    show(parts["face"].input(**call(page.face_chosen, inputs={})).success)
    for name in PADDINGS:
        parts[name].input(**call(page.frame))
    for name in (*PADDINGS, "degree"):
        parts[name].input(**call(page.draft, "picture")).success(**call(page.settled, "rest"))
    for name in ("exemplar", "color_transfer", "full_frame", "style_size", "example_area", "keep_tone"):
        parts[name].input(**call(page.result, "picture"))
    parts["run"].click(**call(page.film, "video", trigger_mode="once"))
    parts["cancel"].click(page.cancel, queue=False, api_visibility="private")
    paint_frame.connect(paint_frame.PaintFrame(page), parts, call)
    blocks.load(page.pictures, None, parts["gallery"], show_progress="hidden", api_visibility="private")
    blocks.unload(page.leave)


def _guarded(handler: Callable[..., Updates], parts: Parts, click: bool) -> Callable:
    """`handler` as gradio calls it, with the updates for `parts`; an error becomes a message in the page.

    Gradio is told of it, so that what depends on the handler (`success`) is not called, but not to show it again.
    """

    def call(request: gr.Request, **values: Any) -> Updates:
        try:
            for updates in handler(request.session_hash, **values):
                yield {parts[name]: value for name, value in updates.items()}
        except Exception as error:
            sentence = failure(error)
            yield {parts["message"]: told(sentence, role="alert")}
            raise gr.Error(sentence, visible=False, print_exception=False) from error

    def clicked(event: gr.SelectData, request: gr.Request, **values: Any) -> Updates:
        yield from call(request, place=event.index, **values)

    return clicked if click else call


def _connect_programs(page: Page, at_once: int) -> None:
    """Endpoints for gradio_client."""
    with gr.Row(visible=False):
        inputs: Parts = {
            "content": gr.File(label="Photo or video"),
            "style": gr.Textbox(page.gallery.entries[0].key, label="Style"),
            "style_image": gr.File(label="A picture as the style"),
            "landmarks": gr.File(label="The 68 points of its face"),
            "exemplar": gr.Textbox("", label="Exemplar"),
        }
        inputs |= {name: _option(name, elem_id=None) for name in OPTIONS}
        inputs |= {name: gr.Number(None, label=name) for name in PADDINGS}
        gr.Button().click(
            page.stylize, inputs_kwargs=inputs, outputs=gr.File(label="Result"), api_name="stylize",
            concurrency_limit=at_once, concurrency_id="video",
        )  # fmt: skip
        gr.Button().click(page.styles, None, gr.JSON(label="Styles"), api_name="styles")
