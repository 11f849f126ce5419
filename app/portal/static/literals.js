// Texts as each language writes them, so that what was typed arrives as it was typed.

// What an editor may change or not show: controls, format characters (zero width, right to left) and line separators.
const HIDDEN = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu;
const NOT_ASCII = /[^\x20-\x7e\n]/gu;

const unit = (code) => "\\u" + code.toString(16).padStart(4, "0");
const units = (character) => character.split("").map((one) => unit(one.charCodeAt(0))).join("");

/** JSON on several lines; whatever does not show is escaped. */
export function json(value) {
  return JSON.stringify(value, null, 2).replace(HIDDEN, units);
}

/** The same with ASCII only, for sources whose encoding nobody declares. */
export function asciiJson(value) {
  return JSON.stringify(value, null, 2).replace(NOT_ASCII, units);
}

/** A word of a POSIX shell: between single quotes everything but a single quote is itself. */
export function shell(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

/** PHP and Ruby agree on single quotes: only a backslash and a single quote are escaped. */
export function single(text) {
  return "'" + text.replace(/[\\']/g, "\\$&") + "'";
}

/** A string of Java, JavaScript, Go or C#, where JSON's escapes mean the same. ASCII, on one line. */
export function quoted(text) {
  return JSON.stringify(text).replace(NOT_ASCII, units);
}

/** A verbatim string of C#: everything but a double quote is itself. */
export function verbatim(text) {
  return '@"' + text.replaceAll('"', '""') + '"';
}

/** JSON as a raw string of Go, which has no escapes: a backtick is one of JSON's. */
export function raw(text) {
  return "`" + text.replaceAll("`", "\\u0060") + "`";
}

/** JSON as Java has to write it on several lines: Java 11 has no text blocks. */
export function javaLines(text, indent) {
  return text
    .split("\n")
    .map(quoted)
    .join("\n" + indent + "+ ");
}

/** A value as Python writes it. */
export function python(value, indent = "") {
  const deeper = indent + "    ";
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return pythonString(value);
  if (Array.isArray(value)) {
    return between("[", value.map((item) => python(item, deeper)), "]", indent);
  }
  if (typeof value === "object") {
    const items = Object.entries(value).map(([name, item]) => `${pythonString(name)}: ${python(item, deeper)}`);
    return between("{", items, "}", indent);
  }
  return JSON.stringify(value);
}

function between(open, items, close, indent) {
  if (items.length === 0) return open + close;
  return `${open}\n${items.map((item) => `${indent}    ${item},\n`).join("")}${indent}${close}`;
}

/** A string of Python. Its `\u` knows no surrogate pairs, so that a character beyond U+FFFF gets `\U`. */
export function pythonString(text) {
  const escaped = text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\r", "\\r").replaceAll("\t", "\\t");
  return '"' + escaped.replace(/[\u0000-\u001f\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, pythonEscape) + '"';
}

function pythonEscape(character) {
  const code = character.codePointAt(0);
  return code > 0xffff ? "\\U" + code.toString(16).padStart(8, "0") : unit(code);
}
