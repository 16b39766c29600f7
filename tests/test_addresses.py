"""Where shards may lie: folders, files, patterns, lists, and a server on this machine."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model.common.errors import InputError
from model.training.data import addresses
from model.training.data.addresses import cache_folder, expand, find_shards
from model.training.data.shards import index_pairs, index_shard
from tests.stand_in import StandIn, write_samples


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, counts what is asked for, and breaks off what is named so."""

    asked: Counter[str] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        if "broken" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "20000")
            self.end_headers()
            self.wfile.write(bytes(100))
            return
        super().do_GET()

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def folder(tmp_path):
    """A folder with three shards of two pairs, pairs-00008.tar to pairs-00010.tar."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number in (8, 9, 10):
        write_samples(folder / f"pairs-{number:05d}.tar", StandIn(), [2 * number, 2 * number + 1])
    return folder


@pytest.fixture
def host(folder, tmp_path, monkeypatch):
    """Address of a server for `folder`. The cache is below `tmp_path`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def keys(*sources) -> list[int]:
    return [int(pair.key) for pair in index_pairs(sources)]


def test_folders_files_and_patterns_are_read_in_order(folder):
    assert keys(folder) == [16, 17, 18, 19, 20, 21]
    assert keys(folder / "pairs-00009.tar") == [18, 19]
    assert keys(folder / "pairs-00010.tar", folder / "pairs-00008.tar") == [20, 21, 16, 17]
    assert keys(f"{folder}/pairs-{{00009..00010}}.tar") == [18, 19, 20, 21]


def test_a_list_is_relative_to_its_own_folder(folder, tmp_path):
    (folder / "some.txt").write_text("# learnt\npairs-00009.tar\n\n  pairs-{00008..00008}.tar\n")
    assert keys(folder / "some.txt") == [18, 19, 16, 17]
    (tmp_path / "all.txt").write_text(f"pairs\n{folder}/pairs-00009.tar\n")
    assert keys(tmp_path / "all.txt") == [16, 17, 18, 19, 20, 21, 18, 19]


def test_series_of_numbers_keep_their_width():
    assert expand("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert expand("{1..2}/b{0..1}") == ["1/b0", "1/b1", "2/b0", "2/b1"]
    assert expand("plain.tar") == ["plain.tar"]


def test_sources_that_are_not_there_are_one_sentence(folder, tmp_path):
    (folder / "notes.txt").write_text("pairs-00011.tar\n")
    (folder / "empty.txt").write_text("# nothing\n")
    (folder / "nested.txt").write_text("notes.txt\n")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    for source, message in (
        ("nowhere", "nowhere does not exist: give a folder"),
        ("pairs/pairs-{00009..00011}.tar", r"pairs-00011\.tar does not exist"),
        ("pairs/pairs-{9..2}.tar", "matches nothing"),
        ("pairs/pairs-{a,b}.tar", "says nothing: write numbers as in {00000..00026}"),
        ("pairs/notes.txt", r"pairs-00011\.tar does not exist"),
        ("pairs/empty.txt", r"empty\.txt lists no shards"),
        ("pairs/nested.txt", r"notes\.txt is no shard of pairs"),
        ("pairs/photo.jpg", r"photo\.jpg is no list of shards"),
        ("http://127.0.0.1/index.html", "is no address of a .tar file"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            index_pairs([source if source.startswith("http") else tmp_path / source])
        assert "\n" not in str(caught.value)


def test_shards_are_fetched_once_and_equal_those_of_the_server(host, folder, tmp_path):
    sources = [f"{host}/pairs-{{00008..00009}}.tar"]
    (tmp_path / "list.txt").write_text(f"{host}/pairs-00010.tar\n{host}/pairs-00009.tar?part=1\n")
    shards = find_shards([*sources, tmp_path / "list.txt"], index_shard)
    assert keys(*sources, tmp_path / "list.txt") == [16, 17, 18, 19, 20, 21, 18, 19]
    assert set(Handler.asked.values()) == {1} and len(Handler.asked) == 4
    assert len(set(shards)) == 4 and {shard.parent for shard in shards} == {cache_folder()}
    assert shards[1].read_bytes() == (folder / "pairs-00009.tar").read_bytes()
    assert cache_folder() == tmp_path / "cache" / "vtoonify" / "shards"


def test_of_many_processes_one_fetches(host):
    # Each call opens the lock anew, as another process would.
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: find_shards([f"{host}/pairs-00008.tar"], index_shard), range(8)))
    assert Handler.asked == {"/pairs-00008.tar": 1}
    assert len({shard for shards in found for shard in shards}) == 1


def test_a_shard_that_cannot_be_fetched_is_one_sentence(host, folder, tmp_path, monkeypatch):
    (folder / "page.tar").write_text("<html>Sign in</html>")
    monkeypatch.setattr(addresses, "ANSWER_WITHIN", 5.0)
    for address, message in (
        (f"{host}/pairs-00077.tar", r"pairs-00077\.tar could not be fetched \(the server answered 404\)"),
        (f"{host}/broken.tar", r"broken\.tar is not a readable shard"),
        (f"{host}/page.tar", r"page\.tar is not a readable shard"),
        ("http://127.0.0.1:9/pairs-00000.tar", r"could not be fetched \(Connection refused\)"),
        ("http://127.0.0.1:port/pairs-00000.tar", "could not be fetched"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            index_pairs([address])
        assert "\n" not in str(caught.value)
    assert not [path for path in cache_folder().iterdir() if path.suffix != ".lock"]


def test_a_server_that_falls_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(addresses, "ANSWER_WITHIN", 0.2)

    class Silent(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            released.wait(10)

        def log_message(self, *_) -> None:
            pass

    released = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(InputError, match="could not be fetched"):
                index_pairs([f"http://127.0.0.1:{server.server_port}/pairs-00000.tar"])
        finally:
            released.set()
            server.shutdown()
            thread.join()


def test_a_cache_that_cannot_be_written_is_one_sentence(host, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("taken")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="can't be written"):
        index_pairs([f"{host}/pairs-00008.tar"])
