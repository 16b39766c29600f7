"""Names and limits that several kinds of files share."""

EMA_KEY = "g_ema"  # where the published files of every generator keep their weights (an exponential moving average)
DISCRIMINATOR_KEY = "d"  # where a StyleGAN2 file has the discriminator, if it comes with one
CONFIG_KEY = "config"  # where our files keep sizes that differ from the published ones
LARGEST_SIZE = 1 << 14  # sizes, widths and counts above this belong to no network that could be built
LARGEST_WIDTH = 1024  # channels and blocks of encoders and of networks that paint pixel by pixel
VTOONIFY = "a VToonify model"
