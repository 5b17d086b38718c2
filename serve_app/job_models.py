"""Registered models in jobs: which files a name in a submission means.

Owns nothing but that step: what the name means at this moment is written into the submission, and stays so, whatever the alias means later.
"""

from dataclasses import replace

from actors.core.model import WorkKind
from actors.core.tasks import REGISTERED_MODEL, Submission
from serve_app.model_table import FollowedModels


async def with_model_files(models: FollowedModels, submission: Submission) -> Submission:
    """The submission with the files of the registered model that it names; as it is where it names none.

    Raises:
        ModelNotFoundError: there is no such model, version or alias.
        NotReadyError: the models are not known yet.
    """
    text = submission.request.get("model")
    if submission.work is not WorkKind.INFERENCE or not text:
        return submission
    version = (await models.resolve(text, loc=("body", "model"))).version
    served = version.served
    resolved = {
        REGISTERED_MODEL: f"{served.name}@{served.version}",
        "cfg_path": version.config_path,
        "weight_path": served.weights_path,
    }
    return replace(submission, resolved=resolved)
