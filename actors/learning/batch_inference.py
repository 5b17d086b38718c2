"""Predicts all pictures and recordings of a source and writes down what came out.

Owns the course of one inference: finding the files, the forward passes, prediction files, progress. What it needs from
outside arrives as plain functions: how to report, whether to stop, and how a finished file gets its final place. It knows
nothing of tasks, leases or Ray.
"""

from collections.abc import Callable, Sequence

from actors.files.atomic import make_folder
from actors.files.errors import DatasetError, OutputError
from actors.learning.chosen_recipe import choose_recipe
from actors.learning.classify_config import contradictions_with_card, load_classify_config
from actors.learning.feed import Feed
from actors.learning.inference_plan import InferenceOutcome, InferencePlan, Publish, Report
from actors.learning.inference_progress import Progress
from actors.learning.inference_sources import Sources, find_sources, paths_within
from actors.learning.picture_feed import PictureFeed
from actors.learning.prediction_files import Prediction, write_predictions, write_summaries
from actors.learning.predictor import PartedForward, Predictor, load_predictor
from actors.learning.recording_feed import RecordingFeed


class AllPicturesUnreadableError(DatasetError):
    """Not one picture of a source could be decoded."""

    code = "all_pictures_unreadable"


class NothingPredictedError(DatasetError):
    """A source with recordings, of which nothing could be predicted."""

    code = "nothing_predicted"


def run_inference(plan: InferencePlan, *, report: Report, should_stop: Callable[[], bool], publish: Publish) -> InferenceOutcome:
    """Predict every picture and recording of the source, then publish predictions, annotated pictures and annotations.

    Entries stand in the order of the paths, those of pictures before those of recordings.

    Args:
        plan: What to run on what.
        report: Takes log lines, from the calling thread.
        should_stop: Asked before each batch; True ends the run without publishing.
        publish: Moves a staged file to its final place, given as a path within the output folder.

    Raises:
        ConfigError: The configuration cannot be used.
        WeightsError: The weights cannot be used.
        DatasetError: The source holds neither pictures nor recordings.
        RecipeMissingError: It holds recordings, and nobody tells how pictures are made of them.
        RecipeError: It gives more frames than one task should go over.
        AllPicturesUnreadableError, NothingPredictedError: It holds none that can be used; the prediction files are published.
        GpuOutOfMemoryError: A single picture does not fit into the device's memory.
        OutputError: A file cannot be written, or would overwrite a file of the source.
    """
    config = load_classify_config(plan.cfg_path, roots=plan.roots)
    sources = _list_sources(plan)
    recipe = choose_recipe(plan.recipe, config, plan.weight_path, roots=plan.roots) if sources.recordings else None
    predictor = load_predictor(config, plan.weight_path, device=plan.device, threads=plan.threads, roots=plan.roots)
    feeds: list[Feed] = [PictureFeed(plan, sources.pictures, predictor)] if sources.pictures else []
    remarks: Sequence[str] = ()
    if recipe:
        recordings = RecordingFeed(plan, sources.recordings, predictor, recipe)
        feeds.append(recordings)
        remarks = recordings.remarks
    _refuse_overwriting(plan, sources, feeds)
    progress = Progress(report, total=sum(feed.units for feed in feeds), unit=_unit(sources))
    for warning in (*config.warnings, *contradictions_with_card(config, plan.weight_path, roots=plan.roots)):
        progress.warn(f"{plan.cfg_path.name}: {warning}")
    for warning in recipe.warnings if recipe else ():
        progress.warn(warning)
    make_folder(plan.staging_dir)
    where = f" of {len(sources.recordings)} recordings" if recipe else ""
    progress.note(f"predicting {progress.total} {progress.unit}{where} with {config.model} on {plan.device}")
    for remark in remarks:
        progress.remark(remark)
    run = _Run(plan, feeds, predictor, progress)
    if not run.predict_all(should_stop) or should_stop():
        progress.note(f"stopped after {progress.done} of {progress.total} {progress.unit}")
        return progress.outcome("stopped")
    run.publish_files(publish)
    if not run.has_answers:
        raise _nothing_predicted(sources, progress)
    progress.complete()
    return progress.outcome("completed")


def _list_sources(plan: InferencePlan) -> Sources:
    """Find the files, leaving out results."""
    root = plan.source_path.resolve()
    exclude = [folder for folder in (plan.output_dir.resolve(), plan.staging_dir.resolve()) if folder != root]
    return find_sources(plan.source_path, is_typed=plan.datatype is not None, exclude=exclude, roots=plan.roots)


def _unit(sources: Sources) -> str:
    """Name what is counted."""
    named = {"pictures": sources.pictures, "frames": sources.recordings}
    return " and ".join(unit for unit, paths in named.items() if paths)


def _refuse_overwriting(plan: InferencePlan, sources: Sources, feeds: Sequence[Feed]) -> None:
    """Fail where a result would replace a file that it was made from, or another."""
    base = (plan.source_path.parent if plan.source_path.is_file() else plan.source_path).resolve()
    inputs = {base / file for file in paths_within(plan.source_path, (*sources.pictures, *sources.recordings))}
    inputs |= {data for feed in feeds if isinstance(feed, RecordingFeed) for data in feed.data_paths()}
    output = plan.output_dir.resolve()
    overwritten = sorted(inputs & {output / target for feed in feeds for target in feed.targets()})
    if overwritten:
        problem = f"the results would overwrite {overwritten[0]}, which they are made from"
        raise OutputError(problem, "Choose a save_path outside the folder of the source.")


def _nothing_predicted(sources: Sources, progress: Progress) -> DatasetError:
    """Say that all failed, and why the first did."""
    if not sources.recordings:
        problem = f"none of the {len(sources.pictures)} pictures could be decoded; the first: {progress.first_failure}"
        return AllPicturesUnreadableError(problem, "Check that the files are whole pictures.")
    problem = f"nothing of the {progress.total} {progress.unit} could be predicted; the first: {progress.first_failure}"
    return NothingPredictedError(problem, "Check the files and the request; the prediction files name the reason for each.")


class _Run:
    """One inference under way.

    Invariant: ``predictions`` holds the entries of the batches done, in the order of the feeds.
    """

    def __init__(self, plan: InferencePlan, feeds: Sequence[Feed], predictor: Predictor, progress: Progress) -> None:
        self.predictions: list[Prediction] = []
        self.has_answers = False
        self._plan = plan
        self._feeds = feeds
        self._forward = PartedForward(predictor, plan.batch_size, warn=progress.warn)
        self._progress = progress

    def predict_all(self, should_stop: Callable[[], bool]) -> bool:
        """Predict feed after feed; return False where that was stopped before the last batch."""
        return all(self._predict(feed, should_stop) for feed in self._feeds)

    def publish_files(self, publish: Publish) -> None:
        """Write the prediction files and hand over all that is staged; predictions.json, the last, marks the end."""
        staging = self._plan.staging_dir
        json_path, csv_path = write_predictions(staging, self.predictions)
        for name in (name for feed in self._feeds for name in feed.staged()):
            publish(staging / name, name)
        if any(isinstance(feed, RecordingFeed) for feed in self._feeds):
            summaries = [summary for feed in self._feeds for summary in feed.summaries()]
            for path in reversed(write_summaries(staging, summaries)):
                publish(path, path.name)
        publish(csv_path, csv_path.name)
        publish(json_path, json_path.name)

    def _predict(self, feed: Feed, should_stop: Callable[[], bool]) -> bool:
        with feed.batches(self._progress) as batches:
            for batch in batches:
                if should_stop():
                    return False
                answers = batch.settle(None if batch.inputs is None else self._forward(batch.inputs))
                self.has_answers = self.has_answers or batch.inputs is not None
                self.predictions.extend(answers)
                self._progress.advance(batch.size)
        return True
