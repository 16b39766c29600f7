"""Frames of a clip that somebody painted over, as its style: they are carried to all others."""
