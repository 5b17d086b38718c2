/** What the address of a form fills in: "?cfg_path=a&recipe={...}"; a text that is JSON of a list, an object, a number or a truth stands for that. */

export function valuesFrom(query, leaveOut = ["from", "kind"]) {
  return Object.fromEntries([...query].filter(([name]) => !leaveOut.includes(name)).map(([name, text]) => [name, valueOf(text)]));
}

function valueOf(text) {
  if (!/^(\[.*\]|\{.*\}|true|false|-?\d+(\.\d+)?)$/s.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
