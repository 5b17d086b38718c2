/**
 * What dropped files are: pictures, recordings with what belongs to them, or neither; and what recordings tell of themselves.
 *
 * The service decides in the end; this only saves the visitor a question or a way in vain.
 */

const PICTURES = new Set([".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff"]);
/** Samples without a header, whose ending says nothing of their format. */
const UNTYPED = new Set([".iq", ".dat", ".bin"]);
const TYPED = new Set([
  ".cf32", ".fc32", ".cfile", ".complex", ".complex64", ".cf64", ".fc64", ".complex128", ".cs8", ".ci8", ".sc8", ".complex16s", ".cu8", ".complex16u",
  ".cs16", ".ci16", ".sc16", ".complex32s", ".cu16", ".complex32u", ".cs32", ".ci32", ".sc32", ".cu32",
]);
/** These tell everything themselves. */
const HEADED = new Set([".wav", ".sigmf"]);
const PAIR = /(?:^|[_\s])(\d+(?:\.\d+)?)M_(\d+(?:\.\d+)?)k(?=$|[_\s.()-])/;
const RATE = /(?:^|[_\s-])(\d+(?:\.\d+)?)([kMG]?)(?:sps|S\/s)(?=$|[_\s.()-])/i;

export const ACCEPTED = [...PICTURES, ...UNTYPED, ...TYPED, ...HEADED, ".sigmf-meta", ".sigmf-data", ".xml"].join(",");

/**
 * Put files that belong together into groups.
 * @param {Array<File>} files
 * @returns {Array<{name: string, kind: "picture"|"recording"|"unsupported"|"lonely", files: Array<File>, asks: {format: boolean, rate: boolean}}>}
 */
export function groupFiles(files) {
  const groups = [];
  const left = new Set(files);
  for (const meta of files.filter((file) => endingOf(file.name) === ".sigmf-meta")) {
    const data = [...left].find((file) => endingOf(file.name) === ".sigmf-data" && stemOf(file.name) === stemOf(meta.name));
    left.delete(meta);
    left.delete(data);
    groups.push(data ? recording(meta.name, [meta, data], {}) : { name: meta.name, kind: "lonely", files: [meta], asks: {} });
  }
  const sidecars = [...left].filter((file) => endingOf(file.name) === ".xml");
  for (const file of left) {
    if (endingOf(file.name) !== ".xml") groups.push(groupOf(file, sidecars));
  }
  const taken = new Set(groups.flatMap((group) => group.files));
  groups.push(...sidecars.filter((file) => !taken.has(file)).map((file) => ({ name: file.name, kind: "lonely", files: [file], asks: {} })));
  return groups;
}

function groupOf(file, sidecars) {
  const ending = endingOf(file.name);
  if (PICTURES.has(ending)) return { name: file.name, kind: "picture", files: [file], asks: {} };
  if (ending === ".sigmf-data") return { name: file.name, kind: "lonely", files: [file], asks: {} };
  if (HEADED.has(ending)) return recording(file.name, [file], {});
  if (!UNTYPED.has(ending) && !TYPED.has(ending)) return { name: file.name, kind: "unsupported", files: [file], asks: {} };
  const beside = sidecars.filter((each) => stemOf(each.name) === stemOf(file.name));
  const tellsRate = beside.length > 0 || PAIR.test(stemOf(file.name)) || RATE.test(stemOf(file.name));
  return recording(file.name, [file, ...beside], { format: UNTYPED.has(ending) && !beside.length, rate: !tellsRate });
}

function recording(name, files, asks) {
  return { name, kind: "recording", files, asks };
}

function endingOf(name) {
  const at = name.lastIndexOf(".");
  return at < 0 ? "" : name.slice(at).toLowerCase();
}

function stemOf(name) {
  return name.slice(0, Math.max(0, name.lastIndexOf(".")));
}
