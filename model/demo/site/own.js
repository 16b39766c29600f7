// The tab with the visitor's own picture as the style.

import { $, call, download, dropZone, say, upload } from "./common.js";
import { edit } from "./points.js";

// `choose(style)` is called as soon as the picture can be used.
export function openOwnPicture(choose) {
  let file = null, key = null;

  const tell = (told) => {
    file = told.file;
    $("#advice").textContent = told.advice ? told.advice : told.is_found ? `${told.title}: the face was found. Drag what is wrong; the result follows.` : "";
  };

  let sending = false, waiting = null;
  async function moved(points) { // the newest points; those that come meanwhile follow
    if (sending) { waiting = points; return; }
    sending = true;
    try {
      tell(await call("points", { key, points }));
      say("");
      choose("own");
    } catch { /* it was told */ }
    sending = false;
    if (waiting) { const next = waiting; waiting = null; moved(next); }
  }

  dropZone($("#own_drop"), async ([picture]) => {
    const told = await upload("style", picture);
    say("");
    key = told.key;
    tell(told);
    edit(told, moved);
    if (told.is_found) choose("own");
  });
  $("#points_file").addEventListener("click", () => download(file));
  $("#use_own").addEventListener("click", () => choose("own"));
}
