// The tab with the visitor's own picture as the style.

import { $, call, download, dropZone, say, upload } from "./common.js";
import { edit } from "./points.js";

// `choose(style)` is called as soon as the picture can be used, `wait()` where its face has to be marked first.
export function openOwnPicture(choose, wait) {
  let file = null, key = null, state = null;

  const tell = (told) => {
    [file, state] = [told.file, told.state];
    $("#use_own").disabled = !told.is_found;
    $("#advice").textContent = told.advice ? told.advice : told.is_found ? `${told.title}: the face was found. Drag what is wrong; the result follows.` : "";
  };

  let sending = false, waiting = null;
  async function moved(of, points) { // the newest points; those that come meanwhile follow
    if (sending) { waiting = [of, points]; return; }
    sending = true;
    try {
      const told = await call("points", { key: of, points }, { quiet: of !== key });
      if (told.key === of && of === key) { // else another picture was brought meanwhile
        say("");
        tell(told);
        choose("own");
      }
    } catch { /* it was told */ }
    sending = false;
    const next = waiting;
    waiting = null;
    if (next?.[0] === key) moved(...next);
  }

  dropZone($("#own_drop"), async ([picture]) => {
    const told = await upload("style", picture);
    say("");
    key = told.key;
    tell(told);
    edit(told, (points) => moved(told.key, points));
    if (told.is_found) choose("own"); else wait();
  });
  $("#points_file").addEventListener("click", () => download(file));
  $("#use_own").addEventListener("click", () => choose("own"));
  return {
    get isPlaced() { return !$("#use_own").disabled; },
    isOf: (news) => news.picture === state, // whether a result is of the picture with the points as they are now
  };
}
