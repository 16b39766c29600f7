// Faces in numbers: what the face finder's output says, a face that is followed, and the window around it.
// Lengths are pixels of the frame, counted from the corner of the first one, but where something else is said.

export const STRIDE = 4;  // pixels of the finder's input between the places of its map
export const FINDER_MULTIPLE = 16;  // sides of its input must divide by this
const USUAL_SIZE = 16;  // face size whose logarithm counts as 0
export const SURE = 0.35, HELD = 0.2;  // likelihood from which on a place is a face; the one that is followed
export const ABOVE = 121 / 256;  // of the window that lies above the eyes, as in the photos that students learn from
const HEAD = { across: 1.25, up: 1.6, down: 1.75 };  // its reach from the point between the eyes, in eye distances
const LARGEST_EYES = 74 / 256;  // of a window's side, up to which a head lies within
const SOFT = 0.22;  // of the half axes: the border within which a cartoon fades
const NOT_TURNED = 20;  // degrees of tilt up to which faces are drawn as they are; from twice as many on all is turned
const GRACE = 0.5, FADE = 0.3;  // seconds that a face may be hidden; seconds in which its cartoon then fades

const logistic = (x) => 1 / (1 + Math.exp(-x));

// The faces in the finder's output, Float32Array of [6, height, width], the likeliest first: likelihood, size and eyes
// [[x, y], [x, y]] in pixels of the finder's input.
export function facesIn(output, height, width, least = HELD) {
  const plane = height * width, found = [];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * width + column, logit = output[at];
      const likelihood = logistic(logit);
      if (likelihood < least || !isPeak(output, row, column, height, width)) continue;
      const size = USUAL_SIZE * Math.exp(output[plane + at]);
      const x = STRIDE * (column + 0.5), y = STRIDE * (row + 0.5);
      const eye = (first) => [x + size * output[first * plane + at], y + size * output[(first + 1) * plane + at]];
      found.push({ likelihood, size, eyes: [eye(2), eye(4)] });
    }
  }
  return found.sort((one, other) => other.likelihood - one.likelihood);
}

function isPeak(output, row, column, height, width) {
  const value = output[row * width + column];
  for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, height - 1); y++) {
    for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, width - 1); x++) {
      if (output[y * width + x] > value) return false;
    }
  }
  return true;
}

export const middleOf = (face) => [0, 1].map((axis) => (face.eyes[0][axis] + face.eyes[1][axis]) / 2);

// Degrees by which a head is tilted clockwise.
export function tiltOf(face) {
  const [left, right] = face.eyes;
  return Math.atan2(right[1] - left[1], right[0] - left[0]) * 180 / Math.PI;
}

// By how many degrees a face of this tilt is turned upright: not at all, then more and more, without a step.
export function turnOf(tilt) {
  return Math.sign(tilt) * Math.min(Math.abs(tilt), 2 * Math.max(Math.abs(tilt) - NOT_TURNED, 0));
}

// A frame's size within `longest` pixels a side, and up to multiples: what is drawn there, and the sides of the input.
export function fitted(width, height, longest, multiple) {
  const scale = longest / Math.max(width, height);
  const up = (side) => Math.max(Math.ceil(side * scale / multiple - 1e-6), 1) * multiple;
  return { scale, width: up(width), height: up(height) };
}

// The 1€ filter (Casiez, Roussel and Vogel, CHI 2012) for vectors: steady when still, prompt when moving.
export class OneEuro {
  constructor(cutoff, beta) {
    Object.assign(this, { cutoff, beta, value: null, speed: null, time: 0 });
  }

  next(value, time) {
    if (this.value === null) {
      Object.assign(this, { value, speed: value.map(() => 0), time });
      return value;
    }
    const step = Math.max(time - this.time, 1e-3);
    this.speed = mixed(this.speed, value.map((v, n) => (v - this.value[n]) / step), 1, step);
    this.value = mixed(this.value, value, this.cutoff + this.beta * Math.hypot(...this.speed), step);
    this.time = time;
    return this.value;
  }
}

function mixed(old, now, cutoff, step) {
  const share = 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
  return old.map((value, n) => value + share * (now[n] - value));
}

// One face, followed through frames; `share` is how much of its cartoon is seen.
export class Follower {
  constructor() { this.forget(); }

  forget() {
    Object.assign(this, { face: null, share: 0, seen: -Infinity, time: null, first: null });
  }

  // The smoothed face {middle, size, tilt} at `time` in seconds, after the faces of a frame; null where none was seen.
  next(faces, time) {
    const step = this.time === null ? 0 : Math.max(time - this.time, 0);
    this.time = time;
    const face = this.choose(faces);
    if (face) {
      if (this.share === 0) {  // nothing was drawn: the window needn't glide
        this.first = face.size;
        this.filters = [new OneEuro(0.8, 2), new OneEuro(0.3, 0.3), new OneEuro(1, 0.05)];
        this.share = 1;
      }
      const [place, size, tilt] = this.filters;
      this.face = {
        middle: place.next(middleOf(face).map((v) => v / this.first), time).map((v) => v * this.first),
        size: Math.exp(size.next([Math.log(face.size)], time)[0]),
        tilt: tilt.next([tiltOf(face)], time)[0],
      };
      this.seen = time;
    }
    const change = Math.min(step / FADE, 1);
    this.share = time - this.seen <= GRACE ? Math.min(this.share + change, 1) : Math.max(this.share - change, 0);
    if (this.share === 0) this.face = null;
    return this.face;
  }

  // The face that is nearest to the followed one; without one a large and likely one.
  choose(faces) {
    if (!this.face) faces = faces.filter((face) => face.likelihood >= SURE);
    if (!faces.length) return null;
    const worth = (face) => face.size * face.likelihood ** 2;
    if (!this.face) return faces.reduce((best, face) => (worth(face) > worth(best) ? face : best));
    const away = (face) => Math.hypot(...middleOf(face).map((v, n) => v - this.face.middle[n]));
    const nearest = faces.reduce((best, face) => (away(face) < away(best) ? face : best));
    return away(nearest) < 3 * this.face.size ? nearest : null;
  }
}

// The matrix [a, b, c, d, e, f] of a canvas that draws a frame into a window of `side` pixels around a face, whose eyes
// come to lie `eyeDistance` pixels apart.
export function windowMatrix(face, side, eyeDistance) {
  const scale = eyeDistance / face.size, turn = -turnOf(face.tilt) * Math.PI / 180;
  const [a, b] = [scale * Math.cos(turn), scale * Math.sin(turn)];
  const [x, y] = face.middle;
  return [a, b, -b, a, side / 2 - a * x + b * y, ABOVE * side - b * x - a * y];
}

export function inverse([a, b, c, d, e, f]) {
  const area = a * d - b * c;
  return [d / area, -b / area, -c / area, a / area, (c * f - d * e) / area, (b * e - a * f) / area];
}

// The ellipse around the head in a window, hair included, in the window's pixels: its middle [x, y], the half axes
// [across, along] and by how many degrees it is turned clockwise. It stays within windows like those of the students.
export function headIn(face, side, eyeDistance) {
  const unit = Math.min(eyeDistance, LARGEST_EYES * side), turn = face.tilt - turnOf(face.tilt);
  const angle = turn * Math.PI / 180, down = (HEAD.down - HEAD.up) / 2 * unit;
  return {
    middle: [side / 2 - down * Math.sin(angle), ABOVE * side + down * Math.cos(angle)],
    axes: [HEAD.across * unit, (HEAD.down + HEAD.up) / 2 * unit], turn,
  };
}

// How much of a cartoon is seen, 0 to 1, `radius` half axes from the middle of the head: all, less and less, nothing.
export function seenAt(radius) {
  const share = Math.min(Math.max((1 - radius) / SOFT, 0), 1);
  return share * share * (3 - 2 * share);
}
