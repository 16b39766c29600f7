import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from model.common import cli
from model.common.errors import InputError
from model.common.interrupts import noted_signals, raise_on_signals
from model.media.files import open_frames
from tests.clips import make_clip
from tests.small_models import face_picture, save_model

ROOT = Path(__file__).parent.parent
PROGRAMS = [path.name for path in sorted(ROOT.glob("*.py"))]


@dataclass
class Options:
    """As those of a program."""

    content: list[str] = cli.option([], "files", nargs="+", bare=True)
    padding: list[int] = cli.option([1, 1], "two numbers", nargs=2, least=0)
    deep: bool = cli.option(False, "a switch")


@pytest.mark.parametrize(
    ("words", "content"),
    [("a b", "a b"), ("--content a --content b", "a b"), ("a --deep b --content c d", "a b c d"), ("--deep", "")],
)
def test_words_without_a_name_and_repeated_names_add_up(words, content):
    assert cli.parse(Options, "", words.split()).content == content.split()
    assert Options().content == [], "the default stays as it is"


def test_numbers_are_in_range_and_the_last_word_of_a_single_option_counts():
    assert cli.parse(Options, "", ["--padding", "2", "3", "--padding", "4", "5"]).padding == [4, 5]
    with pytest.raises(InputError, match="--padding is -1: give 0 or more"):
        cli.parse(Options, "", ["--padding", "2", "-1"])


@pytest.mark.parametrize("named", [[], ["--content"]])
def test_a_file_that_looks_like_an_option_is_told_how_to_be_named(named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("-x.jpg").touch()
    with pytest.raises(SystemExit, match="2"):
        cli.parse(Options, "", [*named, "-x.jpg"])
    assert "write ./-x.jpg" in capsys.readouterr().err


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_wrong_options_need_no_torch(program):
    code = f"import sys, runpy; sys.argv = ['{program}', '--help']\n"
    code += f"try: runpy.run_path('{program}', run_name='__main__')\nexcept SystemExit: print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("usage") and run.stdout.endswith("False\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [("no.jpg", "no such file"), ("--ckpt carton", "perhaps cartoon"), ("--style_id inkk", "perhaps ink")],
)
def test_usual_mistakes_need_no_torch(words, told, tmp_path):
    code = "import sys, style_transfer; from model.common import cli\n"
    code += "try: cli.run(style_transfer.main)\nfinally: print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, *words.split()]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2 and told in run.stderr and run.stdout == "False\n"


@pytest.mark.parametrize("library", ["multiarray", "libtorch_cpu"])
def test_interrupts_while_libraries_are_loaded_are_no_tracebacks(library, tmp_path):
    command = [sys.executable, "style_transfer.py", "--ckpt", "starter", "--output_path", str(tmp_path)]
    program = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while library not in Path(f"/proc/{program.pid}/maps").read_text():
        time.sleep(0.02)
    program.send_signal(signal.SIGTERM)  # Ctrl-C is the same, but ignored by what runs in the background of a script
    assert (program.communicate()[1], program.returncode) == ("style_transfer.py: interrupted.\n", 130)


def test_closed_streams_do_no_harm(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", [face_picture()] * 2)
    options = f"--ckpt {save_model(tmp_path)} --output_path {tmp_path} --precision fp32 --padding 48 48 48 48"
    command = f"{sys.executable} style_transfer.py {clip} {options} <&- >&- 2>&-"
    assert subprocess.run(command, cwd=ROOT, shell=True).returncode == 0
    assert len(list(open_frames(tmp_path / "clip_vtoonify_d.mp4"))) == 2


def test_closing_the_terminal_keeps_what_was_done(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", [face_picture()] * 400)
    options = f"--ckpt {save_model(tmp_path)} --output_path {tmp_path} --precision fp32 --padding 48 48 48 48"
    shown, (terminal, end) = b"", pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    program = subprocess.Popen(
        [sys.executable, "style_transfer.py", str(clip), *options.split()], cwd=ROOT, stdin=end, stdout=end, stderr=end,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(end)
    while not re.search(rb" [1-9]\d?/400", shown):
        shown += os.read(terminal, 1000)
    os.close(terminal)
    assert program.wait(60) == 130
    assert 0 < len(list(open_frames(tmp_path / "clip_vtoonify_d.partial.mp4"))) < 400


def test_signals_that_are_to_be_ignored_are(monkeypatch):
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        seen = raise_on_signals()
        with noted_signals() as noted:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert noted == [signal.SIGTERM] and not seen
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
