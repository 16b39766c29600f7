"""Styles: what turns the crop of a face into a picture. `base` says what every style offers.

A new kind of style is a folder or file here that implements `base.Style`; nothing above has to know of it.
Styles know nothing of frames, files, windows or the command line: they are given crops.
"""
