"use strict";

const { secret, file, clips } = JSON.parse(document.getElementById("data").textContent);
const [picture, stem, trouble] = ["picture", "stem", "trouble"].map((name) => document.getElementById(name));
const tracks = [...document.querySelectorAll("[data-track]")];
const verdicts = [...document.querySelectorAll("[data-label]")];
let place = Math.max(0, clips.findIndex((clip) => !clip.label));
let track = "";

// A stem sounds beside the muted picture, which leads: it is what the controls move.
function hear(name) {
  if (name && !clips[place].stems) return;
  track = name;
  for (const button of tracks) button.setAttribute("aria-pressed", String(button.dataset.track === track));
  picture.muted = Boolean(track);
  stem.pause();
  if (!track) return;
  stem.src = `/media/${clips[place].id}/${track}.flac`;
  stem.currentTime = picture.currentTime;
  if (!picture.paused) play(stem);
}
function play(player) {
  player.play().catch((error) => {
    // A browser plays nothing by itself before the first key; a clip that was left behind was stopped by us.
    if (error.name !== "NotAllowedError" && error.name !== "AbortError") trouble.textContent = `${error.message}`;
  });
}
picture.addEventListener("play", () => { if (track) play(stem); });
picture.addEventListener("pause", () => stem.pause());
picture.addEventListener("seeked", () => { if (track) stem.currentTime = picture.currentTime; });
for (const player of [picture, stem]) {
  player.addEventListener("error", () => { trouble.textContent = "This clip's media cannot be played."; });
}

function mark() {
  for (const button of verdicts) button.setAttribute("aria-pressed", String(button.dataset.label === clips[place].label));
  const done = clips.filter((clip) => clip.label).length;
  document.getElementById("progress").textContent = `clip ${place + 1} of ${clips.length} · ${done} labelled in ${file}`;
}
function show(next) {
  place = Math.min(Math.max(next, 0), clips.length - 1);
  const clip = clips[place];
  trouble.textContent = "";
  for (const name of ["name", "kind"]) document.getElementById(name).textContent = clip[name];
  document.getElementById("scores").replaceChildren(...clip.scores.map(([title, value]) => {
    const row = document.createElement("tr");
    const cells = [document.createElement("th"), document.createElement("td")];
    [cells[0].textContent, cells[1].textContent] = [title, value];
    row.append(...cells);
    return row;
  }));
  for (const button of tracks) button.disabled = Boolean(button.dataset.track) && !clip.stems;
  stem.removeAttribute("src");
  picture.src = `/media/${clip.id}/mp4`;
  hear("");
  play(picture);
  mark();
}
function unlabelled() {
  const order = clips.map((_, step) => (place + 1 + step) % clips.length);
  return order.find((index) => !clips[index].label) ?? place;
}

// Labels are sent one after the other, so that the one given last is the one that stays.
let written = Promise.resolve();

// The next clip comes at once, so that the hand need not wait for the disk; a label that was not kept comes back.
function label(name) {
  const labelled = clips[place];
  labelled.kept ??= labelled.label;
  labelled.label = name;
  const turn = labelled.turn = (labelled.turn ?? 0) + 1;
  if (name) show(unlabelled()); else mark();
  written = written.then(() => send(labelled, name, turn));
}

async function send(labelled, name, turn) {
  const headers = { "Content-Type": "application/json", "X-Demix-Secret": secret };
  const body = JSON.stringify({ clip: labelled.id, label: name });
  try {
    const answer = await fetch("/label", { method: "POST", headers, body });
    if (!answer.ok) throw new Error(await answer.text());
    labelled.kept = name;
  } catch (error) {
    if (labelled.turn === turn) labelled.label = labelled.kept;  // else a later label is on its way
    mark();
    trouble.textContent = `The label of ${labelled.name} was not written: ${error.message}`;
  }
}

const keys = {
  g: () => label("good"), b: () => label("bad"), u: () => label(""), n: () => show(unlabelled()),
  s: () => { const numbers = document.getElementById("numbers"); numbers.open = !numbers.open; },
  arrowleft: () => show(place - 1), arrowright: () => show(place + 1),
  1: () => hear(""), 2: () => hear("speech"), 3: () => hear("effects"), 4: () => hear("music"),
  " ": () => (picture.paused ? play(picture) : picture.pause()),
};
document.addEventListener("keydown", (event) => {
  const action = keys[event.key.toLowerCase()];
  if (!action || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  event.preventDefault();
  action();
});
for (const button of tracks) button.addEventListener("click", () => hear(button.dataset.track));
for (const button of verdicts) button.addEventListener("click", () => label(button.dataset.label));
show(place);
