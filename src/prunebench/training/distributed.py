"""Several devices: one fit or evaluation by several processes, a device each, with PyTorch's distributed data parallel.

Every batch is taken in contiguous parts, one per process, as even as can be (the first are larger by one). The gradient
is the mean over the whole batch: DistributedDataParallel averages over processes, and the loss of a part counts by its
share of the batch. Batch norms normalise by their part, and the running statistics that are kept are those of the first
process, which PyTorch hands to the others before every batch. Random numbers are a function of the position and the
process. So a fit equals, to the order of sums, that of one process that takes the parts one after the other.

An evaluation is taken in the batches of one process, and what is counted of them is added in their order: it is the
same to the bit, whatever the number of processes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from prunebench.data.task import Task
from prunebench.errors import DeviceError
from prunebench.models.input_spec import output_of

Found = TypeVar("Found")

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others: the first may prune, time or write for long. One that ends is told of at
once by its connection."""


class Group:
    """The processes that compute together, and which of them this one is; of one alone everything stays as it is."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def place(self) -> tuple[int, ...]:
        """What this process adds to the position of random numbers: nothing where it is alone."""
        return () if self.size == 1 else (self.rank,)

    def part(self, batch: torch.Tensor) -> torch.Tensor:
        """This process's part of the samples of a batch."""
        return batch if self.size == 1 else parts_of(batch, self.size)[self.rank]

    def share(self, task: Task, batch: torch.Tensor) -> float:
        """What the loss of this process's part is to be multiplied by, so that the mean of all parts is the batch's."""
        if self.size == 1:
            return 1.0
        return shares(task, batch, self.size)[self.rank]

    def some(self, batches: Sequence[Found]) -> Sequence[Found]:
        """The batches of an evaluation that this process takes: contiguous, as many as the others or one more."""
        bounds = [-(-len(batches) * rank // self.size) for rank in (self.rank, self.rank + 1)]
        return batches[slice(*bounds)]

    @contextmanager
    def parallel(self, model: nn.Module) -> Iterator[nn.Module]:
        """Within it, what is to be called in the model's place so that its gradients are those of all processes. The
        model keeps its names, and is as it was afterwards."""
        if self.size == 1:
            yield model
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            wrapped = nn.parallel.DistributedDataParallel(
                Answering(model),
                init_sync=False,  # all have begun with the same
                find_unused_parameters=True,
                gradient_as_bucket_view=True,
            )
            try:
                yield wrapped
            finally:
                wrapped._remove_autograd_hooks()  # else a gradient that one process asks for would wait for the others

    def summed(self, sums: torch.Tensor) -> torch.Tensor:
        """A tensor of every process, added up in place."""
        if self.size > 1:
            dist.all_reduce(sums)
        return sums

    def gathered(self, mine: torch.Tensor) -> list[torch.Tensor]:
        """Tensors of every process in their order, on the CPU; they may differ in their first size."""
        if self.size == 1:
            return [mine]
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(mine)]))
        padded = mine.new_zeros((int(max(lengths)), *mine.shape[1:]), device="cpu")
        padded[: len(mine)] = mine
        found = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(found, padded)
        return [each[: int(length)] for each, length in zip(found, lengths, strict=True)]

    def check_alike(self, model: nn.Module) -> None:
        """Raise DeviceError where a parameter is not the same, to the bit, in every process."""
        if self.size == 1:
            return
        sums = self.gathered(torch.stack([_bits(parameter) for parameter in model.parameters()]))
        if apart := [rank for rank, each in enumerate(sums) if not torch.equal(each, sums[0])]:
            raise DeviceError(
                f"After training, the weights on device {apart[0]} are not those on device 0: the devices round "
                f"otherwise. Use devices of one kind, or --devices 1."
            )

    def told(self, content: bytes = b"") -> bytes:
        """What the first process tells the others; they wait for it."""
        size = torch.tensor([len(content)])
        dist.broadcast(size, 0)
        if not size:
            return b""
        mine = bytearray(content) if self.rank == 0 else bytearray(int(size))
        dist.broadcast(torch.frombuffer(mine, dtype=torch.uint8), 0)
        return bytes(mine)


ALONE = Group()


class Answering(nn.Module):
    """A model that answers with its scores alone, whatever else it returns.

    It has a parameter that is never used, without which PyTorch warns that it looks for such in vain: whether a model
    uses all of its own may depend on the batch, as that of experts does.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.unused = nn.Parameter(torch.zeros(1, device=next(model.parameters()).device))

    def forward(self, *inputs: Any, **named: Any) -> torch.Tensor:
        """Scores of a batch, the batch first."""
        return output_of(self.model, named or inputs[0])


def parts_of(batch: torch.Tensor, count: int) -> tuple[torch.Tensor, ...]:
    """The samples of a batch in so many contiguous parts."""
    return batch.tensor_split(count)


def shares(task: Task, batch: torch.Tensor, count: int) -> list[float]:
    """What the mean losses of the parts of a batch are to be multiplied by, so that their mean is that of the batch: 1
    where all count alike."""
    targets = task.targets["train"]
    masses = [task.objective.mass(targets[part]) for part in parts_of(batch, count)]
    return [count * mass / sum(masses) for mass in masses]


def smallest_part(samples: int, batch_size: int, count: int) -> int:
    """Samples of the smallest part of any batch of an epoch (see `fit.chunks`)."""
    whole, rest = divmod(samples, batch_size)
    sizes = [batch_size] * bool(whole) + [rest] * (rest > 1 or (rest == 1 and not whole))
    return min(sizes, default=0) // count


def join(store: Any, rank: int, size: int, *, on_gpu: bool) -> Group:
    """Meet the other processes at a store; small things go by way of the CPU in any case."""
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    return Group(rank, size)


def leave() -> None:
    """Close what connects this process with the others, which they notice."""
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def answered_for(died: Callable[[], str]) -> Iterator[None]:
    """Within it, that another process has ended becomes a DeviceError; `died` may say which one, and how."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        broken = isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "NCCL", "closed by peer"))
        if not broken:
            raise
        who = died() or "The process of another device has ended"
        raise DeviceError(
            f"{who}, so this run cannot go on. What it had finished and saved is kept: give the command again."
        ) from error


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor's bits, read as whole numbers, on the CPU: of one that is rounded otherwise, another."""
    flat = tensor.detach().contiguous().view(torch.int32 if tensor.element_size() == 4 else torch.uint8)
    return flat.sum(dtype=torch.int64).cpu()
