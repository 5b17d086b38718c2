/**
 * What new limits would do, said of what is known here: how many may run, which waiting tasks would find a place, what part of a device a
 * new task gets. Pure: it asks nothing and draws nothing.
 */

/**
 * The part of a device that a task takes where there is room. The service tells of devices and of leases that are there, not what the next
 * lease would take; so these are its usual values, kept here alone, and what is made of them is called "about".
 */
const PARTS = {
  cuda: { training: 0.15, inference: 0.03 },
  cpu: { training: 0.12, inference: 0.03, preprocessing: 0.03 },
};

/**
 * The changed limits.
 * @param {Array<Object>} devices of the resources
 * @param {Map<string, number>} wanted by "device kind"
 * @returns {Array<{device: Object, kind: string, old: number, new: number, running: number}>}
 */
export function changesOf(devices, wanted) {
  return devices.flatMap((device) => kindsOf(device).map((kind) => ({
    device, kind, old: device.limits[kind], new: wanted.get(`${device.device} ${kind}`) ?? device.limits[kind], running: device.usage[kind] ?? 0,
  }))).filter((change) => change.new !== change.old);
}

/** The kinds of work that a device does. */
export function kindsOf(device) {
  return Object.keys(PARTS[device.kind] ?? {});
}

/** The part of a device that the next task of each kind would get: what it asks for, or less where the open places ask for more than is free. */
export function partsOf(device, limits) {
  const wanted = PARTS[device.kind] ?? {};
  const open = Object.entries(wanted).reduce((sum, [kind, part]) => sum + Math.max(0, limits[kind] - (device.usage[kind] ?? 0)) * part, 0);
  const shrunk = open > device.free ? device.free / open : 1;
  return Object.fromEntries(Object.entries(wanted).map(([kind, part]) => [kind, part * shrunk]));
}

/** The limits of a device after the changes. */
export function limitsAfter(device, wanted) {
  return Object.fromEntries(kindsOf(device).map((kind) => [kind, wanted.get(`${device.device} ${kind}`) ?? device.limits[kind]]));
}

/**
 * Which waiting tasks would find a free place.
 *
 * A task is counted only where the service says that it waits for a limit, or for those before it; each takes a place from the next.
 * @param {Array<{task: Object, why: Object, work: string}>} waiting in the order of the line
 * @returns {Array<{task: Object, device: string|null, why: Object}>}
 */
export function whoWouldStart(waiting, devices, wanted) {
  const free = new Map();
  for (const device of devices.filter((each) => each.present && !each.quarantine)) {
    const limits = limitsAfter(device, wanted);
    for (const kind of kindsOf(device)) free.set(`${device.device} ${kind}`, limits[kind] - (device.usage[kind] ?? 0));
  }
  return waiting.map(({ task, why, work }) => {
    const canBe = why.missing === "limit" || why.missing === "order";
    const device = canBe ? why.devices.find((name) => (free.get(`${name} ${work}`) ?? 0) > 0) : undefined;
    if (device) free.set(`${device} ${work}`, free.get(`${device} ${work}`) - 1);
    return { task, why, device: device ?? null };
  });
}
