"""What can be known to be wrong with an evaluation before it waits in line. Reads names, headers and texts, and needs no torch."""

from typing import Final

from actors.core.errors import SubmissionError
from actors.core.tasks import Submission
from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.learning.chosen_recipe import choose_recipe
from actors.learning.classify_config import load_classify_config
from actors.learning.evaluation_plan import asked_ratios, choose_ratios
from actors.learning.labelled_files import scan_labelled_files
from actors.paths import find_model_files, resolve_existing, resolve_inside
from actors.recording_check import check_any_usable
from actors.signals.errors import SignalError

#: Which field is to blame for what may be wrong with all recordings; others are the data's own fault.
_FIELDS: Final = {"sample_rate": "sample_rate", "recipe_invalid": "recipe", "recipe_missing": "recipe"}


def check_evaluation(submission: Submission, roots: DataRoots, *, model_roots: DataRoots | None = None) -> dict[str, str]:
    """Check the paths of an evaluation, and that model, data, ratios and recipe go together; returns the paths, resolved.

    Raises:
        SubmissionError: names the field, the value and the remedy.
    """
    request = submission.request
    resolved, weights_roots = find_model_files(submission, roots, model_roots or roots)
    data_path = resolved["data_path"] = resolve_existing(request["data_path"], "data_path", roots)
    if resolve_inside(submission.output_path, "save_path", roots).is_relative_to(data_path):
        told = f"{submission.output_path!r} lies in data_path, where results would be taken for data"
        raise SubmissionError("invalid_path", "save_path", told, "choose a folder outside data_path")
    field = "cfg_path"
    try:
        config = load_classify_config(resolved["cfg_path"], roots=weights_roots)
        field = "data_path"
        data = scan_labelled_files(data_path, config.class_names, roots=roots)
        field = "snr_db"
        choose_ratios(asked_ratios(request), data)
        if data.kind == "recordings":
            chosen = choose_recipe(request["recipe"], config, resolved["weight_path"], roots=weights_roots)
            check_any_usable([each.path for each in data.files], chosen, request, roots)
    except WorkError as error:
        field = _FIELDS.get(error.code, "data_path" if isinstance(error, SignalError) else field)
        raise SubmissionError(error.code, field, error.message, error.hint) from None
    return {field: str(path) for field, path in resolved.items()}
