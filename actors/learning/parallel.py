"""Several processes that train one network together: who they are, how they agree, and what happens when one is lost.

Owns the process group of a training and what the ranks tell each other outside of a step of learning. A rank is one of
those processes, with a device of its own; all ranks live on one node and find each other through a file. Everything here
costs nothing with a single rank: then no group is made and every agreement is one's own opinion.

Ranks stay together because each does the same things in the same order; a `Gang` holds the few things that must be agreed
on. It does not know what is learnt.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
from torch import Tensor

from actors.learning.errors import RankLostError
from actors.learning.plan import TrainingPlan
from actors.learning.seeds import mixed_seed

#: The ranks talk over this interface only: they share a node, and their connections know no authentication.
_LOOPBACK = "lo"
#: What gloo's plain errors contain (the paths of its source files), and that of the file where the ranks meet.
_WORDS_OF_THE_GROUP = ("gloo", "Gloo", "Wait timeout")


@dataclass(frozen=True, slots=True)
class Gang:
    """The ranks of one training as one of them sees them; by default it is alone.

    Every method is called by all ranks, in the same order: each waits for the others' answers.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether there is no other rank."""
        return self.world_size == 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that reports and writes for all."""
        return self.rank == 0

    def is_any(self, wish: bool) -> bool:  # noqa: FBT001 (a wish is all there is to say)
        """Tell whether any rank says yes."""
        if self.is_alone:
            return wish
        return bool(self.total(torch.tensor(int(wish))).item())

    def agreed(self, should_stop: Callable[[], bool]) -> Callable[[], bool]:
        """Turn the ranks' own wishes to stop into a common one: all of them stop at the same question, or none does."""
        return should_stop if self.is_alone else lambda: self.is_any(should_stop())

    def total(self, values: Tensor) -> Tensor:
        """Add a tensor up over the ranks, in place: the same sum on each of them."""
        if not self.is_alone:
            torch.distributed.all_reduce(values)
        return values

    def part(self, begin: int, end: int) -> slice:
        """Give this rank's part of a range that is divided as evenly as possible; it may be empty."""
        count = end - begin
        return slice(begin + count * self.rank // self.world_size, begin + count * (self.rank + 1) // self.world_size)

    def seed_step(self, seed: int, epoch: int, position: int) -> None:
        """Give this rank the random numbers of one step of learning, which no other rank and no other step has.

        They depend on the arguments and on the rank alone. So a training that goes on from a checkpoint draws on every
        rank what it would have drawn, though the checkpoint holds the state of no rank but the first. A rank that is
        alone keeps the one stream that it began with.
        """
        if not self.is_alone:
            torch.manual_seed(mixed_seed(seed, epoch, position, self.rank))


#: What a training on one device is.
ALONE: Final = Gang()


@contextmanager
def join(plan: TrainingPlan) -> Iterator[Gang]:
    """Wait for the other ranks of a training, and be one of them until the block ends.

    Raises:
        ValueError: The plan has several ranks, but no file where they meet, or a rank outside of them.
        RankLostError: Another rank did not come, ended or fell silent. One that ends closes its connections, so the
            others notice when they next wait for it; one that is alive but stuck is given up after
            ``plan.rank_timeout_s``. Where a GPU itself waits for a rank that is gone, that limit holds too, and torch
            then ends the process.
    """
    if plan.world_size == 1:
        yield ALONE
        return
    if plan.rendezvous is None or not 0 <= plan.rank < plan.world_size:
        raise ValueError(f"rank {plan.rank} of {plan.world_size} cannot meet the others at {plan.rendezvous}")
    with _lost_ranks_explained(plan):
        _form_group(plan)
        try:
            yield Gang(plan.rank, plan.world_size)
        except BaseException:
            # Not destroyed, which could wait for work that a lost rank will never do. The process is about to end.
            _abort_group()
            raise
        # What still holds the group in a cycle must go first: were such an object the last to let go of it, Python's lock
        # would be held while gloo's threads end, and they need that lock.
        gc.collect()
        torch.distributed.destroy_process_group()


def _form_group(plan: TrainingPlan) -> None:
    """Connect with the other ranks: gloo carries what lies in memory, nccl what lies on GPUs."""
    device, patience = torch.device(plan.device), timedelta(seconds=plan.rank_timeout_s)
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = _LOOPBACK
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=torch.distributed.FileStore(str(plan.rendezvous), plan.world_size),  # type: ignore[attr-defined]
        rank=plan.rank,
        world_size=plan.world_size,
        timeout=patience,
    )


def _abort_group() -> None:
    """Close the connections at once, whatever is under way on them: that is how the other ranks notice."""
    group = torch.distributed.group.WORLD
    with suppress(RuntimeError):
        if group is not None:
            group.abort()


@contextmanager
def _lost_ranks_explained(plan: TrainingPlan) -> Iterator[None]:
    """Turn what the group raises when a rank does not answer into an error that says so."""
    try:
        yield
    except RuntimeError as error:
        if not _is_of_the_group(error):
            raise
        raise RankLostError(
            f"rank {plan.rank} of {plan.world_size} lost another rank of its training: {str(error).splitlines()[0]}",
            f"See how that one ended. A rank counts as lost after {plan.rank_timeout_s:g} s of silence, too.",
        ) from error


def _is_of_the_group(error: RuntimeError) -> bool:
    """Tell whether an error comes from what connects the ranks. Some have no type of their own, but words."""
    return isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in _WORDS_OF_THE_GROUP)
