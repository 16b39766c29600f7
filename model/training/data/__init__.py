"""What is learnt from: shards of stored pairs, pictures of folders, and batches, which are all that the loop sees.

shards (files), drawn_pairs and teacher_pairs (from a pair to an item of a batch), sampling (random codes
of live teachers), augment (affine transforms), pictures (folders for fine-tuning), batch (what a batch is).
"""
