"""Pictures as styles: those that come with the project, and one's own. Free of torch and Numba."""

from collections.abc import Sequence
from typing import Any

from model.common.hub import CHECKPOINTS
from model.styles.base import FilePreset, Preset, Style

FOLDER = "exemplars"  # of the checkpoint folder, with NAME.jpg, NAME.landmarks.txt and NAME.photo.jpg
LANDMARKS_SUFFIX = ".landmarks.txt"  # of the file beside a style picture that says where its face is: 68 lines `x y`
PHOTO_SUFFIX = ".photo.jpg"  # of the photo from which the picture beside it was painted


class ExemplarsPreset(Preset):
    """The exemplars that come with the project."""

    name, variant, colour_transfer = "exemplars", "picture", True
    licence = "CC BY-NC-SA 4.0 (non-commercial)"

    @property
    def style_names(self) -> Sequence[str]:
        suffix = len(LANDMARKS_SUFFIX)
        return sorted(path.name[:-suffix] for path in (CHECKPOINTS / FOLDER).glob("*" + LANDMARKS_SUFFIX))

    @property
    def files(self) -> list[str]:
        return [
            f"{FOLDER}/{name}{end}" for name in self.style_names for end in (".jpg", LANDMARKS_SUFFIX, PHOTO_SUFFIX)
        ]

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model.styles.example.exemplar import load_exemplar
        from model.styles.example.style import ExampleStyle

        exemplars = {name: load_exemplar(CHECKPOINTS / FOLDER / f"{name}.jpg") for name in self.style_names}
        return ExampleStyle(exemplars, self.name, self.licence, device)


class PicturePreset(FilePreset):
    """A picture of one's own."""

    variant, licence = "picture", "of whoever owns the picture"

    @property
    def files(self) -> list[str]:
        beside = (self.path.with_name(self.path.stem + end) for end in (LANDMARKS_SUFFIX, PHOTO_SUFFIX))
        return [*super().files, *(str(path.absolute()) for path in beside if path.exists())]

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model.styles.example.exemplar import load_exemplar
        from model.styles.example.style import ExampleStyle

        return ExampleStyle({self.name: load_exemplar(self.path)}, self.path.name, self.licence, device)


EXEMPLARS = ExemplarsPreset()
