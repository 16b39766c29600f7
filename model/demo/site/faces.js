// The frame with its faces and the crop; a face that was not found is marked by a box.

import { $, $$, call, make, say } from "./common.js";

const frame = $("#frame"), picture = $("img", frame), crop = $(".crop", frame), hint = $("#mark_hint");
const [mark, done, stop] = ["#mark", "#mark_done", "#mark_stop"].map((one) => $(one));
let box = null, drawn = null, take = null;

const place = (element, [left, top, right, bottom]) => Object.assign(element.style, {
  left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`,
});

export function showCrop(edges) {
  crop.hidden = !edges;
  if (edges) place(crop, edges);
}

// Shows a content; `choose(face)` is called where a face is clicked, `marked(content)` where one was added.
export function showFaces(content, chosen, choose, marked) {
  const count = content.faces.length, kind = content.is_video ? "video" : "photo";
  const faces = count === 0 ? "no face was found: mark it by hand" : count === 1 ? "one face" : `${count} faces: click the one that is meant`;
  $("#frame_part").hidden = false;
  $("#frame_part").classList.toggle("ask", count !== 1);
  const length = content.seconds ? `, ${content.seconds.toFixed(1)} s` : "";
  $("#facts").textContent = `${content.name}: ${kind}, ${content.width} × ${content.height}${length}, ${faces}`;
  picture.src = content.frame;
  picture.alt = `The frame of ${content.name}; what is dark will not be shown`;
  $$("button, .box", frame).forEach((one) => one.remove());
  content.faces.forEach((edges, number) => {
    const button = make("button", { type: "button", "aria-label": `Person ${number + 1}`, "aria-pressed": String(number === chosen) },
      count > 1 ? ` ${number + 1}` : "");
    place(button, edges);
    button.addEventListener("click", () => {
      $$("button", frame).forEach((one, n) => one.setAttribute("aria-pressed", String(n === number)));
      choose(number);
    });
    frame.append(button);
  });
  take = marked;
  marking(count === 0);
}

function marking(isOn) {
  frame.classList.toggle("marking", isOn);
  mark.hidden = isOn;
  done.hidden = stop.hidden = hint.hidden = !isOn;
  box?.remove();
  box = null;
  if (!isOn) return;
  box = make("div", { class: "box", tabindex: 0, role: "application", "aria-label": "The box around the face" });
  frame.append(box);
  put([0.35, 0.3, 0.65, 0.7]);
}

function put(edges) {
  drawn = edges.map((edge) => Math.min(Math.max(edge, 0), 1));
  place(box, drawn);
}

const at = (event) => {
  const area = frame.getBoundingClientRect();
  return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
};
let begun = null;
frame.addEventListener("pointerdown", (event) => {
  if (!box || event.button) return;
  event.preventDefault();
  frame.setPointerCapture(event.pointerId);
  begun = at(event);
});
frame.addEventListener("pointermove", (event) => {
  if (!begun || !box) return;
  const now = at(event);
  put([Math.min(begun[0], now[0]), Math.min(begun[1], now[1]), Math.max(begun[0], now[0]), Math.max(begun[1], now[1])]);
});
for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => { begun = null; });

frame.addEventListener("keydown", (event) => {
  if (!box || event.target !== box) return;
  const [left, top, right, bottom] = drawn, step = event.shiftKey ? 0.05 : 0.01;
  const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  const grow = { "+": 1.05, "=": 1.05, "-": 1 / 1.05 }[event.key];
  if (by) put([left + by[0], top + by[1], right + by[0], bottom + by[1]]);
  else if (grow) {
    const [x, y, w, h] = [(left + right) / 2, (top + bottom) / 2, (right - left) / 2 * grow, (bottom - top) / 2 * grow];
    put([x - w, y - h, x + w, y + h]);
  } else if (event.key === "Enter") finish();
  else if (event.key === "Escape") marking(false);
  else return;
  event.preventDefault();
});

async function finish() {
  try {
    const content = await call("box", { box: drawn });
    say("");
    take(content);
  } catch { /* it was told */ }
}
mark.addEventListener("click", () => { marking(true); box.focus(); });
done.addEventListener("click", finish);
stop.addEventListener("click", () => marking(false));
