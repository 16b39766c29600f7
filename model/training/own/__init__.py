"""A style of one's own: from one picture (JoJoGAN) or a few hundred (DualStyleGAN) to a teacher of VToonify."""
