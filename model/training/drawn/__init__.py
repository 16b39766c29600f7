"""The drawn teacher: a classical, landmark-guided painter that turns portraits into film-like cartoons.

`teacher.draw` is the whole of it; `styles.film` is a set of parameters, `geometry.align_portrait` frames a photo.
"""
