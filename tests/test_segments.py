import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from model.common.errors import InputError
from model.inference.batch import find_contents
from model.media import resume as segments
from model.media.files import open_frames
from model.media.resume import SegmentedSink
from tests.clips import copy, make_clip, sound_packets, video_times
from tests.small_models import face_picture, levels_apart
from tests.test_frames_failures import files_no_larger_than

LENGTH, COUNT = 5, 18
MADE_OF = {"content": "in.mp4", "crop": (1, 2)}
# Ticks of a thousandth of a second; two pictures are shown at one instant.
UNEVEN = [0, 40, 41, 41, 200, 260, 300, 340, 341, 400, 900, 910, 920, 960, 1000, 1300, 1340, 1500]


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", LENGTH)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [np.ascontiguousarray(np.roll(face_picture()[:96], 3 * i, axis=1)) for i in range(COUNT)]


@pytest.fixture
def clip(tmp_path, pictures) -> Path:
    return make_clip(tmp_path / "in.mp4", pictures, sound="aac", sound_seconds=1.2)


def write(path: Path, clip: Path, stop: int | None = None, made_of: dict = MADE_OF) -> int:
    """Copy a clip as a program with --resume does, up to `stop` frames of it; how many were done before."""
    with open_frames(clip) as source, SegmentedSink(path, source, made_of) as sink:
        for number, frame in enumerate(source):
            if number == stop:
                raise KeyboardInterrupt
            if number >= sink.done:
                sink.write(frame)
    return sink.done


def interrupt(path: Path, clip: Path, stop: int, **settings) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(path, clip, stop, **settings)
    assert not path.exists() and not path.with_name("out.partial.mp4").exists()


def assert_same(path: Path, whole: Path) -> None:
    assert video_times(path) == video_times(whole) and sound_packets(path) == sound_packets(whole)
    with open_frames(path) as film, open_frames(whole) as other:
        assert all(levels_apart(a.rgb, b.rgb).mean() < 1 for a, b in zip(film, other, strict=True))


def packets(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def uneven(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    return make_clip(tmp_path / "in.mkv", pictures, UNEVEN, codec="ffv1", pix_fmt="bgr0", tick=Fraction(1, 1000),
                     sound="aac", sound_seconds=1)  # fmt: skip


def jittery(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    times = [round(i * 1000 / 30) for i in range(COUNT)]
    return make_clip(tmp_path / "in.mkv", pictures, times, tick=Fraction(1, 1000), rate=30)


def animation(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    first, *others = map(Image.fromarray, pictures)
    durations = [40 + 30 * (i % 3) for i in range(COUNT)]
    first.save(tmp_path / "in.gif", save_all=True, append_images=others, duration=durations)
    return tmp_path / "in.gif"


def late_sound(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    times = [30 * i + 240 for i in range(COUNT)]
    return make_clip(tmp_path / "in.mp4", pictures, times, sound="aac", sound_seconds=2)


@pytest.mark.parametrize("make", [uneven, jittery, animation, late_sound])
def test_times_and_sound_are_those_of_a_file_from_one_encoder(tmp_path, pictures, make):
    clip = make(tmp_path, pictures)
    write(tmp_path / "out.mp4", clip)
    whole = copy(clip, tmp_path / "whole.mp4")
    assert video_times(tmp_path / "out.mp4") == video_times(whole)
    assert [p.duration for p in packets(tmp_path / "out.mp4")][-1] == [p.duration for p in packets(whole)][-1]
    with av.open(str(tmp_path / "out.mp4")) as joined, av.open(str(whole)) as single:
        assert joined.duration == single.duration
        for a, b in zip(joined.streams, single.streams, strict=True):
            assert (a.start_time, a.duration, a.time_base) == (b.start_time, b.duration, b.time_base)
            assert a.codec_context.extradata == b.codec_context.extradata
        if single.streams.audio:
            assert sound_packets(tmp_path / "out.mp4") == sound_packets(whole)


def test_each_segment_begins_anew_and_every_picture_is_there(tmp_path, clip, pictures):
    write(tmp_path / "out.mp4", clip)
    found = packets(tmp_path / "out.mp4")
    stamps = [packet.dts for packet in found]
    assert len(found) == COUNT and stamps == sorted(set(stamps)) and all(p.dts <= p.pts for p in found)
    assert any(packet.dts < packet.pts for packet in found), "out of order"
    assert [i for i, packet in enumerate(found) if packet.is_keyframe] == [0, 5, 10, 15]
    with open_frames(tmp_path / "out.mp4") as film:
        for frame, picture in zip(film, pictures, strict=True):
            assert np.abs(frame.rgb[:96].astype(int) - picture).mean() < 4
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


@pytest.mark.parametrize("stops", [(0,), (3,), (5,), (6, 7, 16), (10, 11), (1, 15), (17,)])
@pytest.mark.parametrize("make", [uneven, None])
def test_an_interrupted_run_gives_the_same_film(tmp_path, clip, pictures, make, stops):
    clip = make(tmp_path, pictures) if make else clip
    write(tmp_path / "whole.mp4", clip)
    done = 0
    for stop in stops:
        interrupt(tmp_path / "out.mp4", clip, stop)
        folder = tmp_path / "out.parts"
        done = stop // LENGTH * LENGTH
        names = [f"{i:05d}.mp4" for i in range(done // LENGTH)] + ["notes.json"]
        assert sorted(file.name for file in folder.glob("*")) == (names if done else [])
        assert folder.exists() == (done > 0)
    assert write(tmp_path / "out.mp4", clip) == done
    assert_same(tmp_path / "out.mp4", tmp_path / "whole.mp4")
    assert not (tmp_path / "out.parts").exists()


def test_power_may_go_while_all_is_put_together(tmp_path, clip, monkeypatch):
    whole = tmp_path / "whole.mp4"
    write(whole, clip)
    with monkeypatch.context() as patch:
        patch.setattr(segments.SegmentedSink, "_remove", lambda *_: None)
        write(tmp_path / "out.mp4", clip)
    (tmp_path / "out.mp4").unlink()
    (tmp_path / "out.partial.mp4").write_bytes(b"half")
    (tmp_path / "out.parts/.00004.77-0123abcd.partial.mp4").write_bytes(b"half")
    (tmp_path / "out.parts/.notes.77-0123abcd.partial.json").write_bytes(b"half")
    (tmp_path / "out.parts/.lock").touch()
    assert write(tmp_path / "out.mp4", clip) == COUNT
    assert_same(tmp_path / "out.mp4", whole)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


def test_one_run_at_a_time_works_at_a_film(tmp_path, clip):
    write(tmp_path / "whole.mp4", clip)
    interrupt(tmp_path / "out.mp4", clip, 6)
    with open_frames(clip) as source:
        late = SegmentedSink(tmp_path / "out.mp4", source, MADE_OF)
        with SegmentedSink(tmp_path / "out.mp4", source, MADE_OF) as sink:
            for made_of in (MADE_OF, {"crop": "another"}):
                with pytest.raises(InputError, match=r"another run is at work on .*out\.mp4: "):
                    write(tmp_path / "out.mp4", clip, made_of=made_of)
            for frame in list(source)[sink.done :]:
                sink.write(frame)
        with pytest.raises(InputError, match=r"another run was at work on .*out\.mp4"), late:
            pytest.fail("what it was to go on from is gone")
    assert_same(tmp_path / "out.mp4", tmp_path / "whole.mp4")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


@pytest.mark.parametrize("kept", [1000, 0, None])
@pytest.mark.parametrize(("name", "done"), [("00001.mp4", 5), ("00002.mp4", 10), ("notes.json", 0)])
def test_what_is_damaged_and_what_follows_is_made_again(tmp_path, clip, name, kept, done):
    write(tmp_path / "whole.mp4", clip)
    interrupt(tmp_path / "out.mp4", clip, 16)
    harmed = tmp_path / "out.parts" / name
    content = harmed.read_bytes()[:-1][:kept]
    harmed.unlink() if kept is None else harmed.write_bytes(content)
    assert write(tmp_path / "out.mp4", clip) == done
    assert_same(tmp_path / "out.mp4", tmp_path / "whole.mp4")


def test_segments_of_something_else_are_removed_and_a_file_in_place_of_the_folder_is_refused(tmp_path, clip):
    interrupt(tmp_path / "out.mp4", clip, 16)
    interrupt(tmp_path / "out.mp4", clip, 7, made_of=MADE_OF | {"crop": (1, 3)})
    assert len(list((tmp_path / "out.parts").glob("*.mp4"))) == 1
    (tmp_path / "out.parts/mine.txt").write_text("somebody's own")
    assert write(tmp_path / "out.mp4", clip) == 0
    assert [file.name for file in (tmp_path / "out.parts").iterdir()] == ["mine.txt"]
    (tmp_path / "new.parts").write_text("mine")
    with pytest.raises(InputError, match="cannot write .*new.parts"):
        write(tmp_path / "new.mp4", clip)
    assert (tmp_path / "new.parts").read_text() == "mine" and not (tmp_path / "new.mp4").exists()


def test_a_full_disk_is_one_sentence_and_costs_no_finished_segment(tmp_path, clip):
    with pytest.raises(InputError, match=r"out.parts/0000\d.mp4.*; free some space"), files_no_larger_than(2000):
        write(tmp_path / "out.mp4", clip)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4"]
    write(tmp_path / "whole.mp4", clip)
    room = 3 * (tmp_path / "whole.mp4").stat().st_size // 4  # enough for a segment
    with pytest.raises(InputError, match="out.mp4.*; free some space"), files_no_larger_than(room):
        write(tmp_path / "out.mp4", clip)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4", "out.parts", "whole.mp4"]
    assert write(tmp_path / "out.mp4", clip) == COUNT
    assert_same(tmp_path / "out.mp4", tmp_path / "whole.mp4")


def test_sound_that_is_gone_in_the_end_leaves_no_stub(tmp_path, clip):
    with (
        pytest.raises(InputError, match="in.mp4"),
        open_frames(clip) as source,
        SegmentedSink(tmp_path / "out.mp4", source, MADE_OF) as sink,
    ):
        for frame in source:
            sink.write(frame)
        clip.unlink()
    assert [file.name for file in tmp_path.iterdir()] == ["out.parts"]


def test_segments_are_no_contents(tmp_path, clip):
    folder = tmp_path / "results"
    (folder / "in_vtoonify_d.parts").mkdir(parents=True)
    shutil.copy(clip, folder / "in_vtoonify_d.parts/00000.mp4")
    (folder / "holiday.parts").mkdir()
    shutil.copy(clip, folder / "holiday.parts/00000.mp4")
    found = find_contents([f"{tmp_path}/**"], folder)
    assert [str(Path(name).relative_to(tmp_path)) for name in found] == ["in.mp4", "results/holiday.parts/00000.mp4"]
    assert find_contents([str(tmp_path)], folder) == [str(clip)]
