"""Request bodies that are right, to be varied by tests."""


def training(**changes):
    body = {"model": "resnet18", "num_classes": 3, "train_path": "data/train", "val_path": "data/valid", "save_path": "out"}
    return body | changes


def inference(**changes):
    return {"cfg_path": "out/config.yaml", "weight_path": "out/best_model.pth", "source_path": "pictures"} | changes


def evaluation(**changes):
    return {"cfg_path": "out/config.yaml", "weight_path": "out/best_model.pth", "data_path": "recordings"} | changes


def batch(count=3, **changes):
    sources = [f"pictures/{number}" for number in range(count)]
    return {
        "cfg_path": "out/config.yaml",
        "weight_path": "out/best_model.pth",
        "source_paths": sources,
        "save_base_path": "b",
    } | changes


def split(**changes):
    return {"input_path": "pictures", "output_path": "sets/drones"} | changes


def augment(**changes):
    return {"dataset_path": "sets/drones"} | changes


def crop(**changes):
    return {"input_path": "pictures", "output_path": "cut", "x": 10, "y": 0, "width": 200, "height": 100} | changes


def spectrogram(**changes):
    return {"input_path": "recordings", "output_path": "sets/drones", "recipe": {"pipeline": "native"}} | changes
