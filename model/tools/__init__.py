"""Programs beside the main ones, each `python -m model.tools.NAME`: nothing else imports them. `benchmark` measures
speed, `metrics` videos, `drawn_metrics` a model against its drawn teacher; `export_onnx` and `style_sheet` write files
of a model, `random_weights` makes stand-ins for the published files."""
