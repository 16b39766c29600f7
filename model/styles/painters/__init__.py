"""Painters: photos become pictures that are plainly made by hand. One file of code and one of values each.

`subject` is what a painter is given, `values` reads the files of values, `style` offers all of them as styles. A new
painter is a module with a dataclass `Painter` (its values, and `paint`), and a .toml file of the same name.
"""
