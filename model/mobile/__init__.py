"""From photos and a style to a small network that runs on phones and in browsers."""
