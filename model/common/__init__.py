"""What everything else rests on: command lines, errors, devices and precisions, sizes, pictures as tensors, reading and
writing weight files, fetching those that are missing (hub). Nothing here knows of networks, faces or videos."""
