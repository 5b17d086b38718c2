"""The names under which the service's parts find each other in Ray."""

from typing import Final

#: Ray's namespace of every named actor of the service.
NAMESPACE: Final = "rfuav"
ACCOUNTANT: Final = "accountant"
SUPERVISOR: Final = "supervisor"
LOG_HUB: Final = "log_hub"
#: The Serve application that answers HTTP, and its one deployment.
INGRESS: Final = "ingress"
#: The process that ends what lives but does not answer; it is no actor.
WATCHDOG: Final = "watchdog"
#: The Serve application of online prediction, and its one deployment.
PREDICTOR: Final = "predictor"

#: What a node that joins says of itself, as labels of Ray: its name, and whether its GPUs are simulated ("True" or "False").
NAME_LABEL = "rfuav.name"
SIMULATED_LABEL = "rfuav.simulated"
