"""The page that draws in the browser, in a real one with a camera that plays a file."""

import base64
import functools
import http.server
import io
import threading
from contextlib import contextmanager

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from model import checkpoints
from model.config import MobileConfig
from model.demo.web import build, runtime
from model.demo.web.__main__ import main as serve
from model.demo.web.__main__ import make_server
from model.face_finder import OUTPUTS, faces_in
from model.media.sample import sample_portrait
from model.mobile_unet import MobileUNet
from tests.browser import CHROMIUM, WAIT_SECONDS, needs_chromium, wait_until

pytest.importorskip("onnx", reason="the page is built with onnx")
needs_runtime = pytest.mark.skipif(
    not runtime.is_there(), reason="onnxruntime-web is not on this machine: python -m model.demo.web.runtime"
)
in_browser = [needs_chromium, needs_runtime]
WATCH_CAMERA = """
    window.streams = [];
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wish) => {
        const number = streams.push(null), stream = await open(wish);  // the first camera comes last
        await new Promise((go) => setTimeout(go, number === 1 ? window.wait : 0));
        return streams[number - 1] = stream;
    }"""
IS_READY = """document.getElementById("status").textContent === "Ready." ||
    !document.getElementById("message").hidden"""
FACE, CORNER = (slice(120, 300), slice(240, 400)), (slice(400, 470), slice(10, 70))  # of the camera's frames


def camera_frame() -> np.ndarray:
    """The sample portrait, 640 by 480, its face in the middle."""
    frame = np.full((480, 640, 3), 90, np.uint8)
    frame[:, 80:560] = cv2.resize(sample_portrait()[:256, 96:352], (480, 480), interpolation=cv2.INTER_CUBIC)
    return frame


def close_face() -> np.ndarray:
    """A face that fills the picture, 480 by 480; the finder sees it at one of its sizes only."""
    return cv2.resize(sample_portrait()[88:168, 184:264], (480, 480), interpolation=cv2.INTER_CUBIC)


def new_student(path, eye_distance: float) -> None:
    """A student of random weights that changes pictures visibly."""
    torch.manual_seed(0)
    network = MobileUNet(MobileConfig(widths=(4, 8, 8, 8, 8), blocks=(1, 1, 1, 1), eye_distance=eye_distance))
    with torch.no_grad():
        network.tail[-1].bias += torch.tensor([0.5, -0.5, 0.5])
    checkpoints.save_pixel_network(path, network)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page, with two styles, which are the same: each takes seconds to trace."""
    folder, export, traced = tmp_path_factory.mktemp("web"), build.exported, {}

    def exported(network, *rest):
        if type(network) not in traced:
            traced[type(network)] = export(network, *rest)
        return traced[type(network)]

    for name in ("ink.pt", "old_film.pt"):
        new_student(folder / name, 64.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "exported", exported)
        models = [folder / "ink.pt", folder / "old_film.pt"]
        build.build(build.Options(out=folder / "site", models=models, backgrounds=["old_film"]))
    return folder / "site"


@contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def address(site):
    with running(make_server(site)) as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium with a camera that shows `camera_frame`."""
    from playwright.sync_api import sync_playwright

    clip, frame = tmp_path_factory.mktemp("camera") / "camera.y4m", cv2.cvtColor(camera_frame(), cv2.COLOR_RGB2YUV_I420)
    clip.write_bytes(b"YUV4MPEG2 W640 H480 F25:1 Ip A1:1 C420\n" + 3 * (b"FRAME\n" + frame.tobytes()))
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={clip}"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """A function that opens an address as a new visitor, by default one who allows the camera."""
    contexts, complaints = [], []

    def open_page(address: str, camera: bool = True, width: int = 1280, scheme: str = "light", script: str = ""):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, permissions=["camera"] if camera else [], color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_SECONDS * 1000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(address)
        page.wait_for_function(IS_READY)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def pixels(page, place: str) -> np.ndarray:
    """What a canvas shows, RGB int `[H, W, 3]`."""
    address = page.evaluate("(id) => document.getElementById(id).toDataURL()", place)
    data = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def difference(page, where=...) -> float:
    """Mean difference of the pictures before and after, in levels of 255."""
    return float(np.abs(pixels(page, "after") - pixels(page, "before"))[where].mean())


def drawn(page) -> None:
    page.wait_for_selector("#after-figure:not([hidden])")


def choose(page, name: str, data: bytes, kind: str) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})


def as_png(picture: np.ndarray) -> bytes:
    """A picture, RGB or RGBA, as a file."""
    code = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return cv2.imencode(".png", cv2.cvtColor(picture, code))[1].tobytes()


def photo() -> bytes:
    return as_png(camera_frame())


def as_clip(picture: np.ndarray) -> bytes:
    """Half a second of a picture, RGB or RGBA, as WebM."""
    memory, has_alpha = io.BytesIO(), picture.shape[2] == 4
    with av.open(memory, "w", "webm") as clip:
        stream = clip.add_stream("libvpx", 10)
        (stream.height, stream.width), stream.pix_fmt = picture.shape[:2], "yuva420p" if has_alpha else "yuv420p"
        if has_alpha:
            stream.options, stream.metadata["alpha_mode"] = {"auto-alt-ref": "0"}, "1"
        frame = av.VideoFrame.from_ndarray(picture, format="rgba" if has_alpha else "rgb24")
        for _ in range(5):
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode())
    return memory.getvalue()


def message(page) -> str:
    page.wait_for_selector("#message:not([hidden])")
    return page.inner_text("#message")


@pytest.mark.usefixtures("browser")
class TestInTheBrowser:
    pytestmark = in_browser

    def test_the_camera_becomes_a_cartoon_that_is_kept(self, visit, address, tmp_path):
        page = visit(address)
        assert page.evaluate("crossOriginIsolated"), "else there are no threads"
        page.click("#camera")
        drawn(page)
        page.wait_for_function("document.getElementById('status').dataset.rate > 0")
        assert "frames a second" in page.inner_text("#status")
        assert page.get_attribute("#status", "data-face") == "true"
        page.check("#compare")
        assert difference(page, FACE) > 20 and difference(page, CORNER) < 3, "only the face is painted"
        page.click("#record")
        with page.expect_download() as saved:
            page.click("#save")
        saved.value.save_as(tmp_path / "cartoon.png")
        with Image.open(tmp_path / "cartoon.png") as image:
            assert image.size == (640, 480)
        page.wait_for_timeout(1500)
        with page.expect_download() as saved:
            page.click("#record")
        assert saved.value.suggested_filename == "cartoon.webm"
        saved.value.save_as(tmp_path / "cartoon.webm")
        with av.open(str(tmp_path / "cartoon.webm")) as clip:
            assert next(clip.decode(video=0)).width == 640
        page.click("#stop")
        assert page.is_disabled("#record") and page.inner_text("#status") == "Ready."

    def test_settings_change_a_photo(self, visit, address):
        page = visit(address)
        choose(page, "me.png", photo(), "image/png")
        drawn(page)
        wait_until(lambda: difference(page, FACE) > 20, page.wait_for_timeout)
        page.locator("#degree").fill("0")
        wait_until(lambda: difference(page) < 0.5, page.wait_for_timeout)
        page.locator("#degree").fill("100")
        page.select_option("#mode", "whole")
        wait_until(lambda: difference(page, CORNER) > 20, page.wait_for_timeout)
        page.select_option("#mode", "face")
        wait_until(lambda: pixels(page, "after").shape == (256, 256, 3), page.wait_for_timeout)
        page.select_option("#detail", "2")
        wait_until(lambda: pixels(page, "after").shape == (512, 512, 3), page.wait_for_timeout)
        page.uncheck("#compare")
        wait_until(lambda: not page.is_visible("#before"), page.wait_for_timeout)
        page.get_by_label("Old film").check()
        page.wait_for_function("document.getElementById('message').hidden")
        assert page.locator("#styles input").count() == 2

    def test_a_flat_background_is_left_out(self, visit, address):
        made, head = np.full((128, 128, 3), (250, 215, 40), np.uint8), (64, 70)
        cv2.ellipse(made, head, (35, 50), 0, 0, 360, (255, 255, 255), -1)  # an outline
        cv2.ellipse(made, head, (33, 48), 0, 0, 360, (220, 160, 120), -1)
        cv2.circle(made, (64, 85), 6, (250, 215, 40), -1)  # of the same colour, but in the face
        made[::7, ::5] -= 15
        made[:2] = (20, 90, 10)
        rgba = np.dstack([made, np.full((128, 128), 255, np.uint8)])
        seen = visit(address).evaluate(
            """async (data) => {
                const picture = { data: Uint8ClampedArray.from(data), width: 128, height: 128 };
                (await import("./background.js")).clearBackground(picture);
                return [...picture.data.filter((_, n) => n % 4 === 3)]; }""",
            rgba.flatten().tolist(),
        )
        seen = np.array(seen).reshape(128, 128)
        assert seen[5:15].max() == seen[50:90, 2:27].max() == 0, "the background"
        assert seen[50:90, 37:90].min() == 255, "the face"
        assert seen[70, 29:31].mean() < 128, "the outline"

    def test_a_clip_is_painted(self, visit, address):
        page = visit(address)
        choose(page, "clip.webm", as_clip(camera_frame()), "video/webm")
        drawn(page)
        page.wait_for_function("document.getElementById('status').dataset.rate > 0")
        assert difference(page, FACE) > 20

    @pytest.mark.parametrize("wait", [0, 400])
    def test_what_is_opened_last_is_shown(self, visit, address, wait):
        page = visit(address, script=WATCH_CAMERA)
        own, shown = {"camera": (480, 640), "photo": (240, 320), "clip": (120, 160)}, []
        small = {kind: cv2.resize(camera_frame(), own[kind][::-1]) for kind in ("photo", "clip")}
        files = {"photo": ("me.png", as_png(small["photo"])), "clip": ("clip.webm", as_clip(small["clip"]))}
        page.expose_function("shown", lambda words: shown.append(words))
        page.evaluate(
            """() => new MutationObserver(() => shown(document.getElementById("message").textContent))
                .observe(document.getElementById("message"), { childList: true })"""
        )

        def open_it(kind: str) -> None:
            if kind == "camera":
                page.click("#camera")
            else:
                choose(page, files[kind][0], files[kind][1], "image/png" if kind == "photo" else "video/webm")

        for first, last in map(
            str.split, ("camera camera", "camera photo", "camera clip", "clip camera", "photo clip")
        ):
            page.evaluate("(wait) => { streams.length = 0; window.wait = wait }", wait)
            open_it(first)
            open_it(last)
            wait_until(lambda size=own[last]: pixels(page, "after").shape[:2] == size, page.wait_for_timeout)
            page.wait_for_function("!streams.includes(null)")
            page.wait_for_timeout(100)
            live = page.evaluate(
                "streams.map((one) => one.getTracks().some(({ readyState }) => readyState === 'live'))"
            )
            assert live == {"camera camera": [False, True], "clip camera": [True], "photo clip": []}.get(
                f"{first} {last}", [False]
            )
            video = page.evaluate(
                "(({ src, srcObject }) => [src !== '', srcObject !== null])(document.getElementById('video'))"
            )
            assert video == [last == "clip", last == "camera"] and pixels(page, "after").shape[:2] == own[last]
        assert not any(shown), "nobody is told of what was given up"

    def test_a_camera_that_shows_nothing_is_let_go(self, visit, address):
        page = visit(address, script=WATCH_CAMERA)
        page.evaluate(
            """() => { HTMLMediaElement.prototype.play =
                async () => { throw new DOMException("see https://example.org", "AbortError") } }"""
        )
        page.click("#camera")
        assert message(page) == "The camera shows no picture (AbortError): try again, or choose a file."
        assert page.evaluate("streams[0].getTracks().every(({ readyState }) => readyState === 'ended')")

    def test_transparent_parts_are_white(self, visit, address):
        picture = np.dstack([camera_frame(), np.zeros((480, 640), np.uint8)])
        picture[:, 200:440, 3] = 255
        page = visit(address)
        for wide, name, kind in ((480, "me.png", "image/png"), (320, "clip.webm", "video/webm")):
            small = cv2.resize(picture, (wide, wide * 3 // 4))
            choose(page, name, (as_png if wide == 480 else as_clip)(small), kind)
            wait_until(lambda wide=wide: pixels(page, "after").shape[1] == wide, page.wait_for_timeout)
            for place in ("before", "after"):
                assert pixels(page, place)[-40:-20, 20:60].min() >= 250, (kind, place)

    def test_a_face_that_fills_the_picture_is_found(self, visit, address):
        page = visit(address)
        for name, data, kind in (
            ("clip.webm", as_clip(close_face()), "video/webm"),
            ("me.png", as_png(close_face()), "image/png"),
        ):
            page.evaluate("delete document.getElementById('status').dataset.face")
            choose(page, name, data, kind)
            page.wait_for_selector("#status[data-face=true]", state="attached")
            page.wait_for_timeout(300)
            assert page.get_attribute("#status", "data-face") == "true" and difference(page) > 5

    def test_the_head_is_painted_without_a_box(self, visit, address):
        page = visit(address)
        choose(page, "me.png", photo(), "image/png")
        drawn(page)
        changed = np.abs(pixels(page, "after") - pixels(page, "before")).mean(-1) > 4
        rows, columns = np.nonzero(changed)
        top, left, high, wide = rows.min(), columns.min(), np.ptp(rows), np.ptp(columns)
        at = [
            [changed[round(top + y * high), round(left + x * wide)] for x in (0.1, 0.5, 0.9)] for y in (0.1, 0.5, 0.9)
        ]
        assert at == [[False, True, False], [True, True, True], [False, True, False]]

    def test_it_works_without_a_network_after_the_first_load(self, visit, site):
        # A server of files that knows nothing of threads: the page gets them from its service worker.
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
        handler.func.log_message = lambda *_: None
        with running(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as address:
            page = visit(address)
            assert page.evaluate("crossOriginIsolated")
            page.wait_for_selector("#offline:not([hidden])")
        page.goto(address)
        page.wait_for_function("!document.getElementById('camera').disabled")
        choose(page, "me.png", photo(), "image/png")
        drawn(page)
        assert difference(page, FACE) > 20 and page.evaluate("crossOriginIsolated")

    def test_what_goes_wrong_is_a_sentence(self, visit, address):
        page = visit(address, camera=False)
        page.click("#camera")
        assert message(page).startswith("The camera is not allowed here: allow it for this page")
        choose(page, "broken.jpg", b"no picture", "image/jpeg")
        wait_until(lambda: "broken.jpg can't be read" in message(page), page.wait_for_timeout)
        page.evaluate(
            """() => { navigator.mediaDevices.getUserMedia =
                async () => { throw new DOMException("", "NotFoundError") } }"""
        )
        page.click("#camera")
        wait_until(lambda: "No camera was found" in message(page), page.wait_for_timeout)
        choose(page, "me.png", photo(), "image/png")
        drawn(page)
        assert page.is_hidden("#message")
        assert "no WebAssembly" in message(visit(address, script="delete window.WebAssembly"))

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_phones_need_not_scroll_sideways(self, visit, address, scheme):
        page = visit(address, width=390, scheme=scheme)
        choose(page, "me.png", photo(), "image/png")
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(paper.removeprefix("rgb(").split(",")[0]) < 64) == (scheme == "dark")
        reached = set()
        for _ in range(14):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert {"camera", "file", "save", "style", "degree", "mode", "detail", "compare", "mirror"} <= reached

    def test_faces_are_read_and_framed_as_in_python(self, visit, address):
        output = torch.randn(OUTPUTS, 7, 9, generator=torch.Generator().manual_seed(0))
        page = visit(address)
        faces = page.evaluate(
            """async ([output, height, width]) =>
                (await import("./geometry.js")).facesIn(Float32Array.from(output), height, width, 0.3)""",
            [output.flatten().tolist(), 7, 9],
        )
        expected = faces_in(output, 0.3)
        assert len(faces) == len(expected) > 3
        for face, own in zip(faces, expected, strict=True):
            assert face["likelihood"] == pytest.approx(own.likelihood) and face["size"] == pytest.approx(own.size)
            assert np.array(face["eyes"]) == pytest.approx(
                np.array(own.eyes) + 0.5
            )  # from the pixel's corner, not its middle
        matrix = page.evaluate(
            """async () => { const g = await import("./geometry.js");
                const face = { middle: [100, 80], size: 32, tilt: 50 };
                const head = g.headIn({ ...face, tilt: 15 }, 256, 64);
                return [g.windowMatrix(face, 256, 64), g.turnOf(15), g.turnOf(-30), head.turn,
                    g.headIn(face, 256, 64).turn, head.middle[0] < 128] }"""
        )
        a, b, c, d, e, f = matrix[0]
        assert (a * 100 + c * 80 + e, b * 100 + d * 80 + f) == pytest.approx((128, 121))
        right = np.array([np.cos(np.radians(50)), np.sin(np.radians(50))]) * 16
        assert (np.array([[a, c], [b, d]]) @ right) == pytest.approx((32, 0)), "the head is turned upright"
        assert matrix[1:] == [0, -20, 15, 0, True], "heads that are not turned upright have a tilted ellipse"


def test_another_package_is_refused(call, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "other.tgz").write_bytes(b"another one")
    new_student(tmp_path / "ink.pt", 64.0)
    arguments = ["--out", tmp_path / "site", "--models", tmp_path / "ink.pt", "--package", tmp_path / "other.tgz"]
    assert call(build.main, *arguments) == 2
    told = capsys.readouterr().err
    assert "other.tgz is not onnxruntime-web" in told and not (tmp_path / "site").exists()
    monkeypatch.setattr(runtime, "ADDRESS", "http://127.0.0.1:9/none.tgz")
    assert call(build.main, *arguments[:-2]) == 2
    assert "can't be fetched" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [("", "--out names no folder"), ("--out site --models no.pt", "no.pt"),
     ("--out site --models ink.pt a/ink.pt", "two models are called ink"),
     ("--out site --models ink.pt --backgrounds comic", "--backgrounds has comic"),
     ("--out site --models ink.pt --finder ink.pt", "ink.pt is not a face finder")],
)  # fmt: skip
def test_wrong_options_of_the_build_are_a_sentence(call, capsys, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "ensure", lambda _: tmp_path)
    monkeypatch.setattr(build, "exported", lambda *_: b"")
    (tmp_path / "a").mkdir()
    for name in ("ink.pt", "a/ink.pt"):
        new_student(tmp_path / name, 64.0)
    assert call(build.main, *arguments.split()) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "site").exists()


def test_a_server_needs_a_page(call, capsys, tmp_path):
    assert call(serve, "--folder", tmp_path) == 2 and "holds no page" in capsys.readouterr().err
    assert call(serve) == 2 and "--folder is missing" in capsys.readouterr().err
