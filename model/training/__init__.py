"""Training of VToonify-T and -D.

A run: options, train (loop), trainer (state, step), student, stages, losses, sources; finetune is for Toonify.
Beside it: data/ (what is learnt from), teachers/ and drawn/ (who draws it), generate/ (pairs on disk).
"""
