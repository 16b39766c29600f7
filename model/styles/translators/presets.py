"""Networks that paint patches as presets: files of one's own. Free of torch."""

from typing import Any

from model.styles.base import FilePreset, Style


class TranslatorPreset(FilePreset):
    """A network that `train_vtoonify_d.py --student patch` made."""

    variant, licence = "translator", "of whoever trained it"

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model import checkpoints
        from model.styles.translators.style import TranslatorStyle

        network = checkpoints.load_translator(self.path)
        return TranslatorStyle(network, self.name, self.licence, device, settings.get("precision", "auto"))
