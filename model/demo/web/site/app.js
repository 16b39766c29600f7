// The page: where frames come from, where pictures go, and the controls. Painting is the worker's (worker.js).

const SITE = /*SITE*/ { version: "none", files: [], finder: "", styles: [], runtime: {} };
const LONGEST = { live: 1280, still: 2048 };  // side of a frame in pixels; larger ones are reduced
const LONGEST_WAIT = 200;  // times 30 ms, for a frame
const $ = (id) => document.getElementById(id);
const wishes = new URLSearchParams(location.search);  // ?engine=wasm&threads=1, to try things
const VIDEO_KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

// ---- the worker, asked one thing after the other

const pending = new Map();
let worker = null, asked = 0;

function ask(kind, rest = {}, moved = []) {
  return new Promise((resolve, reject) => {
    pending.set(++asked, { resolve, reject });
    worker.postMessage({ id: asked, kind, ...rest }, moved);
  });
}

function startWorker() {
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data: { id, answer, error } }) => {
    const { resolve, reject } = pending.get(id);
    pending.delete(id);
    error === undefined ? resolve(answer) : reject(new Error(error));
  };
  worker.onerror = (event) => {
    for (const { reject } of pending.values()) reject(new Error(event.message || "its program can't be loaded"));
    pending.clear();
  };
}

// ---- what is told

// An error whose message is a sentence for the visitor; those of other errors are the browser's own.
class Told extends Error {}

function tell(sentence) {
  $("message").textContent = sentence ?? "";
  $("message").hidden = !sentence;
}

// `wanted` is of what the visitor opened last; it is aborted, which closes that, when another thing is opened instead.
const state = { source: null, wanted: new AbortController(), engine: null, recorder: null, times: [], moments: [] };

function showStatus(words) { $("status").textContent = words; }

function note(times, hasFace, isStill) {
  const now = performance.now();
  state.times = [...state.times.slice(isStill ? 0 : -29), times].slice(isStill ? -1 : -30);
  state.moments = [...state.moments.filter((moment) => now - moment < 4000), now];
  const span = (now - state.moments[0]) / 1000;
  const rate = state.moments.length > 1 ? (state.moments.length - 1) / span : 0;
  const mean = (name) => state.times.reduce((sum, one) => sum + one[name], 0) / state.times.length;
  const [finding, painting, drawing] = ["finding", "painting", "drawing"].map(mean);
  const speed = isStill ? `${Math.round(finding + painting + drawing)} ms` : `${rate.toFixed(1)} frames a second`;
  const where = state.engine.engine === "webgpu" ? "WebGPU" : `WebAssembly, ${state.engine.threads} thread${state.engine.threads > 1 ? "s" : ""}`;
  showStatus(`${speed} · ${where}${hasFace ? "" : " · no face in view"}`);
  $("times").textContent = `Finding the face ${finding.toFixed(1)} ms, painting ${painting.toFixed(1)} ms, ` +
    `drawing ${drawing.toFixed(1)} ms (mean of ${state.times.length}).`;
  Object.assign($("status").dataset, { rate: rate.toFixed(2), finding, painting, drawing, face: hasFace });
}

// ---- sources: a camera, a clip or a photo, each with `frame()`, `isStill`, `isCamera` and `close()`

class VideoSource {
  constructor(video, isCamera, signal) {
    Object.assign(this, { video, isCamera, isStill: false });
    signal.addEventListener("abort", () => this.close());
  }

  // The present frame; null once this is closed. While a clip goes back to its start there is none for a moment.
  async frame() {
    for (let waits = 0; !this.isClosed; waits++) {
      const { videoWidth: width, videoHeight: height, readyState } = this.video;
      if (readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && width > 0) {
        const frame = await createImageBitmap(this.video, within(width, height, LONGEST.live)).catch(() => null);
        if (frame) return this.isCamera ? frame : onWhite(frame);
      }
      if (waits === LONGEST_WAIT) throw new Error("there are no more frames");
      await new Promise((go) => setTimeout(go, 30));
    }
    return null;
  }

  close() {
    this.isClosed = true;
    this.video.srcObject?.getTracks().forEach((track) => track.stop());
    this.video.pause();
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.srcObject = null;
    this.video.removeAttribute("src");
  }
}

class PhotoSource {
  constructor(bitmap) { Object.assign(this, { bitmap, isCamera: false, isStill: true }); }
  frame() { return createImageBitmap(this.bitmap); }
  close() { this.bitmap.close(); }
}

function within(width, height, longest) {
  const scale = Math.min(longest / Math.max(width, height), 1);
  return { resizeWidth: Math.max(Math.round(width * scale), 1), resizeHeight: Math.max(Math.round(height * scale), 1),
    resizeQuality: "medium" };
}

// A picture, which it closes, without transparent parts.
function onWhite(picture) {
  const { width, height } = picture, canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0);
  picture.close();
  return canvas.transferToImageBitmap();
}

// A new #video in the place of the last one: what happens late to that one leaves the new one alone.
function newVideo() {
  const video = Object.assign(document.createElement("video"),
    { id: "video", muted: true, playsInline: true, loop: true, hidden: true });
  $("video").replaceWith(video);
  return video;
}

const CAMERA_ERRORS = {
  NotAllowedError: "The camera is not allowed here: allow it for this page in the browser's settings, or choose a file.",
  NotFoundError: "No camera was found: connect one, or choose a photo or a clip.",
  NotReadableError: "The camera is in use by another program: close that, or choose a file.",
};

// The camera as a source; null where `signal` says that another thing is wanted by now.
async function openCamera(signal) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Told("The camera needs a page from https or localhost: open it so, or choose a file.");
  }
  const wish = { video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" } };
  const stream = await navigator.mediaDevices.getUserMedia(wish).catch((error) => {
    throw new Told(CAMERA_ERRORS[error.name] ?? `The camera can't be opened (${error.name}): choose a file.`);
  });
  if (signal.aborted) {
    stream.getTracks().forEach((track) => track.stop());
    return null;
  }
  stream.getVideoTracks()[0].addEventListener("ended", () => {
    if (signal.aborted) return;
    stop();
    tell("The camera was disconnected: connect it again, or choose a file.");
  });
  const source = new VideoSource(newVideo(), true, signal);
  source.video.srcObject = stream;
  try {
    await source.video.play();
  } catch (error) {
    source.close();
    throw new Told(`The camera shows no picture (${error.name}): try again, or choose a file.`);
  }
  return source;
}

async function openFile(file, signal) {
  if (!file.type.startsWith("video/")) {
    const bitmap = await createImageBitmap(file).catch(() => null);
    if (bitmap) {
      const small = await createImageBitmap(bitmap, within(bitmap.width, bitmap.height, LONGEST.still));
      bitmap.close();
      return new PhotoSource(onWhite(small));
    }
  }
  if (signal.aborted) return null;
  const source = new VideoSource(newVideo(), false, signal), { video } = source;
  const isPlaying = await new Promise((resolve) => {
    video.onloadeddata = () => resolve(video.videoWidth > 0);
    video.onerror = signal.onabort = () => resolve(false);
    video.src = URL.createObjectURL(file);
  });
  if (!isPlaying) {
    source.close();
    throw new Told(`${file.name} can't be read as a picture or a clip here: choose another file.`);
  }
  await video.play().catch(() => {});
  return source;
}

// ---- painting

function settings(source) {
  return {
    mode: $("mode").value, degree: $("degree").value / 100, detail: Number($("detail").value),
    mirror: source.isCamera && $("mirror").checked, isStill: source.isStill, time: performance.now() / 1000,
  };
}

function show(canvas, picture, { mirror } = {}) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    Object.assign(canvas, { width: picture.width, height: picture.height });
  }
  const context = canvas.getContext("2d");
  context.setTransform(...(mirror ? [-1, 0, 0, 1, canvas.width, 0] : [1, 0, 0, 1, 0, 0]));
  context.drawImage(picture, 0, 0);
}

async function paintOnce(source) {
  const frame = await source.frame(), wish = settings(source);
  if (state.source !== source) return frame?.close();
  if ($("compare").checked) show($("before"), frame, wish);
  const { bitmap, times, hasFace } = await ask("paint", { frame, settings: wish }, [frame]);
  if (state.source !== source) return bitmap.close();
  show($("after"), bitmap);
  bitmap.close();
  $("after-figure").hidden = false;
  $("before-figure").hidden = !$("compare").checked;
  $("hint").hidden = true;
  $("stage").classList.toggle("beside", $("compare").checked);
  note(times, hasFace, source.isStill);
}

let isBusy = false, isStale = false;

// Frames as fast as they are painted; a photo once, and again when a setting changes.
async function paint() {
  if (isBusy) { isStale = true; return; }
  isBusy = true;
  do {
    isStale = false;
    const source = state.source;
    if (!source) break;
    try {
      await paintOnce(source);
    } catch (error) {
      if (state.source !== source) continue;  // it was closed meanwhile
      stop();
      tell(`The picture could not be painted (${error.message}): reload the page.`);
    }
    if (!source.isStill) await new Promise(document.hidden ? (go) => setTimeout(go, 200) : requestAnimationFrame);
  } while (state.source && (isStale || !state.source.isStill));
  isBusy = false;
}

// Show what `open` gives, unless another thing is wanted before it is there.
async function start(open) {
  stop();
  const { signal } = state.wanted = new AbortController();
  tell(null);
  showStatus("Opening…");
  let source;
  try {
    source = await open(signal);
    await ask("forget");
  } catch (error) {
    source?.close();
    if (signal.aborted) return;
    showStatus("Ready.");
    return tell(error instanceof Told ? error.message : `This can't be opened (${error.name}): choose another file.`);
  }
  if (signal.aborted) return source?.close();
  Object.assign(state, { source, times: [], moments: [] });
  for (const id of ["stop", "save", "record"]) $(id).disabled = false;
  $("record").disabled = source.isStill;
  paint();
}

// Nothing is shown any more, nor what is being opened.
function stop() {
  state.wanted.abort();
  stopRecording();
  state.source?.close();
  state.source = null;
  $("stop").disabled = $("record").disabled = true;
  showStatus("Ready.");
}

// ---- results

function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function save() {
  $("after").toBlob((blob) => (blob ? download(blob, "cartoon.png") : tell("The picture can't be saved: try again.")));
}

function record() {
  if (state.recorder) return stopRecording();
  const kind = VIDEO_KINDS.find((one) => window.MediaRecorder?.isTypeSupported(one));
  if (!kind) return tell("This browser can't record: use a newer one.");
  const parts = [], recorder = new MediaRecorder($("after").captureStream(30), { mimeType: kind });
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => download(new Blob(parts, { type: kind }), `cartoon.${kind.includes("mp4") ? "mp4" : "webm"}`);
  recorder.start(1000);
  state.recorder = recorder;
  $("record").textContent = "Stop recording";
  $("record").setAttribute("aria-pressed", "true");
}

function stopRecording() {
  state.recorder?.stop();
  state.recorder = null;
  $("record").textContent = "Record";
  $("record").setAttribute("aria-pressed", "false");
}

// ---- start

async function keepForLater() {
  if (!navigator.serviceWorker) return;
  await navigator.serviceWorker.register("sw.js");
  const { active } = await navigator.serviceWorker.ready;
  // Threads need a page that the browser isolates: where the server doesn't ask for it, the service worker does.
  if (!crossOriginIsolated && !sessionStorage.getItem("isolated")) {
    sessionStorage.setItem("isolated", "tried");
    location.reload();
    return new Promise(() => {});
  }
  return active;
}

async function keepRuntime(active) {
  const { port1, port2 } = new MessageChannel();
  const isKept = await new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data);
    active.postMessage({ keep: SITE.runtime[state.engine.engine] }, [port2]);
  });
  $("offline").hidden = !isKept;
}

function offerStyles() {
  SITE.styles.forEach(({ name }, number) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "style", value: number, checked: number === 0 });
    input.addEventListener("change", () => choose(number));
    label.append(input, name);
    $("styles").append(label);
  });
  const licences = SITE.styles.map(({ name, licence }) => `${name}: ${licence}.`);
  $("licences").textContent = [...licences, `Face finder: ${SITE.finderLicence}.`, "onnxruntime-web: MIT."].join(" ");
}

async function choose(number) {
  try {
    await ask("style", { number });
  } catch (error) {
    return tell(`This style can't be loaded (${error.message}): choose another one.`);
  }
  tell(null);
  paint();
}

function listen() {
  $("camera").addEventListener("click", () => start(openCamera));
  $("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";  // the same file may be chosen again
    if (file) start((signal) => openFile(file, signal));
  });
  $("stop").addEventListener("click", stop);
  $("save").addEventListener("click", save);
  $("record").addEventListener("click", record);
  for (const id of ["mode", "detail", "mirror", "compare"]) $(id).addEventListener("change", paint);
  $("degree").addEventListener("input", ({ target }) => {
    $("degree-value").textContent = `${target.value} %`;
    paint();
  });
  const stage = $("stage");
  for (const kind of ["dragenter", "dragover"]) {
    stage.addEventListener(kind, (event) => { event.preventDefault(); stage.classList.add("drop"); });
  }
  for (const kind of ["dragleave", "drop"]) stage.addEventListener(kind, () => stage.classList.remove("drop"));
  stage.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file && state.engine) start((signal) => openFile(file, signal));
  });
}

async function begin() {
  if (typeof WebAssembly !== "object") {
    throw new Error("This browser has no WebAssembly, which paints the pictures: use a newer one.");
  }
  if (typeof OffscreenCanvas !== "function") throw new Error("This browser can't draw in the background: use a newer one.");
  offerStyles();
  const active = await keepForLater().catch(() => null);  // private windows have none
  startWorker();
  const threads = Number(wishes.get("threads")) || Math.max(1, Math.min(navigator.hardwareConcurrency ?? 1, 4));
  const { finder, styles } = SITE;
  try {
    state.engine = await ask("load", { site: { finder, styles }, wanted: wishes.get("engine"), threads });
  } catch (error) {
    throw new Error(`The networks can't be loaded (${error.message}): reload the page.`);
  }
  listen();
  for (const id of ["camera", "file"]) $(id).disabled = false;
  showStatus("Ready.");
  if (active) keepRuntime(active);
}

begin().catch((error) => {
  showStatus("");
  tell(error.message);
});
