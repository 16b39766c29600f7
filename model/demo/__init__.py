"""The demo's page (`python app.py`): `studio` renders for its visitors, `gallery` has the styles.

`page` holds the handlers of the page, `layout` its parts and which handler each of them calls.
"""
