// The tab on which frames of a video are painted over.

import { $, $$, call, download, dropZone, make, say, upload } from "./common.js";
import { Job, state } from "./job.js";

export function openPaint() {
  const boil = () => Number($("#paint_boil").value);
  const film = new Job($("#painted"), "painted", () =>
    call("painted", { boil: boil(), full_frame: Number($("input[name=paint_full_frame]:checked").value) }, { quiet: true }));

  function offered(told) {
    $("#paint_part").hidden = false;
    $("#paint_facts").textContent = `${told.name}: ${told.width} × ${told.height}, frames 0 to ${told.last}`;
    $("#paint_frames").replaceChildren(...told.frames.map((frame) => {
      const button = make("button", { type: "button", class: "small" }, "Download");
      button.addEventListener("click", () => download(frame.file, frame.file_name));
      const caption = `${frame.is_painted ? "✓ " : ""}${frame.caption}`;
      return make("figure", {}, make("img", { src: frame.picture, alt: caption }), make("figcaption", {}, caption), button);
    }));
    $("#paint_numbers").value = told.frames.map((frame) => frame.number).join(", ");
    $("#painting_of").replaceChildren(make("option", { value: "" }, "as it tells itself"),
      ...told.frames.map((frame) => make("option", { value: String(frame.number) }, `frame ${frame.number}`)));
  }

  let asked = 0;
  async function preview() {
    const number = ++asked;
    const { pictures } = await call("preview", { boil: boil() });
    if (number !== asked) return;
    $("#paint_result").hidden = !pictures.length;
    $("#paint_preview").replaceChildren(...pictures.map((one) => make("figure", {}, make("img", { src: one.picture, alt: one.caption }), make("figcaption", {}, one.caption))));
  }

  dropZone($("#paint_drop"), async ([file]) => {
    if (!film.mayEnd()) return;
    const told = await upload("clip", file);
    say("");
    film.tell(null);
    $("#paint_part").hidden = $("#paint_result").hidden = true;
    state($("#paint_state"), { state: "waiting", place: 0 });
    $("#paint_facts").textContent = told.name;
  });
  dropZone($("#painting_drop"), async (files) => {
    for (const file of files) offered(await upload("painting", file, `&of=${$("#painting_of").value}`));
    say("");
    await preview();
  });
  $("#paint_choose").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      offered(await call("frames", { numbers: $("#paint_numbers").value }));
      say("");
      await preview();
    } catch { /* it was told */ }
  });
  $("#paint_boil").addEventListener("input", () => { $("#paint_boil_out").textContent = boil(); });
  $("#paint_boil").addEventListener("change", () => preview().catch(() => {}));

  return {
    film,
    clip(told) { // how far the video is looked through
      state($("#paint_state"), told.state === "ready" ? null : told);
      if (told.state === "failed") say(told.error, "alert");
      if (told.state === "ready") offered(told);
    },
  };
}
