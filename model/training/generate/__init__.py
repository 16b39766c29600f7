"""What generate_data.py does: pairs of photo and cartoon, drawn by a teacher and written to tar shards.

`options` are its command lines, `drawn` and `networks` the two kinds of teachers, `write` fills a folder with shards
and a preview of what they look like.
"""
