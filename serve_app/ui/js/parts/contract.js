/** The service's own description of its requests: what a field may be, its bounds, its default. Forms are made of it, so they never differ. */
import { api } from "../api.js";

let loading = null;

/** The OpenAPI document; read once, and again after a failure. */
export function contract() {
  loading ??= api("/openapi.json").catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

/**
 * The fields of a request.
 * @param {string} name of the schema, such as "TrainingRequest"
 * @returns {Promise<Array<Object>>} as `describe` tells each
 */
export async function fieldsOf(name) {
  return fieldsIn(await contract(), { $ref: `#/components/schemas/${name}` });
}

/** The same of a document that is at hand. Exported for the tests of the page. */
export function fieldsIn(document, reference) {
  const schema = resolve(document, reference);
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, property]) => describe(document, name, property, required.has(name)));
}

/**
 * What one field is.
 *
 * `kind` is one of text, number, switch, choice, list, pair, object, fixed; `isWhole` tells whole numbers; `words` are texts that stand
 * beside numbers ("all" or a number); `item` describes what a list or a pair holds; `fields` those of an object.
 */
function describe(document, name, property, isRequired) {
  const options = (property.anyOf ?? [property]).map((each) => resolve(document, each));
  const real = options.filter((each) => each.type !== "null");
  const isNullable = real.length < options.length;
  const described = { name, isRequired, isNullable, fallback: property.default, title: property.title ?? name, ...kindOf(document, real) };
  described.description = property.description ?? described.description ?? "";
  return described;
}

function kindOf(document, options) {
  const words = options.flatMap((each) => each.enum ?? (each.const === undefined || options.length < 2 ? [] : [each.const]));
  const plain = options.find((each) => each.const === undefined && !each.enum);
  if (!plain) return words.length ? { kind: "choice", choices: words } : { kind: "fixed" };
  if (plain.type === "boolean") return words.length ? { kind: "choice", choices: [...words, true, false] } : { kind: "switch" };
  return { ...simpleKind(document, plain), words };
}

function simpleKind(document, schema) {
  const bounds = { least: schema.minimum, most: schema.maximum, above: schema.exclusiveMinimum, step: schema.multipleOf };
  if (schema.type === "integer" || schema.type === "number") return { kind: "number", isWhole: schema.type === "integer", ...bounds };
  if (schema.type === "array") return listKind(document, schema);
  if (schema.type === "object") return { kind: "object", fields: fieldsIn(document, schema) };
  return { kind: "text", shortest: schema.minLength, longest: schema.maxLength, pattern: schema.pattern };
}

function listKind(document, schema) {
  const shape = { fewest: schema.minItems, most: schema.maxItems, isUnique: Boolean(schema.uniqueItems) };
  if (schema.prefixItems) return { kind: "pair", item: describe(document, "", schema.prefixItems[0], true), ...shape };
  return { kind: "list", item: describe(document, "", schema.items ?? { type: "string" }, true), ...shape };
}

function resolve(document, schema) {
  if (!schema.$ref) return schema;
  const name = schema.$ref.split("/").pop();
  return document.components.schemas[name];
}
