"""The flow-warped error: 0 for what is still or only moves, large for what flickers."""

import numpy as np
import pytest
import skimage.data

from model.media import sample
from model.tools.flicker import main, warped_error

PICTURE = skimage.data.astronaut()[:260, :260]


def moving(step: int, count: int = 3) -> list[np.ndarray]:
    """A window that moves to the right by `step` pixels a frame."""
    return [PICTURE[20:180, 10 + step * n : 170 + step * n].copy() for n in range(count)]


def enlarged(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [frame.repeat(2, axis=0).repeat(2, axis=1) for frame in frames]


def test_a_still_video_has_no_error():
    error = warped_error(moving(0), enlarged(moving(0)))
    assert error.source == pytest.approx(0, abs=0.05) and error.result == pytest.approx(0, abs=0.05)


def test_motion_of_the_source_is_taken_out_of_both():
    error = warped_error(moving(4), enlarged(moving(4)))
    unwarped = np.abs(moving(4)[0].astype(int) - moving(4)[1]).mean()
    assert error.source < 0.2 * unwarped and error.result < 0.25 * unwarped


def test_noise_in_the_result_is_told_from_a_steady_source():
    rng = np.random.default_rng(0)
    noisy = [np.clip(frame + rng.normal(0, 20, frame.shape), 0, 255).astype(np.uint8) for frame in moving(4)]
    error = warped_error(moving(4), noisy)
    assert error.result > 15 and error.ratio > 5


def test_a_result_of_another_length_is_refused():
    with pytest.raises(ValueError, match="shorter|longer"):
        warped_error(moving(1), moving(1, count=2))


def test_the_program_tells_the_ratio_of_each_video(call, tmp_path, capsys):
    clip = tmp_path / "clip.mp4"
    assert call(sample.main, clip, "--seconds", 0.12) == 0
    assert call(main, clip) == 0
    name, _, *figures = (cell.strip() for cell in capsys.readouterr().out.splitlines()[-1].strip("|").split("|"))
    source, result, ratio = map(float, figures)
    assert name == str(clip) and source > 0 and ratio == pytest.approx(result / source, rel=0.05)
    assert call(main, tmp_path / "none.mp4") == 2


def test_one_frame_has_no_neighbour(call, capsys):
    assert call(main, "clip.mp4", "--frames", 1) == 2
    assert "--frames is 1" in capsys.readouterr().err
