"""Styles: what turns the crop of a face into a picture. `base` says what every style offers.

A new style is a file here that implements `base.Style`. Styles know nothing of files or the command line.
"""
