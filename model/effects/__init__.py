"""What is done to pictures before and after the network, without one.

`denoise` takes noise out of crops, `grayscale` keeps black and white, `composite` puts crops back into their frames;
`flow` finds how pictures move. Each works on one face's pictures in order and knows nothing of files or models.
"""
