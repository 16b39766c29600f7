// Finds the face, lets the student paint it and puts the cartoon into the frame: beside the page, which stays responsive.
import { clearBackground } from "./background.js";
import {
  FINDER_MULTIPLE, STRIDE, Follower, facesIn, fitted, headIn, inverse, seenAt, windowMatrix,
} from "./geometry.js";

const SIDE = 256;  // of the window around a face, in pixels, at detail 1
const LONGEST = { live: 416, still: 896 };  // side of a whole frame that is painted, in pixels, at detail 1
// Sides of the frames that are searched for faces: the first one, and while it shows none the others (where pictures
// move, one of those a frame).
const SEARCHED = [160, 320, 240, 120];
const LONGEST_WARM_UP = 20_000;  // milliseconds
const FADE_STEPS = 40, FAR = 10;  // of a gradient; half axes of a head, which no window reaches
const MULTIPLE = 16;  // sides of what a student paints must divide by this

let ort, engine, finder, student, styles;
const follower = new Follower();
let turn = 0;  // which of the further sizes is searched next
const work = canvas(), cartoon = canvas(), out = canvas();

function canvas() {
  const made = new OffscreenCanvas(1, 1);
  return { canvas: made, context: made.getContext("2d", { willReadFrequently: true }) };
}

function resize(target, width, height) {
  if (target.canvas.width !== width || target.canvas.height !== height) Object.assign(target.canvas, { width, height });
  target.context.setTransform(1, 0, 0, 1, 0, 0);
  target.context.globalAlpha = 1;
  target.context.globalCompositeOperation = "source-over";
  target.context.imageSmoothingQuality = "medium";
  return target.context;
}

// A GPU that is not just computed by the processor.
async function hasGpu() {
  const adapter = await self.navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

async function load({ site, wanted, threads }) {
  styles = site.styles;
  const names = wanted ? [wanted] : (await hasGpu()) ? ["webgpu", "wasm"] : ["wasm"];
  for (const name of names) {
    try {
      ort = await import(`./runtime/ort.${name}.min.mjs`);
      ort.env.wasm.wasmPaths = new URL("./runtime/", self.location.href).href;
      ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
      ort.env.logLevel = "error";
      engine = name;
      for (const style of styles) style.session = null;
      finder = await open(site.finder);
      await choose(0);
      await (name === names.at(-1) ? warmUp() : Promise.race([warmUp(), tooLate(name)]));
      break;
    } catch (error) {
      if (name === names.at(-1)) throw error;
    }
  }
  return { engine, threads: engine === "wasm" ? ort.env.wasm.numThreads : 0 };
}

// The first run of a network takes long; a graphics card may also promise what it can't do.
async function warmUp() {
  for (const session of [finder, student.session]) {
    await run(session, new ort.Tensor("float32", new Float32Array(3 * 64 * 64), [1, 3, 64, 64]));
  }
}

const tooLate = (name) => new Promise((_, reject) => {
  setTimeout(() => reject(new Error(`${name} does not answer`)), LONGEST_WARM_UP);
});

async function open(file) {
  const answer = await fetch(new URL(file, self.location.href));
  if (!answer.ok) throw new Error(`${file} is missing on the server (${answer.status})`);
  const settings = { executionProviders: [engine], graphOptimizationLevel: "all", logSeverityLevel: 3 };
  return ort.InferenceSession.create(await answer.arrayBuffer(), settings);
}

async function choose(number) {
  const style = styles[number];
  style.session ??= await open(style.file);
  student = style;
}

// The pixels of a canvas, RGBA, as RGB in [-1, 1], [1, 3, height, width].
function toTensor({ data, width, height }) {
  const plane = width * height, values = new Float32Array(3 * plane);
  for (let n = 0, at = 0; n < plane; n++, at += 4) {
    values[n] = data[at] / 127.5 - 1;
    values[plane + n] = data[at + 1] / 127.5 - 1;
    values[2 * plane + n] = data[at + 2] / 127.5 - 1;
  }
  return new ort.Tensor("float32", values, [1, 3, height, width]);
}

// Write a picture, [1, 3, height, width] in [-1, 1], over pixels RGBA.
function intoPixels(values, { data, width, height }) {
  const plane = width * height;
  for (let n = 0, at = 0; n < plane; n++, at += 4) {
    data[at] = (values[n] + 1) * 127.5;  // a clamped array, which rounds
    data[at + 1] = (values[plane + n] + 1) * 127.5;
    data[at + 2] = (values[2 * plane + n] + 1) * 127.5;
    data[at + 3] = 255;
  }
}

async function run(session, input) {
  const found = await session.run({ [session.inputNames[0]]: input });
  const output = found[session.outputNames[0]];
  return output.getData ? await output.getData() : output.data;
}

// The faces in a frame, in its pixels.
async function search(frame, longest) {
  const { scale, width, height } = fitted(frame.width, frame.height, longest, FINDER_MULTIPLE);
  const context = resize(work, width, height);
  context.imageSmoothingQuality = "high";
  context.clearRect(0, 0, width, height);
  context.drawImage(frame, 0, 0, frame.width * scale, frame.height * scale);
  const output = await run(finder, toTensor(context.getImageData(0, 0, width, height)));
  return facesIn(output, height / STRIDE, width / STRIDE).map((face) => ({
    ...face, size: face.size / scale, eyes: face.eyes.map((eye) => eye.map((v) => v / scale)),
  }));
}

// The faces in a frame, searched at sizes until the follower takes one: in a photo at all of them, else at the usual
// one and one more, which stays the same while it shows faces.
async function searchInTurn(frame, isStill) {
  const [usual, ...others] = SEARCHED;
  let faces = await search(frame, usual);
  for (let n = 0; !follower.choose(faces) && n < (isStill ? others.length : 1); n++) {
    faces = await search(frame, others[turn % others.length]);
    if (!follower.choose(faces)) turn += 1;
  }
  return faces;
}

function forget() {
  follower.forget();
  turn = 0;
}

// The frame in a window, continued by its mirror image.
function drawWindow(context, frame, matrix, side) {
  const back = inverse(matrix);
  const corners = [[0, 0], [side, 0], [0, side], [side, side]].map(([x, y]) => [
    back[0] * x + back[2] * y + back[4], back[1] * x + back[3] * y + back[5],
  ]);
  const leaves = corners.some(([x, y]) => x < 0 || y < 0 || x > frame.width || y > frame.height);
  const reach = leaves ? [-1, 0, 1] : [0];
  for (const across of reach) {
    for (const down of reach) {
      context.setTransform(...matrix);
      context.translate((across + (across !== 0)) * frame.width, (down + (down !== 0)) * frame.height);
      context.scale(across ? -1 : 1, down ? -1 : 1);
      context.drawImage(frame, 0, 0);
    }
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
}

// The student's picture of what is in `work`, put into `cartoon`: all of it, or without the background of some styles.
async function paintWork(isCut = false) {
  const { width, height } = work.canvas;
  const pixels = work.context.getImageData(0, 0, width, height);
  const started = performance.now();
  const values = await run(student.session, toTensor(pixels));
  const took = performance.now() - started;
  intoPixels(values, pixels);
  if (isCut && student.hasBackground) clearBackground(pixels);
  resize(cartoon, width, height).putImageData(pixels, 0, 0);
  return took;
}

// Leave of `cartoon` the head, with a soft border.
function cutHead({ middle, axes, turn }) {
  const { context } = cartoon, fade = context.createRadialGradient(0, 0, 0, 0, 0, 1);
  for (let n = 0; n <= FADE_STEPS; n++) fade.addColorStop(n / FADE_STEPS, `rgb(0 0 0 / ${seenAt(n / FADE_STEPS)})`);
  context.globalCompositeOperation = "destination-in";
  context.fillStyle = fade;
  context.translate(...middle);
  context.rotate(turn * Math.PI / 180);
  context.scale(...axes);
  context.fillRect(-FAR, -FAR, 2 * FAR, 2 * FAR);
}

async function paint(frame, { mode, degree, detail, mirror, isStill, time }) {
  const started = performance.now();
  if (isStill) follower.forget();
  const face = follower.next(await searchInTurn(frame, isStill), time);
  const found = performance.now();
  const { width, height } = frame;
  const side = Math.round(SIDE * detail / MULTIPLE) * MULTIPLE, eyes = student.eyeDistance * detail;
  let took = 0;
  const isAlone = mode === "face" && face !== null;
  const context = resize(out, isAlone ? side : width, isAlone ? side : height);
  if (mirror) context.setTransform(-1, 0, 0, 1, out.canvas.width, 0);
  const own = context.getTransform();
  if (!isAlone) context.drawImage(frame, 0, 0);
  if (mode === "whole") {
    const longest = LONGEST[isStill ? "still" : "live"] * detail;
    const scale = Math.min(face ? eyes / face.size : 1, longest / Math.max(width, height));
    const sides = [width, height].map((v) => Math.max(Math.round(v * scale / MULTIPLE), 1) * MULTIPLE);
    resize(work, ...sides).drawImage(frame, 0, 0, ...sides);
    took = await paintWork();
    context.globalAlpha = degree;
    context.drawImage(cartoon.canvas, 0, 0, width, height);
  } else if (face) {
    const matrix = windowMatrix(face, side, eyes);
    drawWindow(resize(work, side, side), frame, matrix, side);
    if (isAlone) context.drawImage(work.canvas, 0, 0);
    took = await paintWork(!isAlone);
    if (!isAlone) cutHead(headIn(face, side, eyes));
    context.globalAlpha = degree * (isAlone ? 1 : follower.share);
    if (!isAlone) context.transform(...inverse(matrix));
    context.drawImage(cartoon.canvas, 0, 0);
  }
  context.setTransform(own);
  const bitmap = out.canvas.transferToImageBitmap();
  const times = { finding: found - started, painting: took, drawing: performance.now() - found - took };
  frame.close();
  return { bitmap, times, hasFace: face !== null };
}

const answers = { load, style: ({ number }) => choose(number), paint: ({ frame, settings }) => paint(frame, settings),
  forget };

// One after the other: a canvas and a session serve one frame at a time.
let last = Promise.resolve();
self.onmessage = ({ data: { id, kind, ...rest } }) => {
  last = last.then(async () => {
    try {
      const answer = await answers[kind](rest);
      self.postMessage({ id, answer }, answer?.bitmap ? [answer.bitmap] : []);
    } catch (error) {
      self.postMessage({ id, error: String(error?.message ?? error) });
    }
  });
};
