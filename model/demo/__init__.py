"""The demo's page (`python app.py`): `studio` renders, `gallery` has the styles and `visits` the visitors' folders.

`page` holds the handlers of the page, `layout` its parts and which handler each of them calls.
"""
