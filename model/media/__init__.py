"""Frames in and out: photos, videos, numbered pictures and cameras become RGB uint8 `[H, W, 3]`, and files again.

Begin with files (`open_frames`, `open_sink`); frames says what every source and every sink offers. A new format goes
into the tables of formats; a kind of file that neither Pillow nor FFmpeg knows is a source or a sink of its own.
"""
