"""The demo: a page on which visitors bring a photo or video, see it in all styles, and take the result along.

python app.py                                    on this machine: http://127.0.0.1:7860
python app.py --server_name 0.0.0.0 --auth me:secret     for others in the network
python app.py --share                            for everybody, for a week, through Gradio's server
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from model.common import cli
from model.common.cli import check_ranges, option
from model.common.devices import DEVICES, PRECISIONS, pick_device
from model.common.errors import InputError
from model.common.memory import keep_little


@dataclass
class Options:
    """Options of the demo, with Gradio's names where it has them."""

    server_name: str = option("127.0.0.1", "address to listen at; 0.0.0.0: every one of this machine")
    server_port: int = option(0, "port to listen at; 0: the first free one from 7860 on", least=0, most=65535)
    share: bool = option(False, "also serve the page through Gradio's server, at an address for everybody")
    auth: list[str] = option([], "let in these visitors only", nargs="+", metavar="NAME:PASSWORD")
    max_seconds: float = option(60.0, "longest video that visitors may bring, in seconds", least=1)
    max_megabytes: int = option(512, "largest file that visitors may upload", least=1)
    browser_page: Path | None = option(
        None, "folder of model.demo.web.build: the page that draws in the visitors' browsers, linked", metavar="FOLDER"
    )
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "arithmetic; auto: bf16 where the hardware has units for it", choices=PRECISIONS)

    @property
    def visitors(self) -> list[tuple[str, ...]] | None:  # names and passwords; None when everybody may come in
        return [tuple(text.split(":", 1)) for text in self.auth] or None

    def check(self) -> None:
        """Raise InputError for values that cannot work, before anything is loaded."""
        check_ranges(self)
        if not all(len(pair) == 2 and all(pair) for pair in self.visitors or ()):
            raise InputError("--auth needs NAME:PASSWORD, as in --auth me:secret.")
        if self.browser_page and not (self.browser_page / "index.html").is_file():
            raise InputError(f"{self.browser_page} holds no page: make one with python -m model.demo.web.build.")


def main() -> None:
    """Load the first style and serve the page until Ctrl-C; all files of the server and its visitors go with it."""
    options = cli.parse(Options, __doc__)
    options.check()
    keep_little()
    sys.stdout.reconfigure(line_buffering=True)  # the address is to be seen at once, in log files, too
    with TemporaryDirectory(prefix="vtoonify-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = os.path.realpath(folder)  # Gradio reads it when it is imported
        from model.demo.gallery import Gallery, list_entries
        from model.demo.page import Page
        from model.demo.server import check_address, serve
        from model.demo.studio import Studio

        check_address(options.server_name)
        is_cuda = pick_device(options.device).type == "cuda"
        studio = Studio(options.device, options.precision, options.max_seconds)
        gallery = Gallery(list_entries(), studio.stylizer)
        visits = Path(os.path.realpath(folder), "visits")
        page = Page(studio, gallery, visits, at_once=2 if is_cuda else 1, browser_page=options.browser_page)
        page.warm_up()
        try:
            serve(
                page, server_name=options.server_name, server_port=options.server_port or None, share=options.share,
                auth=options.visitors, max_file_size=options.max_megabytes * 2**20,
            )  # fmt: skip
        finally:
            page.close()


if __name__ == "__main__":
    cli.run(main)
