"""Teacher networks, which draw training samples from random codes: what they share, and those of both variants."""
