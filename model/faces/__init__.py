"""Faces: 68 landmarks (detect, landmarks), the crop around one (crop), in videos followed (track) smoothly (window).

Landmarks are float32 `[68, 2]` in the usual order, (x, y) in pixels; pictures are RGB uint8 `[H, W, 3]`.
"""
