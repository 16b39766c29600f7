"""Faces in pictures: find 68 landmarks (detect), measure them (landmarks), cut the face out (crop, align).

In videos: follow one face or several (track, crowd), and move the crop smoothly with each (window, presence).
Landmarks are float32 `[68, 2]` in the usual order, (x, y) in pixels; pictures are RGB uint8 `[H, W, 3]`.
"""
