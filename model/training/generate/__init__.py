"""What generate_data.py does: pairs of photo and cartoon, drawn by a teacher and written to tar shards.

`drawn` and `networks` are the two kinds of teachers with their options, `write` fills a folder with shards and a
preview of what they look like.
"""
