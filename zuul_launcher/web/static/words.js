// Words for what the document says: pure functions, data in, text out.

const OVERRIDES = /[\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g;

// Outside text for showing: characters that would turn the text around it are made visible.
export function plain(text) {
  return String(text ?? "").replace(OVERRIDES, "\ufffd");
}

// The address if a browser may follow it, else null.
export function safeUrl(url) {
  if (typeof url !== "string" || !/^https?:\/\//i.test(url)) return null;
  try {
    return new URL(url).href;
  } catch {
    return null;
  }
}

export function span(milliseconds) {
  const seconds = Math.max(Math.floor(milliseconds / 1000), 0);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)} d`;
  if (hours) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return minutes ? `${minutes} min` : `${seconds} s`;
}

export function count(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}

// How a job stands: a class for the style sheet, a mark and a word, so that colour is never needed.
export function jobState(job) {
  if (job.result === "SUCCESS") return { kind: "good", mark: "✓", word: "SUCCESS" };
  if (job.result === "SKIPPED") return { kind: "off", mark: "–", word: "SKIPPED" };
  if (job.result) return { kind: job.voting ? "bad" : "odd", mark: "✕", word: plain(job.result) };
  if (job.start_time !== null) return { kind: "busy", mark: "▸", word: "running" };
  if (job.uuid) return { kind: "open", mark: "◦", word: "launched" };
  return { kind: "open", mark: "◦", word: "waiting" };
}

export function itemState(item) {
  if (!item.live) return { kind: "off", mark: "↳", word: "dependency" };
  const states = item.jobs.map(jobState);
  if (item.failing_reasons.length || states.some((state) => state.kind === "bad"))
    return { kind: "bad", mark: "✕", word: "failing" };
  if (states.length && item.jobs.every((job) => job.result)) return { kind: "good", mark: "✓", word: "passed" };
  if (!item.active) return { kind: "open", mark: "◦", word: "outside the window" };
  if (item.jobs.some((job) => job.uuid || job.result)) return { kind: "busy", mark: "▸", word: "testing" };
  return { kind: "open", mark: "⋯", word: "preparing" };
}

// "3 of 5 jobs, 1 failed"
export function jobCount(item) {
  const done = item.jobs.filter((job) => job.result).length;
  const failed = item.jobs.filter((job) => jobState(job).mark === "✕").length;
  const words = `${done} of ${count(item.jobs.length, "job", "jobs")}`;
  return failed ? `${words}, ${failed} failed` : words;
}

// Does every word of the filter stand in something that names this item?
export function matches(words, pipeline, queue, item) {
  if (!words.length) return true;
  const owner = item.owner ?? {};
  const names = [pipeline.name, queue.name, item.id, item.project, owner.name, owner.username, owner.email];
  const text = [...names, itemState(item).word, ...item.jobs.map((job) => job.name)].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}
