"""The server: Gradio with the page in front of it."""

import logging
import socket
from typing import Any

from starlette.middleware import Middleware

from model.common.errors import InputError
from model.demo.doors import Entrance
from model.demo.page import Page
from model.demo.programs import Programs
from model.demo.routes import Routes

SWEEPS = 60, 300  # seconds between sweeps of what programs uploaded and never used, and how long it stays
THREADS = 80  # for calls that wait or read; what is rendered stands in lines


def serve(page: Page, server_name: str, server_port: int | None, max_file_size: int, **settings: Any) -> None:
    """Serve the page until Ctrl-C; `settings` are Gradio's. InputError when the port can't be used."""
    blocks = Programs(page).blocks(at_once=1, sweeps=SWEEPS)
    routes = Routes(page, lambda: getattr(blocks, "app", None), max_file_size)
    before = [Middleware(Entrance, page=page, folder=page.visits.root)]
    logging.getLogger("uvicorn.error").addFilter(_is_of_interest)
    try:
        blocks.queue(max_size=60).launch(  # more programs than that are asked to come back
            footer_links=["api"], ssr_mode=False, server_name=server_name, server_port=server_port,
            max_file_size=max_file_size, max_threads=THREADS,
            app_kwargs={"routes": routes.routes(), "middleware": before}, **settings,
        )  # fmt: skip
    except OSError as error:
        place = f"{server_name}, port {server_port or '7860 and up'}"
        mend = "the port is taken; choose another --server_port"
        raise InputError(f"The page cannot be served at {place}: {mend}.") from error


def check_address(name: str) -> None:
    """Raise InputError for a name that means no address of this machine: Gradio would try all ports, for ever."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(name.strip("[]"), 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise InputError(f"The page cannot be served at {name}: that is no address of this machine.") from error


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Whether a message of the server is more than that a visitor left in the middle of something."""
    error = record.exc_info[1] if record.exc_info else None
    return type(error).__name__ not in ("ClientDisconnect", "ConnectionResetError", "BrokenPipeError")
