import numpy as np
import pytest

from model.media import sample
from model.media.files import open_frames


def test_the_clip_has_its_length_and_moves(call, tmp_path):
    clip = tmp_path / "clip.mp4"
    assert call(sample.main, clip, "--seconds", 0.4) == 0
    with open_frames(clip) as frames:
        pictures = [frame.rgb.astype(int) for frame in frames]
        assert frames.rate == 25 and len(pictures) == 10 and pictures[0].shape == (512, 512, 3)
    assert np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3)).min() > 1


def test_the_camera_moves_smoothly_in_a_circle_and_stays_on_the_picture():
    views = np.array([sample.view_at(n / 100, (480, 640)) for n in range(101)])
    corners = np.array([[0, 0, 1], [640, 0, 1], [0, 480, 1], [640, 480, 1]], float)
    seen = views @ corners.T
    speed = np.abs(np.diff(seen, axis=0))
    assert speed.max() < 6 and np.abs(np.diff(speed, axis=0)).max() < 0.5
    np.testing.assert_allclose(seen[0], seen[-1], atol=1e-6)
    looked_at = np.array([np.linalg.inv(np.vstack([view, [0, 0, 1]])) for view in views]) @ corners.T
    assert looked_at[:, :2].min() >= 0 and (looked_at[:, 0] <= 640).all() and (looked_at[:, 1] <= 480).all()


@pytest.mark.parametrize(("more", "told"), [(["--seconds", -1], "--seconds is -1"), (["--photo", "no.jpg"], "no.jpg")])
def test_what_cannot_work_is_one_sentence(call, tmp_path, capsys, more, told):
    assert call(sample.main, tmp_path / "clip.mp4", *more) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())
