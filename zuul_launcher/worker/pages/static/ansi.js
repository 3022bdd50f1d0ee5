// Text with escape sequences (ECMA-48) into pieces of plain text, each with classes and colours. Pure. Sequences that do
// not set a colour or a weight are left out; what overwrites its line with carriage returns shows its last words.

const SEQUENCE = /\u001b(?:\[([0-?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\^_])/g;
const ODD = /[\u0000-\u0008\u000b-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g;
const LEVELS = [0, 95, 135, 175, 215, 255];

export function fresh() {
  return { ink: null, ground: null, strong: false, faint: false, slanted: false, under: false, struck: false, turned: false };
}

// Outside text for showing: letters that would turn the text around them are made visible.
function plain(text) {
  return text.replace(ODD, "\ufffd");
}

function lastWords(line) {
  const whole = line.endsWith("\r") ? line.slice(0, -1) : line;
  return whole.slice(whole.lastIndexOf("\r") + 1);
}

// [{text, classes, ink, ground}]; `style` is where the line before has left off, and is taken further.
export function pieces(line, style) {
  const shown = lastWords(line);
  const found = [];
  let from = 0;
  for (const match of shown.matchAll(SEQUENCE)) {
    add(found, shown.slice(from, match.index), style);
    if (match[2] === "m") set(style, match[1]);
    from = match.index + match[0].length;
  }
  add(found, shown.slice(from), style);
  return found;
}

function add(found, text, style) {
  if (!text) return;
  const classes = ["strong", "faint", "slanted", "under", "struck", "turned"].filter((name) => style[name]);
  if (typeof style.ink === "number") classes.push(`f${style.ink}`);
  if (typeof style.ground === "number") classes.push(`g${style.ground}`);
  const own = (colour) => (typeof colour === "string" ? colour : null);
  found.push({ text: plain(text), classes, ink: own(style.ink), ground: own(style.ground) });
}

function set(style, parameters) {
  const codes = parameters.split(/[;:]/).map((code) => Number(code || 0));
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) Object.assign(style, fresh());
    else if (code === 1) style.strong = true;
    else if (code === 2) style.faint = true;
    else if (code === 3) style.slanted = true;
    else if (code === 4) style.under = true;
    else if (code === 7) style.turned = true;
    else if (code === 9) style.struck = true;
    else if (code === 22) style.strong = style.faint = false;
    else if (code === 23) style.slanted = false;
    else if (code === 24) style.under = false;
    else if (code === 27) style.turned = false;
    else if (code === 29) style.struck = false;
    else if (code >= 30 && code <= 37) style.ink = code - 30;
    else if (code === 39) style.ink = null;
    else if (code >= 40 && code <= 47) style.ground = code - 40;
    else if (code === 49) style.ground = null;
    else if (code >= 90 && code <= 97) style.ink = code - 82;
    else if (code >= 100 && code <= 107) style.ground = code - 92;
    else if (code === 38 || code === 48) {
      const [colour, used] = own(codes.slice(at + 1));
      if (colour !== undefined) style[code === 38 ? "ink" : "ground"] = colour;
      at += used;
    }
  }
}

// What follows 38 or 48: a colour of the table, or red, green and blue. [colour, how many codes it took]
function own(codes) {
  const byte = (value) => Number.isInteger(value) && value >= 0 && value <= 255;
  if (codes[0] === 5 && byte(codes[1])) return [table(codes[1]), 2];
  if (codes[0] === 2 && codes.slice(1, 4).length === 3 && codes.slice(1, 4).every(byte))
    return [`rgb(${codes.slice(1, 4).join(" ")})`, 4];
  return [undefined, codes.length];
}

function table(index) {
  if (index < 16) return index;
  if (index >= 232) return `rgb(${Array(3).fill(8 + 10 * (index - 232)).join(" ")})`;
  const cube = index - 16;
  return `rgb(${[Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((level) => LEVELS[level]).join(" ")})`;
}
