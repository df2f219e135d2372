"use strict";

// The gallery: a chip shows the clips of its group. It opens on the first group; without scripts, on all.
const chips = [...document.querySelectorAll("[data-show]")];
const cards = [...document.querySelectorAll("[data-groups]")];
function show(group) {
  for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.show === group));
  for (const card of cards) card.hidden = Boolean(group) && !card.dataset.groups.split(" ").includes(group);
}
for (const chip of chips) chip.addEventListener("click", () => show(chip.dataset.show));
if (chips.length > 1) show(chips[1].dataset.show);

// Players: one at a time. A stem plays with the clip's picture, muted, beside it.
document.documentElement.classList.add("scripted");
const players = [...document.querySelectorAll("video, audio")];
function silence(except) {
  for (const player of players) if (!except.includes(player)) player.pause();
}
for (const card of cards) {
  const video = card.querySelector("video");
  if (!video) continue;
  let soloing = false;
  video.addEventListener("play", () => {
    if (soloing) return;
    video.muted = false;
    silence([video]);
  });
  for (const stem of card.querySelectorAll(".stem")) {
    const [button, audio, played] = ["button", "audio", ".played"].map((name) => stem.querySelector(name));
    const width = stem.querySelector(".wave").viewBox.baseVal.width;
    button.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
    audio.addEventListener("play", () => {
      soloing = true;
      silence([video, audio]);
      button.setAttribute("aria-pressed", "true");
      video.muted = true;
      video.currentTime = audio.currentTime;
      video.play().finally(() => { soloing = false; });
    });
    audio.addEventListener("pause", () => {
      button.setAttribute("aria-pressed", "false");
      if (video.muted) video.pause();
    });
    audio.addEventListener("timeupdate", () => {
      played.setAttribute("width", audio.duration ? (width * audio.currentTime) / audio.duration : 0);
    });
  }
}

// Thresholds: how many clips another one would pass. Edge i stands between the bins i - 1 and i.
const scores = JSON.parse(document.getElementById("thresholds").textContent);
const sum = (counts) => counts.reduce((total, count) => total + count, 0);
const text = (value) => Number(value.toPrecision(4)).toLocaleString("en").replace("-", "\u2212");
for (const figure of document.querySelectorAll("[data-score]")) {
  const { edges, kept, others, keeps } = scores[figure.dataset.score];
  const [slider, output, line] = ["input", "output", ".threshold"].map((name) => figure.querySelector(name));
  const initial = output.textContent;
  const start = slider.value;
  const columns = [...figure.querySelectorAll("[data-bin]")];
  function judge() {
    // Only the inner edges count exactly: the outer bins also hold what lies beyond them.
    const edge = Math.min(Math.max(Number(slider.value), 1), edges.length - 2);
    const passing = (counts) => sum(keeps === "at_least" ? counts.slice(edge) : counts.slice(0, edge));
    const [stay, pass] = [passing(kept), passing(kept) + passing(others)];
    line.setAttribute("x1", edge);
    line.setAttribute("x2", edge);
    for (const column of columns) {
      column.classList.toggle("lost", keeps === "at_least" ? column.dataset.bin < edge : column.dataset.bin >= edge);
    }
    const word = initial.includes("audible") ? "are audible" : "pass";
    output.textContent = edge === Number(start) ? initial
      : `${keeps === "at_least" ? "\u2265" : "\u2264"} ${text(edges[edge])}: ${pass.toLocaleString("en")} of ` +
        `${(sum(kept) + sum(others)).toLocaleString("en")} ${word}, ${stay.toLocaleString("en")} of the ` +
        `${sum(kept).toLocaleString("en")} kept`;
  }
  slider.addEventListener("input", judge);
  judge();
}
