// Lines of a console as rows: number, time, text. Outside text goes through textContent and nothing else.

import { fresh, pieces } from "./ansi.js";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// A colour for text on a ground of its own, if the text has none.
function readable({ classes, ground }) {
  if (classes.some((name) => /^f\d/.test(name))) return "";
  const [red, green, blue] = ground.match(/\d+/g).map(Number);
  return 0.3 * red + 0.59 * green + 0.11 * blue > 128 ? "black" : "white";
}

function row(number, line, time, style) {
  const element = document.createElement("div");
  element.className = "row";
  element.id = `L${number}`;
  const link = document.createElement("a");
  link.href = `#L${number}`;
  link.textContent = String(number);
  const when = document.createElement("time");
  if (time !== null) {
    const at = new Date(time);
    when.textContent = clock.format(at);
    when.dateTime = when.title = at.toISOString();
  }
  const text = document.createElement("span");
  for (const piece of pieces(line, style)) {
    if (!piece.classes.length && !piece.ink && !piece.ground) {
      text.append(piece.text);
      continue;
    }
    const span = document.createElement("span");
    span.className = piece.classes.join(" ");
    if (piece.ink || piece.ground) span.style.color = piece.ink ?? readable(piece);
    if (piece.ground) span.style.backgroundColor = piece.ground;
    span.textContent = piece.text;
    text.append(span);
  }
  element.append(link, when, text);
  return element;
}

// Some lines that follow each other, from byte `start` to `end`. A last line that goes on is kept as it came.
export class Block {
  constructor(start, line) {
    this.start = this.end = start;
    this.line = line; // number of the first one
    this.count = 0;
    this.open = null; // {text, time, style} of a last line that goes on
    this.style = fresh();
    this.element = document.createElement("div");
    this.element.className = "block";
  }

  add(part) {
    const rows = [];
    part.lines.forEach((line, position) => {
      let time = part.times[position];
      let whole = line;
      if (position === 0 && this.open !== null) {
        whole = this.open.text + line;
        time = this.open.time ?? time;
        this.style = this.open.style;
        this.element.lastElementChild?.remove();
        this.count -= 1;
        this.open = null;
      }
      if (part.is_open && position === part.lines.length - 1)
        this.open = { text: whole, time, style: { ...this.style } };
      rows.push(row(this.line + this.count, whole, time, this.style));
      this.count += 1;
    });
    this.element.append(...rows);
    this.end = part.end;
  }
}
