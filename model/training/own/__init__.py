"""Own styles: generators that learn from one picture (JoJoGAN) or from exemplars (DualStyleGAN)."""
