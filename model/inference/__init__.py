"""From files and options to cartoons: `batch` (all contents) → `job` (one) → `clip` (frames) → `scene` (people).

`stylizer` is the Python interface, `look` and `options` what can be asked for, `live` the webcam.
"""
