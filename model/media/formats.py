"""Which formats are read and written: the one place that names them."""

# What Pillow may open: formats with a clear signature. Its others would also claim some videos and text files.
PHOTO_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")
# Of these, further pictures are frames; in others (JPEG, TIFF) they are views, previews or pages.
ANIMATED_FORMATS = ("AVIF", "GIF", "PNG", "WEBP")
# What FFmpeg may open. Its others are text, playlists of other files, or photos that Pillow found damaged.
CONTAINERS = (
    "asf", "avi", "av1", "dv", "flv", "h264", "hevc", "ivf", "m4v", "matroska", "mov", "mpeg", "mpegts",
    "mpegvideo", "mxf", "nut", "obu", "ogg", "rm", "webm", "wtv", "yuv4mpegpipe",
)  # fmt: skip
# ISO base media brands of HEIF photos. Their tiles would open as a video of fragments.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Suffixes of what can be written; of photos with Pillow's name of the format.
WRITTEN_PHOTOS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
WRITTEN_VIDEOS = (".mp4",)
