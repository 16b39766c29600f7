"""What a run leaves to be looked at: log.jsonl, TensorBoard, and image grids as files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from model.common.errors import InputError

JPEG_QUALITY = 92


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing to `path` into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror or error}).") from error


class Log:
    """Metrics and image grids of a run by step, in its folder. What an earlier run wrote after `step` is dropped."""

    def __init__(self, folder: Path, step: int):
        # Imported here, for it takes a second and not every program that imports this trains.
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.file = folder, folder / "log.jsonl"
        with writing(folder):
            if self.file.exists():
                lines = self.file.read_text(errors="replace").splitlines()
                kept = [line for line in lines if _is_until(line, step)]
                self.file.write_text("".join(f"{line}\n" for line in kept))
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Add a line to log.jsonl and a point to each curve."""
        with writing(self.file), self.file.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self.board.add_scalar(name, value, step)

    def picture(self, step: int, rgb: np.ndarray) -> None:
        """Write `rgb [H, W, 3]`, uint8, as preview-STEP.jpg and show it in TensorBoard."""
        path = self.folder / f"preview-{step:06d}.jpg"
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise InputError(f"{path} can't be written: the disk may be full.")
        self.board.add_image("preview", rgb, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        self.board.close()


def _is_until(line: str, step: int) -> bool:
    """Whether a line of log.jsonl is whole and of a step up to `step`: a killed program may leave half a line."""
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, LookupError, TypeError):
        return False
