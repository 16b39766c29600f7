"""Endpoints for programs: `gradio_client`, or anything that speaks Gradio's API."""

import inspect
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

from model.common.errors import InputError
from model.demo.doors import COOKIE
from model.demo.page import Page
from model.demo.wishes import FIELDS, OPTIONS, OWN, Wish
from model.demo.words import failure
from model.inference.stylizer import Stylizer
from model.media.frames import MARK
from model.styles.example.presets import LANDMARKS_SUFFIX

PADDINGS = ("padding_left", "padding_right", "padding_top", "padding_bottom")


class Programs:
    """The endpoints, for the visitors of a page."""

    def __init__(self, page: Page):
        self.page = page

    def styles(self) -> list[dict[str, Any]]:
        """All styles: `style` (its name for /stylize), whether its files are `on_disk`, its `variant` (painter,
        picture, D or T) and `licence`."""
        return [
            {"style": entry.key, "on_disk": entry.on_disk, "variant": entry.preset.variant,
             "licence": entry.preset.licence}
            for entry in self.page.gallery.entries
        ]  # fmt: skip

    def stylize(
        self, request: gr.Request, content: str | None = None, style: Any = None, style_image: str | None = None,
        landmarks: str | None = None, **told: Any,
    ) -> str:  # fmt: skip
        """Stylise a photo (to .jpg) or a video (to .mp4, with its sound).

        content: the file. style: one of /styles. style_image: instead of it, the file of a picture of a face, as which
        the result is painted; landmarks: the file of that face's 68 points, which are found without it. exemplar: for
        models of many exemplars, the name of one. face: number of the face, 1 for the most prominent one. people: of
        several, "all", or as in `--styles`: "1=comic,2=ink@0.6". degree: 0 (nearly the photo) to 1, or a curve such as
        "0@0s,1@3s"; nothing: the style's own. padding: room around the eyes at 64 pixels between them. start, end: the
        part of a video, in seconds. The others are options of style_transfer.py, as it has them.
        """
        try:
            if not content:
                raise InputError("There is no content: give the file of a photo or video.")
            if style and style_image:
                raise InputError("There are a style and a style_image: give one of them.")
            if landmarks and not style_image:
                raise InputError("There are landmarks, but no style_image: give the picture that they are of.")
            return str(
                self._stylized(
                    request, content, style or self.page.gallery.entries[0].key, style_image, landmarks, told
                )
            )
        except Exception as error:
            raise gr.Error(failure(error), print_exception=False) from error
        finally:
            for path in filter(None, (content, style_image, landmarks)):
                shutil.rmtree(Path(path).parent, ignore_errors=True)  # Gradio's folder for this upload alone

    def _stylized(
        self, request: gr.Request, content: str, style: Any, style_image: str | None, landmarks: str | None,
        told: dict[str, Any],
    ) -> Path:  # fmt: skip
        studio = self.page.studio
        visit = self.page.visits.begin(request.cookies.get(COOKIE) or "", request.session_hash)
        files = visit.fresh("content")
        own = self._own(visit.fresh("style"), style_image, landmarks) if style_image else None
        padding, face = [told.pop(name) for name in PADDINGS], told.pop("face")
        wanted = OWN if own else style
        wish = Wish.read(told | {"style": wanted, "face": 0 if face is None else face})
        wish = Wish.read(told | {"style": wanted, "face": max(wish.face - 1, 0) if face is not None else 0})
        if face is not None and face < 1:
            raise InputError(f"face is {face}: give a number from 1 up.")
        entry = None if own else self.page.gallery.entry(wish.style)
        stylizer, look = studio.chosen(wish, entry, own)
        if unused := wish.unused(stylizer.style.uses):
            raise InputError(f"{wish.style if entry else 'A picture as the style'} has no use for {', '.join(unused)}: "
                             "leave it out.")  # fmt: skip
        if any(room is not None for room in padding):
            usual = zip(padding, stylizer.style.padding, strict=True)
            wish = Wish.read(told | {"style": wanted, "face": wish.face,
                                     "padding": [own if room is None else room for room, own in usual]})  # fmt: skip
            stylizer, look = studio.chosen(wish, entry, own)
        brought = studio.bring(Path(shutil.copy(content, files)))
        if not brought.faces:
            raise InputError(f"No face was found in {brought.name}: choose a file in which a face is visible.")
        is_video = brought.source.is_video
        if not is_video and (wish.start or wish.end is not None or look.boil or isinstance(look.degree, str)):
            raise InputError(f"{brought.name} is a photo: start, end and boil are for videos.")
        path = visit.fresh("api") / f"{brought.source.name}_{MARK.lower()}{'.mp4' if is_video else '.jpg'}"
        for _ in studio.video(brought, wish, stylizer, look, path, lambda: visit.is_over):
            self.page.visits.find(visit.name, visit.owner)  # it is still there
        return path

    def _own(self, folder: Path, picture: str, landmarks: str | None) -> Stylizer:
        """The style that a program's picture is, with the points of its face if they are known. Raises InputError."""
        path = Path(shutil.copy(picture, folder))
        if landmarks:
            shutil.copy(landmarks, path.with_name(path.stem + LANDMARKS_SUFFIX))
        self.page.studio.read_picture(path)
        return self.page.studio.picture_style(path)

    def _endpoint(self, names: Sequence[str]) -> Callable[..., str]:
        """`stylize` with all its arguments by name, none of which has to be given."""

        def stylize(request: gr.Request, *values: Any) -> str:
            return self.stylize(request, **dict(zip(names, values, strict=True)))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        request = inspect.Parameter("request", kind, annotation=gr.Request)
        others = [inspect.Parameter(name, kind, default=None) for name in names]
        stylize.__doc__, stylize.__signature__ = self.stylize.__doc__, inspect.Signature([request, *others])
        return stylize

    def leave(self, request: gr.Request) -> None:
        """A program ended."""
        self.page.visits.end(request.session_hash)

    def blocks(self, at_once: int, sweeps: tuple[int, int]) -> gr.Blocks:
        """Gradio's part of the server."""
        with gr.Blocks(title="VToonify", analytics_enabled=False, delete_cache=sweeps) as blocks:
            kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
            about = {"degree": ({}, FIELDS["style_degree"].metadata["help"]), "exemplar": ({"type": "string"}, "name")}
            about |= {"face": ({"type": "integer"}, "from 1"), "people": ({"type": "string"}, "all, or 1=comic,2=ink")}
            about |= {name: ({"type": "number"}, "seconds") for name in ("start", "end")}
            about |= {
                name: ({"type": kinds[FIELDS[name].type]}, FIELDS[name].metadata["help"].split(";")[0])
                for name in OPTIONS
            }
            about |= {name: ({"type": "number"}, "pixels") for name in PADDINGS}
            first = self.page.gallery.entries[0].key
            inputs = {
                "content": gr.File(label="Photo or video", visible=False),
                "style": Api(None, {"type": "string"}, f"Style; nothing: {first}"),
                "style_image": gr.File(label="A picture as the style", visible=False),
                "landmarks": gr.File(label="The 68 points of its face", visible=False),
            }
            inputs |= {name: Api(None, kind, f"{name}: {told}") for name, (kind, told) in about.items()}
            gr.Button(visible=False).click(
                self._endpoint(list(inputs)), inputs_kwargs=inputs, outputs=gr.File(label="Result", visible=False),
                api_name="stylize", concurrency_limit=at_once, concurrency_id="video",
            )  # fmt: skip
            gr.Button(visible=False).click(self.styles, None, gr.JSON(label="Styles", visible=False), api_name="styles")
            blocks.unload(self.leave)
        return blocks
