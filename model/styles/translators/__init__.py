"""Networks that paint pixel by pixel as styles: learnt from a few painted frames of a clip, or from painted photos."""
