"""Fine-tuning of a StyleGAN2 to cartoons, the first step of variant T: python -m model.training.finetune.

options, gan (the trainer: generator against discriminator); the loop is that of model.training.train.
"""
