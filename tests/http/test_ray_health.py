"""How the parts of the service are judged, by what they answer and by what is written down of them."""

import os
import time

import pytest
from ray.exceptions import ActorUnavailableError

from actors.core.errors import StoreUnavailableError
from actors.core.model import DeviceKind
from actors.messages import ReplicaReport, ReplicaStanding
from actors.names import WATCHDOG
from actors.part_life import note_end, note_start
from actors.presence import announce, own_presence
from serve_app import named_actor
from serve_app.named_actor import NamedActor
from serve_app.ray_health import Asked, RayHealth

pytestmark = pytest.mark.anyio

UNAVAILABLE = ActorUnavailableError("restarting", None)


def standing(*, heard_s_ago=0.0, is_ready=True):
    report = ReplicaReport("r1", "node", DeviceKind.GPU, 0, own_presence(), 0, 0, is_ready=is_ready)
    return ReplicaStanding(report, "cuda:0", time.time() - heard_s_ago)


#: By which actor and method each part is asked, and what it answers when it is well.
WELL = {
    "accountant": ("accountant", "ping", 1.0),
    "supervisor": ("supervisor", "ping", 1.0),
    "log_hub": ("log_hub", "trouble", ""),
    "predictor": ("accountant", "list_replicas", None),
    "store": ("supervisor", "store_ping", 3.5),
}


ASKED = tuple(WELL)


class Answering:
    """The handle of an actor whose methods answer what the test wants."""

    def __init__(self, name, answers):
        self.name, self.answers = name, answers

    def __getattr__(self, method):
        return Answer(self.answers[self.name, method])


class Answer:
    def __init__(self, answer):
        self.answer = answer

    async def remote(self):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Observed:
    """A ``RayHealth`` on a clock of the test's, over actors that answer what the test wants."""

    def __init__(self, state_dir):
        self.answers = {}
        self.now = time.time()
        self.state_dir = state_dir
        self.begin_anew()

    def begin_anew(self):
        """What the end of the ingress does: nothing is remembered."""
        asked = Asked(*map(NamedActor, ("accountant", "supervisor", "log_hub")))
        self.health = RayHealth(asked, self.state_dir, lambda: self.now)

    async def look(self, **instead):
        for part, (actor, method, well) in (WELL | {"predictor": ("accountant", "list_replicas", [standing()])}).items():
            self.answers[actor, method] = instead.get(part, well)
        return await self.health.components()

    def start(self, name, ago_s=0.0, pid=1):
        note_start(self.state_dir, name, pid=pid, at=self.now - ago_s)


@pytest.fixture
def observed(tmp_path, monkeypatch):
    observed = Observed(tmp_path)
    monkeypatch.setattr(named_actor.ray, "get_actor", lambda name, _namespace: Answering(name, observed.answers))
    return observed


async def test_parts_start_then_are_healthy_then_may_fail(observed):
    states = []
    for script in (dict.fromkeys(ASKED, UNAVAILABLE), {}, {"supervisor": UNAVAILABLE, "predictor": UNAVAILABLE}):
        answer = await observed.look(**script)
        states.append([answer[name].state for name in ASKED])
    assert states == [["starting"] * 5, ["healthy"] * 5, ["healthy", "unhealthy", "healthy", "unhealthy", "healthy"]]


async def test_the_store_tells_its_own_latency(observed):
    assert (await observed.look())["store"].latency_ms == 3.5


async def test_the_ingress_is_told_of_and_a_watchdog_where_there_is_one(observed):
    assert set(await observed.look()) == {*ASKED, "ingress"}
    announce(observed.state_dir, WATCHDOG)
    answer = await observed.look()
    assert [(answer[name].state, answer[name].detail) for name in ("ingress", "watchdog")] == [
        ("healthy", f"process {os.getpid()}")
    ] * 2


async def test_a_state_keeps_its_beginning(observed):
    first = (await observed.look())["accountant"].since
    observed.now += 60
    assert (await observed.look())["accountant"].since == first
    observed.now += 60
    failed_at = observed.now
    await observed.look(accountant=UNAVAILABLE)
    observed.now += 60
    assert (await observed.look(accountant=UNAVAILABLE))["accountant"].since == failed_at


async def test_since_when_a_part_is_up_outlives_the_one_who_asks(observed):
    observed.start("accountant", ago_s=5000)
    observed.start("supervisor", ago_s=400)
    before = await observed.look()
    observed.begin_anew()
    observed.now += 10
    after = await observed.look()
    for name, ago_s in (("accountant", 5010), ("supervisor", 410), ("store", 410)):
        assert before[name].since == after[name].since == pytest.approx(observed.now - ago_s), name


async def test_a_restart_between_two_looks_is_seen(observed):
    observed.start("log_hub", ago_s=5000)
    await observed.look()
    observed.now += 60
    observed.start("log_hub", ago_s=30)
    hub = (await observed.look())["log_hub"]
    assert (hub.state, hub.since, hub.last_started_at, hub.restarts) == ("healthy", observed.now - 30, observed.now - 30, 1)
    assert hub.detail == "restarted once in the last 10 minutes"


async def test_a_part_that_restarts_again_and_again_is_reported_with_the_reason(observed):
    for number in range(4):
        observed.start("accountant", ago_s=400 - 100 * number, pid=number)
    note_end(observed.state_dir, "accountant", pid=2, at=observed.now - 101, reason="ended by the watchdog: silent for 10 s")
    accountant = (await observed.look())["accountant"]
    assert (accountant.state, accountant.restarts) == ("restarting", 3)
    assert accountant.detail == "restarted 3 times in the last 10 minutes; ended by the watchdog: silent for 10 s"
    observed.now += 301
    assert (await observed.look())["accountant"].state == "healthy"


async def test_a_part_in_a_loop_that_does_not_answer_is_unhealthy_and_says_how_often(observed):
    for number in range(5):
        observed.start("supervisor", ago_s=500 - 100 * number)
    observed.now += 60
    supervisor = (await observed.look(supervisor=UNAVAILABLE))["supervisor"]
    assert supervisor.state == "unhealthy"
    assert supervisor.detail.endswith("restarted 4 times in the last 10 minutes")


@pytest.mark.parametrize(("ago_s", "state"), [(5, "starting"), (60, "unhealthy")])
async def test_only_a_new_process_may_be_starting(observed, ago_s, state):
    observed.start("accountant", ago_s=ago_s)
    assert (await observed.look(accountant=UNAVAILABLE))["accountant"].state == state


async def test_a_store_that_answers_that_it_cannot_be_used_is_not_starting(observed):
    store = (await observed.look(store=StoreUnavailableError("database is locked")))["store"]
    assert (store.state, "database is locked" in store.detail) == ("unhealthy", True)


@pytest.mark.parametrize("part", ["store", "predictor"])
async def test_one_who_asks_for_long_in_vain_since_its_own_start_calls_no_part_starting(observed, part):
    observed.start("supervisor", ago_s=600)
    observed.begin_anew()
    observed.now += 31
    assert (await observed.look(**{part: UNAVAILABLE}))[part].state == "unhealthy"


async def test_a_store_may_be_starting_with_its_supervisor_and_no_longer(observed):
    observed.start("supervisor", ago_s=600)
    observed.start("supervisor", ago_s=5)
    store = (await observed.look(store=UNAVAILABLE))["store"]
    assert (store.state, store.last_started_at, store.restarts) == ("starting", observed.now - 5, 0)
    observed.now += 26
    assert (await observed.look(store=UNAVAILABLE))["store"].state == "unhealthy"


async def test_a_part_that_was_ended_is_down_since_then_and_not_since_somebody_asked(observed):
    observed.start("accountant", ago_s=600, pid=1)
    note_end(observed.state_dir, "accountant", pid=1, at=observed.now - 50, reason="ended by the watchdog: silent for 10 s")
    assert (await observed.look(accountant=UNAVAILABLE))["accountant"].since == observed.now - 50
    observed.begin_anew()
    observed.start("accountant", ago_s=40, pid=2)
    assert (await observed.look(accountant=UNAVAILABLE))["accountant"].since == observed.now


async def test_a_new_process_of_a_part_that_had_answered_is_starting_again(observed):
    observed.start("accountant", ago_s=600)
    await observed.look()
    observed.now += 20
    observed.start("accountant", ago_s=2)
    assert (await observed.look(accountant=UNAVAILABLE))["accountant"].state == "starting"


async def test_a_log_hub_that_cannot_write_says_why(observed):
    hub = (await observed.look(log_hub="lines cannot be written (No space left on device)"))["log_hub"]
    assert (hub.state, hub.detail) == ("unhealthy", "lines cannot be written (No space left on device)")


async def test_a_watchdog_that_has_ended_or_shows_no_life_is_unhealthy(observed):
    announce(observed.state_dir, WATCHDOG)
    observed.now += 100
    watchdog = (await observed.look())["watchdog"]
    assert (watchdog.state, watchdog.detail.startswith("it has shown no life for")) == ("unhealthy", True)
    (observed.state_dir / "run/watchdog.json").write_text('{"pid": 1, "created": 1.0}')
    watchdog = (await observed.look())["watchdog"]
    assert (watchdog.state, watchdog.detail.startswith("its process has ended")) == ("unhealthy", True)


@pytest.mark.parametrize(
    ("replicas", "state", "detail"),
    [
        ([{}], "healthy", "1 replica"),
        ([{}, {}, {"is_ready": False}], "healthy", "2 replicas"),
        ([{"heard_s_ago": 11}], "starting", "the predictor does not answer; try again in 2 s"),
        ([{"is_ready": False}], "starting", "the predictor does not answer; try again in 2 s"),
    ],
)
async def test_the_predictor_is_as_healthy_as_its_replicas_speak(observed, replicas, state, detail):
    predictor = (await observed.look(predictor=[standing(**each) for each in replicas]))["predictor"]
    assert (predictor.state, predictor.detail) == (state, detail)
