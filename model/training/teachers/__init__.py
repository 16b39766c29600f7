"""Teacher networks, which draw training samples from random codes: `toonify` for variant T, `dualstyle` for variant D.

`base` is what they share, `load` builds them from the files that the options name. A new teacher is a file here.
"""
