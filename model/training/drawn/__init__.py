"""The drawn teacher: a classical painter that turns portraits into cartoons, guided by landmarks, without training.

`geometry` frames a photo, `parsing` finds its regions, `warp` exaggerates it, `teacher` draws it step by step (with
shading, features, eyes) on a `canvas` with the tools of `raster`; `styles` holds the numbers of each style, and
`learn_matte` trains the cut-out.
"""
