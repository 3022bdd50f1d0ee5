// Looks for words in the whole console: the server says in which lines they are, and the rows that are here are marked.

const form = document.getElementById("search");
const words = document.getElementById("words");
const found = document.getElementById("found");
const buttons = [document.getElementById("previous"), document.getElementById("next")];
const MOST = 5000; // marks at once

let asked = ""; // what the matches are of
let matches = []; // [line, byte]
let more = false;
let at = -1;

function say(text) {
  found.textContent = text;
  for (const button of buttons) button.hidden = matches.length < 2;
}

function forget() {
  asked = "";
  matches = [];
  at = -1;
  say("");
  CSS.highlights?.delete("found");
  for (const row of document.querySelectorAll(".row.at")) row.classList.remove("at");
}

async function ask() {
  say("…");
  const answer = await fetch(`console/search?${new URLSearchParams({ q: words.value })}`, { signal: AbortSignal.timeout(60000) });
  if (!answer.ok) throw new Error(String(answer.status));
  const told = await answer.json();
  asked = words.value;
  matches = told.matches;
  more = told.more;
  at = -1;
}

async function move(step, goTo) {
  if (!words.value) return forget();
  try {
    if (asked !== words.value) await ask();
  } catch {
    matches = [];
    return say("cannot be looked for now");
  }
  if (!matches.length) {
    mark(document.getElementById("lines"));
    return say("nothing");
  }
  at = at < 0 ? (step > 0 ? 0 : matches.length - 1) : (at + step + matches.length) % matches.length;
  say(`${at + 1} of ${matches.length}${more ? "+" : ""}`);
  await goTo(matches[at][0], "at");
}

// Mark the words in the rows that are here.
export function mark(lines) {
  if (!CSS.highlights) return;
  const sought = asked.toLowerCase();
  if (!sought) return void CSS.highlights.delete("found");
  const marks = new Highlight();
  const walker = document.createTreeWalker(lines, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node && marks.size < MOST; node = walker.nextNode()) {
    if (node.parentElement.closest("a, time")) continue;
    const text = node.data.toLowerCase();
    if (text.length !== node.data.length) continue; // some letters change their length
    for (let from = text.indexOf(sought); from >= 0; from = text.indexOf(sought, from + sought.length)) {
      const range = new Range();
      range.setStart(node, from);
      range.setEnd(node, from + sought.length);
      marks.add(range);
    }
  }
  CSS.highlights.set("found", marks);
}

export function search(goTo) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    move(1, goTo);
  });
  buttons[0].addEventListener("click", () => move(-1, goTo));
  words.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      move(-1, goTo);
    }
    if (event.key === "Escape") {
      words.value = "";
      forget();
    }
  });
  words.addEventListener("input", () => words.value || forget());
  document.addEventListener("keydown", (event) => {
    const isTyped = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isTyped && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      words.focus();
    }
  });
}
