"""Sizes that the network and what prepares its frames must agree on; free of torch, for light programs."""

INPUT_MULTIPLE = 8  # frame sides must divide by this: the encoder halves three times
DEFAULT_PADDING = (200, 200, 200, 200)  # room left, right, above and below the point between the eyes
SMOOTHING_RADIUS = 5  # neighbours on each side with whose parsing maps a frame's is smoothed
EYE_DISTANCE = 64.0  # pixels between the eyes in the inputs of the published models; paddings are given at this size
PARSING_SCALE = 16.0  # the encoder takes parsing logits divided by this, which brings them to the range of the picture
