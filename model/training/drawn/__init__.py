"""The drawn teacher: a classical painter that turns portraits into cartoons, guided by landmarks, without training.

`geometry` frames a photo, `parsing` finds its regions, `warp` exaggerates it, `teacher` draws it step by step (shading,
features, eyes, finish) on a `canvas`; the numbers of each style are in `styles`. `learn_matte` trains the cut-out.
"""
