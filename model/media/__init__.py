"""Frames in and out: photos, videos, numbered pictures and cameras become RGB uint8 `[H, W, 3]`, and files again.

Begin with files (`open_frames`, `open_sink`); frames says what every source and sink offers. What may be opened is
in tables of files and video_reader; what neither Pillow nor FFmpeg knows is a source or a sink of its own.
"""
