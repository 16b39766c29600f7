"""The smoothed parsing maps of one video, into a file."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from model import checkpoints
from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.common.files import alone
from model.faces.crop import FaceCrop, window_around
from model.faces.detect import search_face
from model.media.frames import FrameSource
from model.media.threads import ahead
from model.parsing.maps import MapSink, write_published
from model.parsing.smooth import Smoother, find_weights, load_flow


def smooth(source: FrameSource, options: Any) -> Path:
    """Write the maps of a video; returns their file. Raises InputError for a photo, and where no face is found.

    options: those of smooth_parsing_map.py.
    """
    if not source.is_video:
        raise InputError(f"{source.path} is a photo: smoothing needs a video.")
    crop = FaceCrop.whole_frame(source.size)
    if not options.no_scale_image:
        crop = window_around(search_face(source)[1], source.size, tuple(options.padding))
    device = pick_device(options.device)
    dtype = pick_precision(options.precision, device)
    parser = checkpoints.load_parser(find_weights(options.faceparsing_path)).requires_grad_(False).to(device)
    smoother = Smoother(parser, load_flow(options.raft_path, device), device, dtype, options.window_size)
    published = Path(options.output_path) / f"{source.name}_parsingmap.{options.format}"
    path = published if options.format == "npz" else published.with_suffix(".npy.npz")  # not one of an earlier run
    with alone(path.with_suffix(".lock"), str(published)):
        write_maps(MapSink(path, crop, options.window_size, options.resume), source, crop, smoother)
        if path != published:
            write_published(published, path)
            path.unlink()
    return published


def write_maps(sink: MapSink, source: FrameSource, crop: FaceCrop, smoother: Smoother) -> None:
    """Fill `sink`, with a bar."""
    try:
        with sink, ahead(source) as frames:
            bar = {"initial": sink.done, "total": source.expected_frames, "unit": "frame", "disable": None}
            crops = (crop.apply(frame.rgb) for frame in frames)
            for logits in tqdm(smoother.maps(crops, start=sink.done), **bar):
                sink.write(logits)
    except KeyboardInterrupt:
        if not sink.done:
            raise
        raise KeyboardInterrupt(f"{sink.done} maps are in {sink.partial}; --resume goes on from there.") from None
