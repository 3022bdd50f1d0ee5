// Asks for the document every few seconds while somebody can see the page, and keeps it drawn.

import { draw } from "./draw.js";
import { span } from "./words.js";

const period = Number(document.body.dataset.pollSeconds) * 1000;
const title = document.body.dataset.title;
const filter = document.getElementById("filter");
const allJobs = document.getElementById("all-jobs");
const connection = document.getElementById("connection");
const lost = document.getElementById("lost");

let status = null; // the newest document
let tag = null; // its ETag
let received = 0; // when it came, on our clock
let ahead = 0; // how far the server's clock is ahead of ours
let heard = Date.now(); // when the server last answered
let trouble = null; // why it did not
let timer = null;

function words() {
  return filter.value.toLowerCase().split(/\s+/).filter(Boolean);
}

function redraw() {
  lost.hidden = trouble === null;
  const text = trouble === null ? "" : `${trouble} Last heard ${span(Date.now() - heard)} ago; trying again.`;
  if (lost.textContent !== text) lost.textContent = text;
  document.body.classList.toggle("stale", trouble !== null);
  const state = trouble === null ? (status ? "● Live" : "Connecting") : "○ Not connected";
  if (connection.textContent !== state) connection.textContent = state;
  if (status === null) return;
  const now = Date.now();
  const seen = draw(status, { now: now + ahead, since: now - received, words: words(), allJobs: allJobs.checked });
  document.title = `${seen.failing ? `✕${seen.failing} ` : ""}${seen.live} · ${title}`;
}

async function ask() {
  const answer = await fetch("status.json", { cache: "no-cache", signal: AbortSignal.timeout(10000) });
  if (answer.status === 503) throw new Error("The gate is starting.");
  if (!answer.ok) throw new Error(`The gate answered ${answer.status}.`);
  const newest = await answer.json();
  const date = Date.parse(answer.headers.get("Date"));
  heard = Date.now();
  if (!Number.isNaN(date)) ahead = Math.abs(date - heard) < 2000 ? 0 : date - heard;
  if (tag === null || answer.headers.get("ETag") !== tag) {
    tag = answer.headers.get("ETag");
    status = newest;
    received = heard;
  }
}

async function poll() {
  timer = null;
  try {
    await ask();
    trouble = null;
  } catch (error) {
    trouble = /^The gate/.test(error.message) ? error.message : "Connection lost.";
  }
  redraw();
  plan(period);
}

// One timer at most, and none while the page is hidden.
function plan(wait) {
  if (timer !== null || document.hidden) return;
  timer = setTimeout(poll, wait);
}

function readFragment() {
  const kept = new URLSearchParams(location.hash.slice(1));
  filter.value = kept.get("filter") ?? "";
  allJobs.checked = kept.get("jobs") === "all";
}

function keepFragment() {
  const kept = new URLSearchParams();
  if (filter.value.trim()) kept.set("filter", filter.value.trim());
  if (allJobs.checked) kept.set("jobs", "all");
  history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
  redraw();
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  timer = null;
  plan(0);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && event.target !== filter && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    filter.focus();
  }
  if (event.key === "Escape" && event.target === filter) {
    filter.value = "";
    keepFragment();
  }
});
window.addEventListener("hashchange", () => {
  readFragment();
  redraw();
});
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
filter.addEventListener("input", keepFragment);
allJobs.addEventListener("change", keepFragment);

readFragment();
plan(0);
setInterval(() => document.hidden || redraw(), 1000);
