// A video that is rendered: its buttons, its place in the line, its progress, and what comes of it.

import { $, call, download, inLine, lasting, say, settle } from "./common.js";

export function state(part, news) { // a line with a bar; nothing where there is no news
  const bar = $("progress", part), words = $("span", part);
  bar.hidden = !news || news.state !== "running";
  if (news?.total) { bar.max = news.total; bar.value = news.done; } else bar.removeAttribute("value");
  words.textContent = !news ? "" : {
    waiting: inLine(news.place) || "Waiting for the first picture …",
    running: `${news.done} of ${news.total || "?"} frames${lasting(news.left)}`,
    done: `Done: ${news.done} frames.`, cancelled: "Cancelled: nothing was kept.", failed: news.error || "",
    lost: "The connection was lost before it was done.",
  }[news.state] || "";
}

export class Job {
  constructor(part, kind, start) {
    [this.part, this.kind] = [part, kind];
    this.isRunning = false;
    this.address = null;
    $(".run", part).addEventListener("click", async () => {
      this.tell({ state: "waiting", place: 0 });
      try { await start(); } catch (error) { this.tell({ state: "failed", error: error.message }); }
    });
    $(".cancel", part).addEventListener("click", () => call("cancel", { kind }).catch(() => {}));
    $(".mp4", part).addEventListener("click", () => download(this.address, this.name));
    $(".gif", part).addEventListener("click", async (event) => {
      event.target.disabled = true;
      try { download((await call("gif", { kind })).file); } catch { /* it was told */ } finally { event.target.disabled = false; }
    });
  }

  tell(news) {
    this.isRunning = news?.state === "waiting" || news?.state === "running";
    $(".run", this.part).disabled = this.isRunning;
    $(".cancel", this.part).hidden = !this.isRunning;
    state($(".state", this.part), news);
    const film = $(".outcome", this.part), isDone = news?.state === "done";
    $(".outcome_row", this.part).hidden = film.hidden = !isDone;
    if (isDone) [film.src, this.address, this.name] = [news.video, news.video, news.name];
    else film.removeAttribute("src");
    if (news?.state !== "failed") settle(this.kind);
    else if (this.part.checkVisibility()) say(news.error, "alert", this.kind); // else it is told where the video is
  }

  // The connection is lost: what is going on is not known. If it goes on, the server tells so when it is back.
  lose() {
    if (this.isRunning) this.tell({ state: "lost" });
  }

  // Whether the visitor lets go of what is being rendered.
  mayEnd() {
    return !this.isRunning || confirm("A video is being rendered. Stop it?");
  }
}
