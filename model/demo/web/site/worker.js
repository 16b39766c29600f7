// Finds the face, lets the student paint it and puts the cartoon into the frame: beside the page, which stays responsive.
import { FINDER_MULTIPLE, STRIDE, SURE, Follower, facesIn, feather, fitted, inverse, windowMatrix } from "./geometry.js";

const SIDE = 256;  // of the window around a face, in pixels, at detail 1
const LONGEST = { live: 416, still: 896 };  // side of a whole frame that is painted, in pixels, at detail 1
const SEARCHED = 160, SEARCHED_CLOSELY = 320;  // side of the frames that are searched for faces; the second one in photos
const LONGEST_WARM_UP = 20_000;  // milliseconds
const MULTIPLE = 16;  // sides of what a student paints must divide by this

let ort, engine, finder, student, styles;
const follower = new Follower();
const work = canvas(), cartoon = canvas(), out = canvas();
let mask = feather(SIDE);

function canvas() {
  const made = new OffscreenCanvas(1, 1);
  return { canvas: made, context: made.getContext("2d", { willReadFrequently: true }) };
}

function resize(target, width, height) {
  if (target.canvas.width !== width || target.canvas.height !== height) Object.assign(target.canvas, { width, height });
  target.context.setTransform(1, 0, 0, 1, 0, 0);
  target.context.globalAlpha = 1;
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

// Write a picture, [1, 3, height, width] in [-1, 1], over pixels RGBA; `alpha` [height * width] or all of it is seen.
function intoPixels(values, { data, width, height }, alpha) {
  const plane = width * height;
  for (let n = 0, at = 0; n < plane; n++, at += 4) {
    data[at] = (values[n] + 1) * 127.5;  // a clamped array, which rounds
    data[at + 1] = (values[plane + n] + 1) * 127.5;
    data[at + 2] = (values[2 * plane + n] + 1) * 127.5;
    data[at + 3] = alpha ? alpha[n] : 255;
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

// The student's picture of what is in `work`, put into `cartoon`.
async function paintWork(alpha) {
  const { width, height } = work.canvas;
  const pixels = work.context.getImageData(0, 0, width, height);
  const started = performance.now();
  const values = await run(student.session, toTensor(pixels));
  const took = performance.now() - started;
  intoPixels(values, pixels, alpha);
  resize(cartoon, width, height).putImageData(pixels, 0, 0);
  return took;
}

async function paint(frame, { mode, degree, detail, mirror, isStill, time }) {
  const started = performance.now();
  let faces = await search(frame, SEARCHED);
  if (isStill) {
    follower.forget();
    if (!faces.some((face) => face.likelihood >= SURE)) faces = await search(frame, SEARCHED_CLOSELY);
  }
  const face = follower.next(faces, time);
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
    took = await paintWork(null);
    context.globalAlpha = degree;
    context.drawImage(cartoon.canvas, 0, 0, width, height);
  } else if (face) {
    const matrix = windowMatrix(face, side, eyes);
    drawWindow(resize(work, side, side), frame, matrix, side);
    if (isAlone) context.drawImage(work.canvas, 0, 0);
    if (mask.length !== side * side) mask = feather(side);
    took = await paintWork(isAlone ? null : mask);
    context.globalAlpha = degree * (isAlone ? 1 : follower.share);
    if (!isAlone) context.transform(...inverse(matrix));
    context.drawImage(cartoon.canvas, 0, 0);
  }
  context.setTransform(own);
  const bitmap = out.canvas.transferToImageBitmap();
  const times = { finding: found - started, painting: took, drawing: performance.now() - found - took };
  frame.close();
  return { bitmap, times, hasFace: face !== null, faces };
}

const answers = { load, style: ({ number }) => choose(number), paint: ({ frame, settings }) => paint(frame, settings),
  forget: () => follower.forget() };

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
