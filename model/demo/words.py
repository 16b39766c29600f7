"""What visitors are told when something fails."""

import logging
import re

from model.common.errors import InputError
from model.common.hub import NotFetched

LEFT_ALONE = "This page was left alone for too long: reload it."


def in_plain_words(sentence: str) -> str:
    """A message about options as who does not use the command line knows them."""
    sentence = sentence.replace("--styles", "The list of people").replace("--style_degree", "The degree")
    return re.sub(r"--(\w+)", lambda option: option[1].replace("_", " "), sentence)


def failure(error: Exception) -> str:
    """What is told of an error. What nobody foresaw is logged, and none of the visitor's business."""
    if isinstance(error, NotFetched):
        return f"{error.reason}: choose another style."
    if isinstance(error, InputError):
        sentence = in_plain_words(str(error)).rstrip(".")
        is_word = sentence.partition(" ")[0].isalpha()  # and no file's name
        return f"{sentence[:1].upper() if is_word else sentence[:1]}{sentence[1:]}."
    logging.getLogger(__name__).error("A visitor met an unexpected error", exc_info=error)
    return "Something went wrong on this server: try again, or with another file."
