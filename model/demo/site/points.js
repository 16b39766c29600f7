// The editor for the 68 points of a face in a picture.

import { $ } from "./common.js";

// First and last point, whether the line is closed, and a name.
const PARTS = [
  [0, 16, false, "jaw"], [17, 21, false, "left brow"], [22, 26, false, "right brow"], [27, 30, false, "bridge of the nose"],
  [31, 35, false, "tip of the nose"], [36, 41, true, "left eye"], [42, 47, true, "right eye"], [48, 59, true, "lips"],
  [60, 67, true, "mouth"],
];
const DOT = 3.5, CORNER = 8, REACH = { mouse: 9, pen: 9, touch: 18 }; // in pixels of the screen
const MARGIN = 0.08, AROUND = 0.2; // of the box around the points and of the magnified part, relative to the face
const RELEASED = 100, TYPED = 500; // milliseconds before the server is asked, after a drag and a key
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TURNS = { "+": [1.02, 0], "-": [1 / 1.02, 0], "[": [Math.cos(0.02), -Math.sin(0.02)], "]": [Math.cos(0.02), Math.sin(0.02)] };

const element = $("#points"), svg = $("svg", element), magnify = $(".magnify", element);
let shown, points, box, lines, frame, dots, corners; // points may be outside: they are drawn and sent pinned
let drag = null, timer = 0, moved = () => {};

const make = (kind, attributes, parent) => {
  const made = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", kind));
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};
const pinned = ([x, y]) => [Math.min(Math.max(x, 0), shown.size[0] - 1), Math.min(Math.max(y, 0), shown.size[1] - 1)];
const bounds = (all, margin) => {
  const [left, right, top, bottom] = [0, 1].flatMap((k) => [Math.min, Math.max].map((end) => end(...all.map((p) => p[k]))));
  const more = margin * Math.max(right - left, bottom - top);
  return [left - more, top - more, right + more, bottom + more];
};
const boxAround = () => {
  const [left, top, right, bottom] = bounds(points, MARGIN);
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
};
const middle = () => [0, 1].map((k) => (box[0][k] + box[2][k]) / 2);
const unit = () => 1 / (svg.getScreenCTM()?.a || 1); // pixels of the picture for one of the screen
const place = (event) => {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [at.x - 0.5, at.y - 0.5]; // points count from the centre of the first pixel
};
const shift = (all, [dx, dy]) => all.map(([x, y]) => [x + dx, y + dy]);
const turn = (all, [cx, cy], [a, b]) =>
  all.map(([x, y]) => [cx + a * (x - cx) - b * (y - cy), cy + b * (x - cx) + a * (y - cy)]);

function view() { // the whole picture, or the face alone
  let [left, top, right, bottom] = [0, 0, ...shown.size];
  if (magnify.getAttribute("aria-pressed") === "true") {
    const around = bounds(points.map(pinned), AROUND);
    [left, top] = [Math.max(around[0], 0), Math.max(around[1], 0)];
    [right, bottom] = [Math.min(around[2], right), Math.min(around[3], bottom)];
  }
  svg.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
  draw();
}

function draw() {
  const scale = unit(), { x, y, width, height } = svg.viewBox.baseVal, at = points.map(pinned);
  dots.forEach((dot, n) => Object.entries({ cx: at[n][0], cy: at[n][1], r: DOT * scale }).forEach((pair) => dot.setAttribute(...pair)));
  lines.forEach((line, n) => {
    const part = at.slice(PARTS[n][0], PARTS[n][1] + 1);
    line.setAttribute("points", (PARTS[n][2] ? [...part, part[0]] : part).join(" "));
  });
  frame.setAttribute("points", box.join(" "));
  corners.forEach((corner, n) => { // they can be reached even where the box leaves the view
    const inset = CORNER * scale, [cx, cy] = box[n];
    corner.setAttribute("cx", Math.min(Math.max(cx, x + inset), x + width - inset));
    corner.setAttribute("cy", Math.min(Math.max(cy, y + inset), y + height - inset));
    corner.setAttribute("r", CORNER * scale);
  });
}

// Shows a picture, {picture: address, size: [w, h], points: [[x, y], …] in its pixels}; `then(points)` is called after
// each change.
export function edit(value, then) {
  clearTimeout(timer);
  [drag, shown, moved] = [null, value, then];
  element.hidden = false;
  points = shown.points;
  box = boxAround();
  svg.replaceChildren();
  const [width, height] = shown.size;
  make("image", { width, height, href: shown.picture, preserveAspectRatio: "none" }, svg);
  const group = make("g", { transform: "translate(.5 .5)" }, svg);
  frame = make("polygon", { class: "box", tabindex: 0, role: "button", "aria-label": "All points" }, group);
  lines = PARTS.map(() => make("polyline", { class: "lines" }, group));
  dots = PARTS.flatMap(([first, last, , name]) => Array.from({ length: last - first + 1 }, (_, n) => make("circle", {
    class: "dot", role: "button", tabindex: first + n ? -1 : 0, "aria-label": `Point ${n + 1} of ${last - first + 1}: ${name}`,
  }, group)));
  corners = box.map((_, n) => make("circle", { class: "corner", "data-corner": n }, group));
  magnify.setAttribute("aria-pressed", "false");
  view();
}

function changed(wait) {
  draw();
  clearTimeout(timer);
  timer = setTimeout(() => {
    moved(points.map((point) => pinned(point).map((one) => Math.round(one * 100) / 100)));
  }, wait);
}

function choose(number) { // the point that Tab reaches
  dots.forEach((dot, n) => dot.setAttribute("tabindex", n === number ? 0 : -1));
  dots[number].focus({ preventScroll: true });
}

svg.addEventListener("pointerdown", (event) => {
  if (!shown || drag || event.button) return;
  const at = place(event), reach = (REACH[event.pointerType] || REACH.mouse) * unit();
  const away = points.map((point) => Math.hypot(...shift([pinned(point)], [-at[0], -at[1]])[0]));
  const nearest = away.indexOf(Math.min(...away));
  const start = { id: event.pointerId, at, points, box };
  if (event.target.dataset.corner) drag = { ...start, kind: "turn", held: event.target };
  else if (away[nearest] < reach) drag = { ...start, kind: "point", number: nearest, held: dots[nearest] };
  else if (event.target === frame) drag = { ...start, kind: "shift", held: frame };
  else return;
  event.preventDefault();
  svg.setPointerCapture(event.pointerId);
  drag.held.classList.add("held");
  if (drag.kind === "point") choose(nearest);
});
svg.addEventListener("pointermove", (event) => {
  if (drag?.id !== event.pointerId) return;
  const at = place(event), by = [at[0] - drag.at[0], at[1] - drag.at[1]];
  if (drag.kind === "point") {
    points = drag.points.with(drag.number, pinned(shift([pinned(drag.points[drag.number])], by)[0]));
  } else if (drag.kind === "shift") {
    [points, box] = [shift(drag.points, by), shift(drag.box, by)];
  } else {
    box = drag.box;
    const centre = middle(), [[x0, y0], [x1, y1]] = shift([drag.at, at], [-centre[0], -centre[1]]);
    const size = x0 * x0 + y0 * y0, ratio = [(x0 * x1 + y0 * y1) / size, (x0 * y1 - y0 * x1) / size];
    [points, box] = [turn(drag.points, centre, ratio), turn(drag.box, centre, ratio)];
  }
  draw();
});
for (const end of ["pointerup", "pointercancel"]) {
  svg.addEventListener(end, (event) => {
    if (drag?.id !== event.pointerId) return;
    const { held, kind, points: before } = drag;
    held.classList.remove("held");
    drag = null;
    if (points === before) return;
    if (kind === "point") box = boxAround();
    changed(RELEASED);
  });
}
svg.addEventListener("keydown", (event) => {
  const number = dots?.indexOf(event.target) ?? -1, step = Math.max(1, unit()) * (event.shiftKey ? 10 : 1);
  const next = { PageDown: number + 1, PageUp: number + 67 }[event.key];
  if (number < 0 && event.target !== frame) return;
  if (number >= 0 && next !== undefined) choose(next % 68);
  else if (ARROWS[event.key]) {
    const by = ARROWS[event.key].map((one) => step * one);
    if (number < 0) [points, box] = [shift(points, by), shift(box, by)];
    else {
      points = points.with(number, pinned(shift([pinned(points[number])], by)[0]));
      box = boxAround();
    }
    changed(TYPED);
  } else if (number < 0 && TURNS[event.key]) {
    const centre = middle();
    [points, box] = [turn(points, centre, TURNS[event.key]), turn(box, centre, TURNS[event.key])];
    changed(TYPED);
  } else return;
  event.preventDefault();
});
magnify.addEventListener("click", () => {
  if (!shown) return;
  magnify.setAttribute("aria-pressed", magnify.getAttribute("aria-pressed") === "false");
  view();
});
$(".restore", element).addEventListener("click", () => {
  if (!shown) return;
  points = shown.points;
  box = boxAround();
  changed(RELEASED);
  view();
});
new ResizeObserver(() => shown && draw()).observe(svg);
