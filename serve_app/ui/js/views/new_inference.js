/** A new inference: one source, several as a batch, or a model measured on data of known classes. */
import { showKinds } from "../parts/kinds.js";

const MODEL = { title: "group_model", either: [{ key: "way_registered", fields: ["model"] }, { key: "way_files", fields: ["cfg_path", "weight_path"] }] };
const RUN = { title: "group_run", fields: ["device", "priority"] };
const RECORDINGS = { title: "group_recordings", isFolded: true, fields: ["sample_rate", "center_frequency", "format", "recipe"] };
const MORE = { title: "group_more", isFolded: true, fields: ["*"] };

const REQUESTS = {
  single: {
    kind: "inference",
    schema: "InferenceRequest",
    path: "/api/v2/inference/start",
    taskType: "inference",
    method: "infer",
    command: "infer",
    groups: [MODEL, { title: "group_data", fields: ["source_path", "save_path", "name"] }, RUN, RECORDINGS, MORE],
  },
  batch: {
    kind: "batch",
    schema: "BatchInferenceRequest",
    path: "/api/v2/inference/batch",
    taskType: "inference",
    method: "infer_batch",
    command: "infer-batch",
    groups: [MODEL, { title: "group_data", fields: ["source_paths", "save_base_path"] }, RUN, RECORDINGS, MORE],
    explained: firstOfBatch,
  },
  evaluate: {
    kind: "evaluate",
    schema: "EvaluationRequest",
    path: "/api/v2/evaluate",
    taskType: "evaluate",
    method: "evaluate",
    command: "evaluate",
    groups: [MODEL, { title: "group_data", fields: ["data_path", "snr_db", "save_path", "name"] }, RUN, RECORDINGS, MORE],
  },
};

export function open(place) {
  return showKinds(place, { title: "new_inference", text: "inference_text", requests: REQUESTS });
}

/** A batch cannot be explained as a whole: its first source tells whether it would begin. */
function firstOfBatch({ source_paths: [first], save_base_path: below, ...rest }) {
  return { ...rest, source_path: first, ...(below ? { save_path: below } : {}) };
}
