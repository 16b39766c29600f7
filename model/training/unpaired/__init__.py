"""What the translators that learn without pairs minimise, and the representations that they compare: pure functions."""
