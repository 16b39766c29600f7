"""Imports point down only: scripts, demo, tools → inference, training → styles → faces, parsing, effects, media →
checkpoints (which file holds which network) → the networks, one file each here → ops → common. A folder's `__init__.py`
says what lives in it."""
