"""Signals that mean "stop" arrive as one exception."""

import signal

import pytest

from cluster.signals import StopRequested, deaf, kept, stop_as_exception


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_stop_signal_becomes_the_same_request(number):
    # Not ignored, whoever started the tests: a run under nohup hands an ignored SIGHUP down.
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(StopRequested), stop_as_exception():
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_nothing_interrupts_what_runs_deaf():
    with stop_as_exception(), deaf():
        signal.raise_signal(signal.SIGTERM)


def test_a_hangup_that_nohup_ignores_stays_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_as_exception():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, former)


def test_handlers_that_a_library_installs_do_not_stay():
    with stop_as_exception():
        with kept():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(StopRequested):
            signal.raise_signal(signal.SIGTERM)
