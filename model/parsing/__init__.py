"""Face parsing: which part of a face each pixel belongs to, as 19 logits that VToonify reads beside each frame.
`smooth` predicts them and smooths them over time, `maps` stores and reads them, `matting` cuts the person out."""
