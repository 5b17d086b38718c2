"""Runs inferences in a folder of a test and keeps what they reported and published."""

import dataclasses
import json
from pathlib import Path

import torch
import yaml

from actors.files.atomic import move_into_place
from actors.learning.batch_inference import run_inference
from actors.learning.inference_plan import InferenceOutcome, InferencePlan
from actors.learning.zoo import build_model

CLASSES = ("hopping", "noise", "video")


def write_model(folder: Path) -> Path:
    """Random weights of a small network and the configuration that goes with them."""
    torch.manual_seed(7)
    torch.save(build_model("mobilenet_v3_small", 3).state_dict(), folder / "best_model.pth")
    names = {name: index for index, name in enumerate(CLASSES)}
    keys = {"model": "mobilenet_v3_small", "num_classes": 3, "class_names": names, "image_size": 32}
    (folder / "config.yaml").write_text(yaml.safe_dump(keys), "utf-8")
    return folder


class Run:
    """One inference with everything it reported and published."""

    def __init__(self, model_dir: Path, root: Path, **changed) -> None:
        self.records = []
        self.published = []
        plan = InferencePlan(
            cfg_path=model_dir / "config.yaml",
            weight_path=model_dir / "best_model.pth",
            source_path=root / "source",
            output_dir=root / "out",
            staging_dir=root / "staging",
            device="cpu",
            threads=2,
            batch_size=4,
        )
        self.plan = dataclasses.replace(plan, **changed)

    def publish(self, staged: Path, name: str) -> None:
        target = self.plan.output_dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        move_into_place(staged, target)
        self.published.append(name)

    def __call__(self, should_stop=lambda: False) -> InferenceOutcome:
        return run_inference(self.plan, report=self.records.append, should_stop=should_stop, publish=self.publish)

    @property
    def entries(self) -> list[dict]:
        return json.loads((self.plan.output_dir / "predictions.json").read_text("utf-8"))

    @property
    def summaries(self) -> list[dict]:
        return json.loads((self.plan.output_dir / "summary.json").read_text("utf-8"))

    @property
    def said(self) -> str:
        return "\n".join(record.message for record in self.records)
