"""What is learnt from: sampling (samples, random codes, batches), shards (files), drawn_pairs and teacher_pairs.

A pair becomes an item of a batch in the last two; augment has affine transforms, pictures the folders for fine-tuning.
"""
