"""What training a StyleGAN on few pictures takes: augmentation, regularisation, and measures of its pictures."""
