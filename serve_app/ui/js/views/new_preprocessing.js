/** Data made ready for training: divided, enlarged, cut, or made of recordings. */
import { showKinds } from "../parts/kinds.js";

const MORE = { title: "group_more", isFolded: true, fields: ["*"] };

const REQUESTS = {
  split: request("split", "SplitRequest", "dataset_split", [
    { title: "group_data", fields: ["input_path", "output_path"] },
    { title: "group_how", fields: ["train_ratio", "val_ratio", "group_by", "files"] },
    MORE,
  ]),
  augment: request("augment", "AugmentRequest", "data_augmentation", [
    { title: "group_data", fields: ["dataset_path", "output_path"] },
    { title: "group_how", fields: ["methods"] },
    MORE,
  ]),
  crop: request("crop", "CropRequest", "image_crop", [
    { title: "group_data", fields: ["input_path", "output_path"] },
    { title: "group_box", fields: ["x", "y", "width", "height"] },
    MORE,
  ]),
  spectrogram: request("spectrogram", "SpectrogramRequest", "spectrogram", [
    { title: "group_data", fields: ["input_path", "output_path"] },
    { title: "group_how", fields: ["recipe", "image_size", "train_ratio", "val_ratio"] },
    { title: "group_recordings", isFolded: true, fields: ["sample_rate", "center_frequency", "format"] },
    MORE,
  ]),
};

export function open(place) {
  return showKinds(place, { title: "new_preprocessing", text: "preprocessing_text", requests: REQUESTS });
}

function request(kind, schema, taskType, groups) {
  return { kind, schema, taskType, groups, path: `/api/v2/preprocessing/${kind}`, method: kind, command: kind };
}
