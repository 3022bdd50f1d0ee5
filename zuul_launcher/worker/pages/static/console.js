// A window on a console that may be very long: some blocks of lines are there, more come as the reader moves, and those
// far away go. While the build runs and somebody can see the page, its end is asked for once a second.

import { mark, search } from "./find.js";
import { Block } from "./rows.js";

const PERIOD = 1000;
const BLOCKS = 8; // that are there at once
const FULL = 1000; // lines, from which on a new block begins
const FAR = 1024 * 1024; // bytes behind: go to the end at once
const NEAR = 300; // pixels from an edge: get what is beyond

const place = document.getElementById("window");
const lines = document.getElementById("lines");
const earlier = document.getElementById("earlier");
const later = document.getElementById("later");
const follow = document.getElementById("follow");
const times = document.getElementById("times");
const end = document.getElementById("end");

let blocks = [];
let size = 0; // of the console, as last heard
let running = true;
let heard = false;
let timer = null;
let turn = Promise.resolve(); // requests go one after the other

const first = () => blocks[0];
const last = () => blocks[blocks.length - 1];
const isAttached = () => !blocks.length || last().end >= size;
const isAtBottom = () => place.scrollHeight - place.scrollTop - place.clientHeight < 40;

async function ask(query) {
  const answer = await fetch(`console/part${query}`, { cache: "no-store", signal: AbortSignal.timeout(30000) });
  if (!answer.ok) throw new Error(String(answer.status));
  const part = await answer.json();
  size = part.size;
  if (running && !part.running) {
    running = false;
    if (heard) document.dispatchEvent(new Event("ended"));
  }
  heard = true;
  return part;
}

function inTurn(work) {
  turn = turn.then(work).then(
    () => say(),
    () => say("Connection lost; trying again."),
  );
  return turn;
}

function say(trouble = "") {
  const top = lines.offsetTop;
  earlier.hidden = !blocks.length || first().start === 0;
  place.scrollTop += lines.offsetTop - top; // what is read stays where it is
  later.hidden = isAttached();
  const state = running ? (later.hidden ? "Running …" : "") : size === 0 ? "Nothing was written." : "";
  const text = trouble || state;
  if (end.textContent !== text) end.textContent = text;
  follow.parentElement.hidden = !running;
  mark(lines);
}

function show(part) {
  const block = new Block(part.start, part.line);
  block.add(part);
  blocks = [block];
  lines.replaceChildren(block.element);
}

function append(part) {
  if (!part.lines.length) return;
  let block = last();
  if (!block) return show({ ...part, line: part.line ?? 1 });
  if (block.count >= FULL && block.open === null) {
    const style = block.style;
    block = new Block(part.start, block.line + block.count);
    block.style = { ...style };
    blocks.push(block);
    lines.append(block.element);
  }
  block.add(part);
  while (blocks.length > BLOCKS) {
    const height = place.scrollHeight;
    blocks.shift().element.remove();
    place.scrollTop -= height - place.scrollHeight;
  }
}

function prepend(part) {
  if (!part.lines.length) return;
  const height = place.scrollHeight;
  const block = new Block(part.start, first().line - part.lines.length);
  block.add(part);
  blocks.unshift(block);
  lines.prepend(block.element);
  place.scrollTop += place.scrollHeight - height;
  while (blocks.length > BLOCKS) blocks.pop().element.remove();
}

const toBottom = () => { place.scrollTop = place.scrollHeight; };

async function showTail() {
  show(await ask(""));
  toBottom();
}

const loadEarlier = () =>
  inTurn(async () => {
    if (blocks.length && first().start > 0) prepend(await ask(`?before=${first().start}`));
  });

const loadLater = () =>
  inTurn(async () => {
    if (!isAttached()) append(await ask(`?from=${last().end}`));
  });

async function poll() {
  if (!isAttached() && !follow.checked) return void (await ask(`?from=${size}`)); // only: does it run, how long is it
  const part = await ask(`?from=${blocks.length ? last().end : 0}`);
  if (follow.checked && part.size - part.end > FAR) return showTail();
  if (!follow.checked && blocks.length >= BLOCKS) return;
  append(part);
  if (follow.checked) toBottom();
  if (part.lines.length && part.end < part.size && follow.checked) await poll();
}

// One timer at most, and none while the page is hidden or the build is over and all of it is here.
function plan(wait) {
  if (timer !== null || document.hidden || !(running || (follow.checked && !isAttached()))) return;
  timer = setTimeout(async () => {
    await inTurn(poll);
    timer = null;
    plan(PERIOD);
  }, wait);
}

function has(line) {
  return blocks.length > 0 && line >= first().line && line < last().line + last().count;
}

// Show a line, wherever it is; `kind`: the class that it alone has.
export function goTo(line, kind) {
  follow.checked = false;
  return inTurn(async () => {
    if (!has(line)) show(await ask(`?line=${line}`));
    for (const other of lines.querySelectorAll(`.${kind}`)) other.classList.remove(kind);
    const row = document.getElementById(`L${line}`);
    row?.classList.add(kind);
    row?.scrollIntoView({ block: "center" });
  });
}

function wantedLine() {
  const found = /^#L([1-9]\d{0,11})$/.exec(location.hash);
  return found ? Number(found[1]) : null;
}

place.addEventListener("scroll", () => {
  if (!isAtBottom()) follow.checked = false;
  else if (running && isAttached()) follow.checked = true;
  if (!earlier.hidden && place.scrollTop < NEAR) earlier.click();
  if (!later.hidden && place.scrollHeight - place.scrollTop - place.clientHeight < NEAR) later.click();
});
earlier.addEventListener("click", () => {
  if (!earlier.disabled) {
    earlier.disabled = true;
    loadEarlier().then(() => { earlier.disabled = false; });
  }
});
later.addEventListener("click", () => {
  if (!later.disabled) {
    later.disabled = true;
    loadLater().then(() => { later.disabled = false; });
  }
});
follow.addEventListener("change", () => {
  if (!follow.checked) return;
  inTurn(showTail);
  plan(0);
});
times.addEventListener("change", () => {
  lines.classList.toggle("times", times.checked);
  localStorage.setItem("times", times.checked ? "shown" : "");
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) plan(0);
});
window.addEventListener("hashchange", () => {
  const line = wantedLine();
  if (line !== null) goTo(line, "target");
});

times.checked = localStorage.getItem("times") === "shown";
lines.classList.toggle("times", times.checked);
search(goTo);
const line = wantedLine();
if (line === null) {
  follow.checked = true;
  inTurn(showTail).then(() => plan(PERIOD));
} else goTo(line, "target").then(() => plan(PERIOD));
