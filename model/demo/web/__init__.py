"""The page without a server: cartoons made in the visitor's browser (`site/`), built by `build`, served by any server
of files or by `python -m model.demo.web`."""
