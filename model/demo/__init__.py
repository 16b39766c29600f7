"""The demo's page (`python app.py`).

`site` is what browsers load, `routes` are its addresses, `page` does what they ask for: a `Wish` of a `Visit` waits in
a `Line` until `studio` renders it. `programs` are the endpoints of Gradio.
"""
