// The picture before and after, with a line between them that a finger, the mouse or the slider below moves.

import { $ } from "./common.js";

const figure = $("#compare"), pictures = $(".pictures", figure), slider = $("#compare_at");

const move = (share) => {
  slider.value = Math.round(100 * Math.min(Math.max(share, 0), 1));
  figure.style.setProperty("--at", `${slider.value}%`);
};
slider.addEventListener("input", () => figure.style.setProperty("--at", `${slider.value}%`));
move(0.5);

// Sideways strokes of a finger move the line; others scroll the page (touch-action).
const follow = (event) => {
  const box = pictures.getBoundingClientRect();
  move((event.clientX - box.left) / box.width);
};
pictures.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  if (event.pointerType !== "touch") pictures.setPointerCapture(event.pointerId);
  follow(event);
});
pictures.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });

const loaded = async (address) => {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
};

// Shows a result once both its pictures are there, if `isWanted` still says so then.
export async function show(result, isWanted) {
  await Promise.all([loaded(result.before), loaded(result.after)]);
  if (!isWanted()) return false;
  put(result.before, result.after, "");
  return true;
}

function put(before, after, words) {
  $(".before", figure).src = before;
  $(".after", figure).src = after;
  $(".words", figure).textContent = words;
  figure.classList.toggle("waiting", Boolean(words));
}

// There is no result yet: faintly the frame that it will be of, and in words what it waits for.
export const wait = (frame, words) => put(frame, frame, words);

export function busy(isBusy, words = "") {
  figure.setAttribute("aria-busy", isBusy);
  $(".spinner", figure).hidden = !isBusy;
  $(".spinner span", figure).textContent = words;
}
