"""What is done to pictures before and after the network, without one.

`composite` puts crops back into their frames, `flow` finds how pictures move and takes noise out along the motion,
`grayscale` keeps black and white. Each works on one face's pictures in order and knows nothing of files or models.
"""
