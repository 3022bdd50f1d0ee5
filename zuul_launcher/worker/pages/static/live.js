// Keeps the parts of a page that are marked `data-live` as the server draws them now, while somebody can see it, and
// shows times as the reader's clock has them. What a person opened stays open.

const PERIOD = 3000;
const lost = document.getElementById("lost");
let timer = null;

function localise(root) {
  for (const time of root.querySelectorAll("time[data-at]")) {
    const at = new Date(Number(time.dataset.at) * 1000);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

function isOver() {
  const facts = document.getElementById("facts");
  return facts !== null && !facts.hasAttribute("data-running");
}

function take(page) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = page.getElementById(old.id);
    if (now === null || old.drawn === now.innerHTML) continue;
    const opened = new Map([...old.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    old.drawn = now.innerHTML;
    for (const one of now.querySelectorAll("details[id]")) if (opened.has(one.id)) one.open = opened.get(one.id);
    localise(now);
    old.replaceChildren(...now.childNodes);
    old.toggleAttribute("data-running", now.hasAttribute("data-running"));
    if (focused) [...old.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === focused)?.focus();
  }
  document.title = page.title;
}

async function refresh() {
  timer = null;
  try {
    const answer = await fetch(location.pathname + location.search, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(String(answer.status));
    take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    lost.hidden = true;
  } catch {
    lost.textContent = "Connection lost; trying again.";
    lost.hidden = false;
  }
  plan(PERIOD);
}

// One timer at most, and none while the page is hidden or nothing can change any more.
function plan(wait) {
  if (timer === null && !document.hidden && !isOver()) timer = setTimeout(refresh, wait);
}

// The console has seen the end: draw what became of the build.
document.addEventListener("ended", () => {
  clearTimeout(timer);
  refresh();
});
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  timer = null;
  plan(0);
});
for (const part of document.querySelectorAll("[data-live]")) part.drawn = part.innerHTML;
localise(document);
plan(PERIOD);
