// Draws a document. Elements are kept from one drawing to the next, so that focus, selection and what a person has
// opened stay. Outside text goes through textContent and nothing else.

import { count, itemState, jobCount, jobState, matches, plain, safeUrl, span } from "./words.js";

const children = new WeakMap(); // parent -> Map of key -> its element
const parts = new WeakMap(); // element -> its named parts

function make(tag, kind, ...inside) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...inside);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

function mark(element, kind) {
  if (element.className !== kind) element.className = kind;
}

function link(element, text, url) {
  const address = safeUrl(url);
  say(element, plain(text));
  if (!address) element.removeAttribute("href");
  else if (element.href !== address) element.href = address;
}

// Make the elements under `parent` those of `things`, in order; an element follows its key.
function keyed(parent, things, keyOf, create, update) {
  const before = children.get(parent) ?? new Map();
  const now = new Map();
  things.forEach((thing, position) => {
    let key = keyOf(thing);
    while (now.has(key)) key += "'";
    const element = before.get(key) ?? create();
    now.set(key, element);
    update(element, thing, position);
    if (parent.children[position] !== element) parent.insertBefore(element, parent.children[position] ?? null);
  });
  for (const [key, element] of before) if (!now.has(key)) element.remove();
  children.set(parent, now);
}

function makeJob() {
  const it = { mark: make("span", "mark"), name: make("a", "name"), bar: make("progress"), word: make("span", "word") };
  it.mark.setAttribute("aria-hidden", "true");
  const element = make("li", "job", it.mark, it.name, it.bar, it.word);
  parts.set(element, it);
  return element;
}

function drawJob(element, job, since) {
  const it = parts.get(element);
  const state = jobState(job);
  const running = state.kind === "busy";
  mark(element, `job ${state.kind}`);
  say(it.mark, state.mark);
  link(it.name, job.name, (job.result && safeUrl(job.report_url)) || job.url);
  const elapsed = (job.elapsed_time ?? 0) + (running ? since : 0);
  const remaining = job.remaining_time === null ? null : Math.max(job.remaining_time - (running ? since : 0), 0);
  let word = state.word;
  if (running) word = `${span(elapsed)}${remaining === null ? "" : remaining ? ` · ${span(remaining)} left` : " · overdue"}`;
  else if (job.end_time !== null && job.elapsed_time !== null) word += ` · ${span(elapsed)}`;
  say(it.word, job.voting ? word : `${word} · non-voting`);
  it.bar.hidden = !running;
  if (running && remaining !== null) {
    it.bar.max = Math.max(elapsed + remaining, 1);
    it.bar.value = elapsed;
  } else it.bar.removeAttribute("value");
  it.bar.setAttribute("aria-label", plain(job.name));
  element.title = job.worker && job.worker.name !== "Unknown" ? `on ${plain(job.worker.name)}` : "";
}

function makeItem() {
  const it = {
    mark: make("span", "mark"),
    id: make("a", "id"),
    project: make("span", "project"),
    left: make("span", "left"),
    state: make("span", "state"),
    facts: make("span", "facts"),
    segments: make("span", "segments"),
    reasons: make("ul", "reasons"),
    jobs: make("ol", "jobs"),
    chosen: null, // what a person wants: open or not
  };
  it.mark.setAttribute("aria-hidden", "true");
  it.segments.setAttribute("aria-hidden", "true");
  const title = make("span", "title", it.id, it.project, it.left);
  const summary = make("summary", "", it.mark, title, make("span", "under", it.state, it.facts), it.segments);
  it.details = make("details", "", summary, it.reasons, it.jobs);
  summary.addEventListener("click", (event) => {
    if (!event.target.closest("a[href]")) it.chosen = !it.details.open;
  });
  const element = make("li", "item", it.details);
  parts.set(element, it);
  return element;
}

function drawItem(element, item, place) {
  const it = parts.get(element);
  const state = itemState(item);
  mark(element, `item ${state.kind}${place.side ? " side" : ""}${place.last ? " last" : ""}`);
  say(it.mark, state.mark);
  link(it.id, item.id === null ? "timer" : /^[0-9a-f]{40}$/.test(item.id) ? item.id.slice(0, 10) : item.id, item.url);
  say(it.project, plain(item.project));
  const left = item.remaining_time === null ? null : Math.max(item.remaining_time - place.since, 0);
  say(it.left, left && state.word === "testing" ? `${span(left)} left` : "");
  say(it.state, item.jobs.length ? `${state.word} · ${jobCount(item)}` : state.word);
  const owner = item.owner ? plain(item.owner.name || item.owner.username || item.owner.email) : "";
  const ahead = place.behind ? `on top of ${plain(item.item_ahead)}` : "";
  say(it.facts, [owner, `${span(place.now - item.enqueue_time)} ago`, ahead].filter(Boolean).join(" · "));
  keyed(it.segments, item.jobs, (job) => job.name, () => make("i"), (segment, job) => mark(segment, jobState(job).kind));
  keyed(it.reasons, item.failing_reasons, String, () => make("li"), (line, reason) => say(line, plain(reason)));
  it.reasons.hidden = !item.failing_reasons.length;
  keyed(it.jobs, item.jobs, (job) => job.name, makeJob, (line, job) => drawJob(line, job, place.since));
  const open = it.chosen ?? (place.allJobs || state.kind === "bad" || place.first);
  if (it.details.open !== open) it.details.open = open;
}

const itemKey = (item) => `${item.project} ${item.id} ${item.enqueue_time}`;

function makeQueue() {
  const it = { name: make("h3"), items: make("ol", "items") };
  const element = make("section", "queue", it.name, it.items);
  parts.set(element, it);
  return element;
}

function drawQueue(element, queue, view) {
  const it = parts.get(element);
  const own = queue.window === 0 && queue.rows.every((row) => row.item.project === queue.name);
  const window = queue.window ? ` · window ${queue.window}` : "";
  say(it.name, own ? "" : `${plain(queue.name)}${window}`);
  keyed(it.items, queue.rows, (row) => itemKey(row.item), makeItem, (line, row) => drawItem(line, row.item, { ...view, ...row }));
}

function makePipeline() {
  const it = { name: make("h2"), count: make("span", "count"), about: make("p", "about"), queues: make("div") };
  const element = make("section", "pipeline", make("div", "head", it.name, it.count), it.about, it.queues);
  parts.set(element, it);
  return element;
}

function drawPipeline(element, pipeline, view) {
  const it = parts.get(element);
  say(it.name, plain(pipeline.name));
  say(it.count, count(pipeline.size, "item", "items"));
  say(it.about, plain(pipeline.description));
  const key = (queue) => (queue.alone ? queue.name : `${queue.name} ${itemKey(queue.rows[0].item)}`);
  keyed(it.queues, pipeline.queues, key, makeQueue, (section, queue) => drawQueue(section, queue, view));
}

// The items of a queue that are to be shown, with their place in the tree.
function rowsOf(pipeline, queue, words) {
  const rows = [];
  for (const head of queue.heads)
    head.forEach((item, position) => {
      const before = head[position - 1];
      rows.push({
        item,
        first: item.live && !rows.some((row) => row.first),
        side: item.items_behind.length === 0 && position < head.length - 1,
        last: position === head.length - 1,
        behind: Boolean(before) && item.item_ahead !== null && item.item_ahead !== before.id,
      });
    });
  return rows.filter((row) => matches(words, pipeline, queue, row.item));
}

function shownPipelines(status, words) {
  return status.pipelines.map((pipeline) => {
    const alone = (queue) => pipeline.change_queues.filter((other) => other.name === queue.name).length === 1;
    const all = pipeline.change_queues.map((queue) => ({ ...queue, alone: alone(queue), rows: rowsOf(pipeline, queue, words) }));
    const queues = all.filter((queue) => queue.rows.length);
    return { ...pipeline, queues, size: queues.reduce((sum, queue) => sum + queue.rows.filter((row) => row.item.live).length, 0) };
  });
}

// view: now (epoch ms on the server's clock), since (ms the document is old), words (of the filter), allJobs.
// Returns what the title of the window tells.
export function draw(status, view) {
  const find = (id) => document.getElementById(id);
  const pipelines = shownPipelines(status, view.words);
  const busy = pipelines.filter((pipeline) => pipeline.queues.length);
  const idle = status.pipelines.filter((pipeline) => pipeline.change_queues.every((queue) => !queue.heads.length));
  keyed(find("pipelines"), busy, (pipeline) => pipeline.name, makePipeline, (section, pipeline) => drawPipeline(section, pipeline, view));
  keyed(find("idle").querySelector("ul"), idle, (pipeline) => pipeline.name, () => make("li"), (line, pipeline) => {
    say(line, plain(pipeline.name));
    line.title = plain(pipeline.description);
  });
  find("idle").hidden = !idle.length;
  const errors = status.errors ?? [];
  keyed(find("errors").querySelector("ul"), errors, String, () => make("li"), (line, error) => say(line, plain(error)));
  find("errors").hidden = !errors.length;
  say(find("message"), plain((status.message ?? "").replace(/<\/?[a-z]+>/g, "")));
  const items = busy.flatMap((pipeline) => pipeline.queues.flatMap((queue) => queue.rows.map((row) => row.item)));
  const live = items.filter((item) => item.live);
  const failing = live.filter((item) => itemState(item).kind === "bad").length;
  const waiting = status.trigger_event_queue.length + status.result_event_queue.length;
  const totals = [count(live.length, "item", "items"), failing ? `${failing} failing` : "", waiting ? `${count(waiting, "event", "events")} to do` : ""];
  say(find("totals"), totals.filter(Boolean).join(" · "));
  const none = view.words.length ? `Nothing matches “${plain(view.words.join(" "))}”.` : "All quiet: nothing is queued.";
  say(find("nothing"), busy.length ? "" : none);
  const loaded = status.last_reconfigured ? ` · layout loaded ${span(view.now - status.last_reconfigured)} ago` : "";
  say(find("about"), `zuul-launcher ${plain(status.zuul_version)}${loaded}`);
  return { live: live.length, failing };
}
