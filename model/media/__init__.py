"""Frames in and out: photos, videos, numbered pictures and cameras become RGB uint8 `[H, W, 3]`, and files again.

Begin with files (`open_frames`, `open_sink`); frames says what every source and sink offers.
"""
