"""Both Serve applications for `serve deploy configs/serve.yaml`, made of what the service's actors were started with.

Serve calls these builders in a process of its own, on any node, with no settings at hand: the accountant tells them, and where the
ingress belongs. So the file needs no value that is not the same for everybody.
"""

from collections.abc import Mapping
from typing import Final

import ray
from ray.serve import Application

from actors.core.serving import ServingAllowance
from actors.home import Home
from actors.names import ACCOUNTANT, NAMESPACE
from serve_app.deployment import bind_predictor, build_ingress
from serve_app.predictor_plan import choose_plan, choose_scale

_ANSWER_S: Final = 60.0


class UnknownArgumentsError(ValueError):
    """Somebody gave the file arguments that nothing here reads."""


def ingress(args: Mapping[str, str]) -> Application:
    """The HTTP application of the running service. Raises UnknownArgumentsError, and ValueError where no accountant runs."""
    _refuse(args)
    home = _ask_home()
    return build_ingress(home.settings, home.node_id)


def predictor(args: Mapping[str, str]) -> Application:
    """Online prediction, as large as the devices allow now. Raises UnknownArgumentsError, and ValueError where no accountant runs."""
    _refuse(args)
    home, allowance = _ask_home(), _ask_allowance()
    plan = choose_plan(home.settings, allowance)
    return bind_predictor(plan, choose_scale(plan.settings, allowance.most_replicas))


def _ask_home() -> Home:
    accountant = ray.get_actor(ACCOUNTANT, namespace=NAMESPACE)
    home: Home = ray.get(accountant.home.remote(), timeout=_ANSWER_S)
    return home


def _ask_allowance() -> ServingAllowance:
    accountant = ray.get_actor(ACCOUNTANT, namespace=NAMESPACE)
    allowance: ServingAllowance = ray.get(accountant.serving_allowance.remote(), timeout=_ANSWER_S)
    return allowance


def _refuse(args: Mapping[str, str]) -> None:
    if args:
        raise UnknownArgumentsError(
            f"args: {', '.join(args)}: the applications take none; they are made of the running actors' settings"
        )
