// The background that some styles paint behind heads, found by its colour and left out.

const NEAR = 100;  // levels of 255, all channels together, by which pixels of the background differ from its colour
const STEP = 32;  // levels of a colour that count as the same when the commonest one is looked for
const INSET = 0.03;  // of the window's side: how far from the border, where students err, the colour is looked for
const EDGE = 0.024;  // of the window's side: within this much of the background the head fades, with its outline

// Make the background of a window's picture, RGBA, transparent: what has the commonest colour along the border, but for
// the lower third, where shoulders are, and hangs together with the border.
export function clearBackground({ data, width, height }) {
  const inset = Math.round(INSET * width), lowest = Math.round(2 * height / 3), border = [];
  for (let x = inset; x < width - inset; x++) border.push(inset * width + x);
  for (let y = inset + 1; y < lowest; y++) border.push(y * width + inset, (y + 1) * width - 1 - inset);
  const [red, green, blue] = commonest(data, border);
  const isNear = (n) => {
    const at = 4 * n;
    return Math.abs(data[at] - red) + Math.abs(data[at + 1] - green) + Math.abs(data[at + 2] - blue) < NEAR;
  };
  const behind = smoothed(hanging(isNear, border, width, height), width, height, Math.round(EDGE * width));
  for (let n = 0; n < width * height; n++) {
    const share = Math.max(1 - 2 * behind[n], 0);
    data[4 * n + 3] *= share * share * (3 - 2 * share);
  }
}

// The mean of the pixels whose colour is like the commonest one.
function commonest(data, places) {
  const bins = new Map();
  for (const n of places) {
    const key = [0, 1, 2].map((c) => data[4 * n + c] / STEP | 0).join();
    const bin = bins.get(key) ?? { count: 0, sum: [0, 0, 0] };
    bins.set(key, { count: bin.count + 1, sum: bin.sum.map((v, c) => v + data[4 * n + c]) });
  }
  const { count, sum } = [...bins.values()].reduce((best, bin) => (bin.count > best.count ? bin : best));
  return sum.map((v) => v / count);
}

// 1 where pixels are near and reached from `places` over others that are, else 0.
function hanging(isNear, places, width, height) {
  const reached = new Float32Array(width * height), open = [];
  const reach = (n) => {
    if (n < 0 || n >= reached.length || reached[n] || !isNear(n)) return;
    reached[n] = 1;
    open.push(n);
  };
  places.forEach(reach);
  while (open.length) {
    const n = open.pop(), x = n % width;
    if (x > 0) reach(n - 1);
    if (x < width - 1) reach(n + 1);
    reach(n - width);
    reach(n + width);
  }
  return reached;
}

// Means over squares of 2 · radius + 1 pixels a side; beyond the border its pixels go on.
function smoothed(values, width, height, radius) {
  const along = (from, lines, length, between, step) => {
    const to = new Float32Array(from.length), at = (n) => Math.min(Math.max(n, 0), length - 1) * step;
    for (let line = 0; line < lines; line++) {
      let sum = 0;
      for (let n = -radius; n <= radius; n++) sum += from[line * between + at(n)];
      for (let n = 0; n < length; n++) {
        to[line * between + n * step] = sum / (2 * radius + 1);
        sum += from[line * between + at(n + radius + 1)] - from[line * between + at(n - radius)];
      }
    }
    return to;
  };
  return along(along(values, height, width, width, 1), width, height, 1, width);
}
