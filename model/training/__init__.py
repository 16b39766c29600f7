"""Training of VToonify-T and -D.

A run: options and recipes, trainer (state, step), pretrain and distill (the two stages), losses, sources, train (loop).
Beside it: data/ (what is learnt from), teachers/ and drawn/ (who draws it), generate/ (on disk), finetune/ (Toonify).
"""
