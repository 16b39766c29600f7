"""A style of one's own in one command: from a picture, or a hundred, to a VToonify that stylises clips."""
