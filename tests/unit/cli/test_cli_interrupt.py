"""Ctrl-C and terminals: a real process gets a real SIGINT, once with a pipe and once with a terminal behind stdout."""

import json
import os
import pty
import signal
from dataclasses import replace

import pytest

from actors.core.model import WorkKind
from tests.fakes import make_line
from tests.unit.cli.conftest import DEADLINE_S, interrupt, wait_until

TRAIN = ("train", "--model", "resnet18", "--num-classes", 3, "--train-path", "t", "--val-path", "v", "--save-path", "out")


@pytest.fixture
def training(run, world):
    """A training t1 that runs and has said something."""
    run(*TRAIN, "--task-id", "t1")
    world.do(world.tasks.grant, "t1", "cuda:0")
    metrics = {"epoch": 2, "total_epochs": 10, "train_loss": 0.5, "val_acc": 81.25, "macro_f1": 0.79}
    lines = [make_line("begun", status="running"), make_line("Epoch 2/10", stage="epoch_end", metrics=metrics, progress=20)]
    world.wait(world.logs.write("t1", *lines))
    return "t1"


def read_until(descriptor, words):
    """What a terminal was sent, up to some words."""
    text = ""
    while words not in text:
        text += os.read(descriptor, 65536).decode()
    return text


@pytest.mark.usefixtures("training")
def test_ctrl_c_detaches_and_tells_how_to_come_back_and_how_to_cancel(start, world):
    process = start("tasks", "follow", "t1")
    assert process.stdout.readline().endswith("begun\n")
    assert process.stdout.readline().endswith("Epoch 2/10\n")
    code, rest, said = interrupt(process)
    assert (code, rest) == (130, "")
    assert "rfuav tasks follow t1" in said
    assert "rfuav tasks cancel t1" in said
    # The signal may come between the second line and the note that it was shown: then it would be shown again, never left out.
    assert "--after 2" in said or "--after 1" in said
    assert "Traceback" not in said
    assert world.tasks.flow.get("t1").ending is None


@pytest.mark.usefixtures("training")
def test_a_terminal_gets_a_bar_with_metrics_and_the_lines_above_it(start):
    watched, screen = pty.openpty()
    process = start("tasks", "follow", "t1", stdout=screen, COLUMNS="160")
    os.close(screen)
    text = read_until(watched, "F1 0.790")
    assert "begun" in text
    assert "epoch 2/10, loss 0.5, val acc 81.2 %" in text
    assert "20%" in text
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 130
    assert "\x1b[?25h" in read_until(watched, "\x1b[?25h")  # the cursor is back
    os.close(watched)


def test_ctrl_c_leaves_a_batch_to_itself(start, run, world):
    answer = json.loads(run("infer-batch", "a", "--cfg-path", "c", "--weight-path", "w", "--json").stdout)
    process = start("batches", "follow", answer["batch_id"])
    assert "pending 1" in process.stdout.readline()
    code, _, said = interrupt(process)
    assert code == 130
    assert f"rfuav batches follow {answer['batch_id']}" in said


class TestWatchingDevices:
    def change(self, world):
        views = world.resources.current.devices
        limited = replace(views[0], limits={**views[0].limits, WorkKind.TRAINING: 7})
        world.resources.current = replace(world.resources.current, devices=(limited, *views[1:]))

    def test_json_is_one_object_for_each_change_and_ctrl_c_is_a_success(self, start, world):
        process = start("devices", "--watch", "--json")
        first = json.loads(process.stdout.readline())
        assert [device["simulated"] for device in first["devices"]] == [False, True, False]
        world.do(self.change, world)
        assert json.loads(process.stdout.readline())["devices"][0]["limits"]["training"] == 7
        assert interrupt(process)[0] == 0

    def test_a_terminal_gets_a_table_that_is_redrawn(self, start, world):
        watched, screen = pty.openpty()
        process = start("devices", "--watch", stdout=screen, COLUMNS="200")
        os.close(screen)
        assert "simulated" in read_until(watched, "Ctrl-C ends")
        world.do(self.change, world)
        read_until(watched, "training 0/7")
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
        os.close(watched)

    def test_a_pipe_gets_plain_tables(self, start):
        process = start("devices", "--watch")
        heading = process.stdout.readline()
        assert heading.startswith("DEVICE")
        code, rest, _ = interrupt(process)
        assert code == 0
        assert "\x1b" not in rest


def test_nobody_waits_long_for_a_service_that_is_not_there(start):
    for command in (("tasks", "list"), ("tasks", "follow", "t1"), ("devices", "--watch"), ("devices",), ("predict", __file__)):
        process = start(*command, RFUAV_URL="http://127.0.0.1:1")
        _, said = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 1, command
        assert "127.0.0.1:1" in said
        assert "rfuav" in said


def test_interrupting_a_wait_for_an_answer_is_quiet(start, world, run):
    run(*TRAIN, "--task-id", "t1")
    world.do(world.logs.hang)
    process = start("tasks", "log", "t1")
    wait_until(lambda: world.logs.calls)
    code, out, said = interrupt(process)
    world.do(world.logs.answer_again)
    assert (code, out) == (130, "")
    assert "Traceback" not in said
