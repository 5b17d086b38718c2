"""The system in figures, in the words of Prometheus: pure functions from views and counts to metric families.

Owns names, labels and help texts. Everything begins with ``rfuav_``; sizes are bytes, times seconds, amounts of a device its units
(1/10,000 of it). What is not known because a component is away is left out, and ``rfuav_up`` says so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from actors.core.model import Lease
from actors.messages import DeviceView, ResourceView, TaskCounters
from serve_app.prediction_meter import PredictionTally
from serve_app.request_meter import LATENCY_BOUNDS_S, RequestTally
from serve_app.shape_resources import FOREIGN

#: The text format that every collector of metrics reads.
METRICS_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SINCE = "since the supervisor's process began"
_DEVICE = ("device", "kind", "simulated")
#: What is told of each prediction that was computed, by how ``VersionTally.stages`` calls it.
_STAGES = {
    "queue_seconds": "waiting of a prediction for the network",
    "preprocess_seconds": "decoding, or making pictures of samples, of a prediction",
    "forward_seconds": "in the network, with all that shared the batch, of a prediction",
    "batch_size": "pictures and frames of the forward passes that a prediction took part in",
}


def metrics_text(
    view: ResourceView | None, counters: TaskCounters | None, requests: RequestTally, predictions: PredictionTally
) -> bytes:
    """All figures as text.

    Args:
        view: of the accountant; None while it is away.
        counters: of the supervisor; None while it is away.
        requests: of this process.
        predictions: of this process.
    """
    families = [_up({"accountant": view is not None, "supervisor": counters is not None})]
    if view is not None:
        families += [*_device_families(view.devices), *_memory_families(view.devices), *_line_families(view)]
        families += _replica_families(view.devices)
    if counters is not None:
        families += _task_families(counters)
    families += [*_request_families(requests), *_prediction_families(predictions)]
    return generate_latest(_Families(families))


class _Families(Collector):
    """Families that were made already, as the text writer wants them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def _up(states: Mapping[str, bool]) -> Metric:
    family = GaugeMetricFamily("rfuav_up", "whether the component answered; its figures are absent if not", labels=["component"])
    for component, is_up in states.items():
        family.add_metric([component], float(is_up))
    return family


def _device_families(devices: Sequence[DeviceView]) -> Iterator[Metric]:
    yield _gauge("rfuav_device_present", "0 while the device's node is gone", devices, lambda each: each.is_present)
    yield _gauge("rfuav_device_share_units", "1/10,000 of the device that tasks may use", devices, lambda each: each.share_units)
    yield _gauge("rfuav_device_held_units", "1/10,000 of the device that leases hold", devices, lambda each: each.held_units)
    limits = GaugeMetricFamily("rfuav_device_limit", "most leases of a kind of work", labels=[*_DEVICE, "work"])
    leases = GaugeMetricFamily("rfuav_device_leases", "open leases of a kind of work", labels=[*_DEVICE, "work"])
    for each in devices:
        for work, limit in each.limits.items():
            limits.add_metric([*_labels(each), work.value], limit)
            leases.add_metric([*_labels(each), work.value], each.counts.get(work, 0))
    yield from (limits, leases)


def _memory_families(devices: Sequence[DeviceView]) -> Iterator[Metric]:
    total = "memory of the device"
    used = "memory in use by every process; on simulated GPUs and CPUs the budgets of the leases"
    yield _gauge("rfuav_device_memory_total_bytes", total, devices, lambda each: each.device.memory_bytes)
    yield _gauge("rfuav_device_memory_used_bytes", used, devices, lambda each: each.allocated_bytes)
    yield _gauge("rfuav_device_memory_foreign_bytes", "memory in use by processes of others", devices, _foreign_bytes)
    labels = [*_DEVICE, "task_id"]
    budgets = GaugeMetricFamily("rfuav_task_memory_budget_bytes", "memory that a task's lease allows it", labels=labels)
    for each in devices:
        for lease in each.leases:
            budgets.add_metric([*_labels(each), lease.request.task_id], _budget_bytes(lease, each.device.device_id))
    yield budgets


def _replica_families(devices: Sequence[DeviceView]) -> Iterator[Metric]:
    yield _gauge("rfuav_serving_replicas", "replicas of the predictor", devices, lambda each: len(each.replicas))
    yield _gauge("rfuav_serving_replicas_most", "most replicas on the device", devices, lambda each: each.serving_replicas)
    yield _gauge("rfuav_serving_ongoing", "requests in replicas now", devices, lambda each: sum(r.ongoing for r in each.replicas))
    labels = [*_DEVICE, "model", "version", "precision"]
    loaded = GaugeMetricFamily("rfuav_model_replicas", "replicas that have a version loaded", labels=labels)
    memory = GaugeMetricFamily(
        "rfuav_model_memory_bytes", "what a version's weights take in all replicas on the device", labels=labels
    )
    for each in devices:
        models = [model for report in each.replicas for model in report.models]
        for key in sorted({(model.name, model.version, model.precision) for model in models}):
            mine = [model for model in models if (model.name, model.version, model.precision) == key]
            values = [*_labels(each), *map(str, key)]
            loaded.add_metric(values, len(mine))
            memory.add_metric(values, sum(model.memory_bytes for model in mine))
    yield from (loaded, memory)


def _line_families(view: ResourceView) -> Iterator[Metric]:
    yield GaugeMetricFamily("rfuav_line_length", "requests that wait for a lease", view.waiting)
    yield GaugeMetricFamily("rfuav_line_oldest_wait_seconds", "how long the oldest of them has waited", view.oldest_wait_s)


def _task_families(counters: TaskCounters) -> Iterator[Metric]:
    tasks = GaugeMetricFamily("rfuav_tasks", "tasks in the records, by state", labels=["state"])
    for state, count in counters.tasks.items():
        tasks.add_metric([state.value], count)
    attempts = CounterMetricFamily("rfuav_attempts", f"attempts that ended, by outcome, {_SINCE}", labels=["outcome"])
    for outcome, count in counters.attempts.items():
        attempts.add_metric([outcome], count)
    text = f"from a task's submission to its first lease, {_SINCE}"
    waits = HistogramMetricFamily("rfuav_task_wait_seconds", text, labels=["work"])
    for work, each in counters.waits.items():
        waits.add_metric([work.value], _cumulate(each.counts, each.bounds_s), each.sum_s)
    removed = CounterMetricFamily("rfuav_removed", f"what went by the limits of retention, {_SINCE}", labels=["what"])
    for what, count in counters.removed.items():
        removed.add_metric([what], count)
    yield from (tasks, attempts, waits, removed)


def _request_families(requests: RequestTally) -> Iterator[Metric]:
    answers = CounterMetricFamily("rfuav_requests", "HTTP answers since this process began", labels=["route", "method", "status"])
    for (route, method, status), count in sorted(requests.answers.items()):
        answers.add_metric([route, method, str(status)], count)
    text = "from an HTTP request to the beginning of its answer, since this process began"
    latencies = HistogramMetricFamily("rfuav_request_seconds", text, labels=["route", "method"])
    for (route, method), each in sorted(requests.latencies.items()):
        latencies.add_metric([route, method], _cumulate(each.counts, LATENCY_BOUNDS_S), each.sum_s)
    yield from (answers, latencies)


def _prediction_families(predictions: PredictionTally) -> Iterator[Metric]:
    labels = ["model", "version"]
    since = "since this process began"
    answers = CounterMetricFamily(
        "rfuav_predictions", f"predictions by ok or the error's code, {since}", labels=[*labels, "outcome"]
    )
    hits = CounterMetricFamily("rfuav_prediction_cache_hits", f"predictions answered from memory, {since}", labels=labels)
    for (name, version), tally in sorted(predictions.versions.items()):
        for outcome, count in sorted(tally.outcomes.items()):
            answers.add_metric([name, str(version), outcome], count)
        hits.add_metric([name, str(version)], tally.cache_hits)
    yield from (answers, hits)
    for stage, text in _STAGES.items():
        family = HistogramMetricFamily(f"rfuav_prediction_{stage}", f"{text}, {since}", labels=labels)
        for (name, version), tally in sorted(predictions.versions.items()):
            values = tally.stages[stage]
            family.add_metric([name, str(version)], _cumulate(values.counts, values.bounds), values.total)
        yield family


def _gauge(name: str, text: str, devices: Sequence[DeviceView], read: Callable[[DeviceView], float]) -> Metric:
    """One figure of every device."""
    family = GaugeMetricFamily(name, text, labels=_DEVICE)
    for each in devices:
        family.add_metric(_labels(each), float(read(each)))
    return family


def _labels(view: DeviceView) -> list[str]:
    return [view.device.device_id, view.device.kind.value, str(view.device.simulated).lower()]


def _foreign_bytes(view: DeviceView) -> float:
    return sum(size_bytes for _pid, owner, size_bytes in view.processes if owner == FOREIGN)


def _budget_bytes(lease: Lease, device_id: str) -> int:
    return sum(portion.memory_bytes for portion in lease.portions if portion.device_id == device_id)


def _cumulate(counts: Sequence[int], bounds_s: Sequence[float]) -> list[tuple[str, int]]:
    """Counts by class as a histogram wants them: for each upper bound, how many did not exceed it."""
    names = (*map(str, bounds_s), "+Inf")
    return list(zip(names, accumulate(counts), strict=True))
