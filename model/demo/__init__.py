"""The demo's page (`python app.py`): `studio` renders, `gallery` has the styles and `visits` the visitors' folders.

`page` holds the handlers of the page, `layout` its parts and events, and `drawing` what is drawn over a frame.
"""
