"""Training of the small face finder (`model/face_finder.py`)."""
