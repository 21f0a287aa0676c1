"""A device that is not there: tensors that are moved to it say that they lie on it, and are computed by the CPU.

    with pretended("cuda") as device:
        model.to(device)

What a device refuses is refused with PyTorch's own kinds of errors: tensors of two devices in one operation (but for
CPU tensors without dimensions, and indices on the CPU), a generator of another device, `numpy()` before `cpu()`, and
on mps whatever is of 64 bits. The device is that of the memory: views share it, and what an operation makes lies where
its operands lie. Every operation is seen, those of autograd, of optimizers and inside PyTorch's own layers too; what
only a device's kernels do, such as their rounding, is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

CPU = torch.device("cpu")
INSIDE = torch.device("meta")
"""Where what PyTorch makes inside an operation lies: wherever it is needed, which cannot be seen from outside."""

INDEXING = {
    *("aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_"),
    *("aten::_index_put_impl_", "aten::_unsafe_index_put"),
}
MOVING = {"aten::copy_", "aten::_foreach_copy_"}
NEVER_A_NUMBER = ("aten::_fused_", "aten::_amp_", "aten::cat", "aten::stack")
"""Operations that take no number on the CPU beside tensors elsewhere."""

WIDE = (torch.float64, torch.complex128)
REAL = {name: getattr(torch._C.TensorBase, name) for name in ("device", "to", "numpy")}

Places = dict[int, tuple[StorageWeakRef, torch.device]]


def _plain(device: Any) -> torch.device:
    """A device with its number, as tensors tell it: cuda is cuda:0."""
    found = torch.device(device)
    return found if found.type in ("cpu", "meta") else torch.device(found.type, found.index or 0)


def _leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, (list, tuple)):
        for value in values:
            yield from _leaves(value)
    else:
        yield values


class _Pretended(TorchDispatchMode):
    """Where tensors are, and what may meet."""

    def __init__(self) -> None:
        super().__init__()
        self._places: Places = {}
        self._made_by_caller = False

    def device_of(self, tensor: torch.Tensor) -> torch.device:
        """Where a tensor pretends to be."""
        while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            tensor = torch._C._functorch.get_unwrapped(tensor)
        real = REAL["device"].__get__(tensor)
        if real.type == "meta" or tensor.layout is not torch.strided:
            return real
        found = self._places.get(tensor.untyped_storage()._cdata)
        return CPU if found is None or found[0].expired() else found[1]

    def put(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Have a tensor's memory lie on a device.

        Raises:
            TypeError: the device knows no such numbers.
        """
        if REAL["device"].__get__(tensor).type == "meta" or tensor.layout is not torch.strided:
            return tensor
        if device.type == "mps" and tensor.dtype in WIDE:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        storage = tensor.untyped_storage()
        if device == CPU:
            self._places.pop(storage._cdata, None)
        else:
            self._places[storage._cdata] = StorageWeakRef(storage), device
        return tensor

    def moved(self, tensor: torch.Tensor, device: torch.device, **how: Any) -> torch.Tensor:
        """A copy of a tensor on a device, that gradients go through."""
        if tensor.requires_grad and torch.is_grad_enabled():
            return _Move.apply(tensor, self, device, how)
        with _disable_current_modes():
            copy = REAL["to"](tensor, copy=True, **how)
        return self.put(copy, device)

    def made(self, make: Callable[..., torch.Tensor], *args: Any, device: Any = None, **how: Any) -> torch.Tensor:
        """What a function of PyTorch makes where it is told to, which is the CPU if it is not."""
        wanted = CPU if device is None else _plain(device)
        if wanted.type == "meta":
            return make(*args, device=device, **how)
        self._check_generator(how.get("generator"), wanted)
        self._made_by_caller = True
        try:
            return self.put(make(*args, **how), wanted)
        finally:
            self._made_by_caller = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [each for each in _leaves((args, list(kwargs.values()))) if isinstance(each, torch.Tensor)]
        device = self._meeting(func, args, given)
        if given:
            self._check_generator(kwargs.get("generator"), device)
        found = func(*args, **kwargs)
        known = {id(each) for each in given}
        memory = {each.untyped_storage()._cdata for each in given if each.layout is torch.strided}
        for each in _leaves(found):
            if not isinstance(each, torch.Tensor) or id(each) in known or each.layout is not torch.strided:
                continue
            if each.untyped_storage()._cdata not in memory:
                self.put(each, device)
        return found

    def _meeting(self, func: Any, args: Any, given: list[torch.Tensor]) -> torch.device:
        """Where an operation is computed.

        Raises:
            RuntimeError: PyTorch would refuse it.
        """
        if not given:
            return CPU if self._made_by_caller else INSIDE
        name, places = func._schema.name, [self.device_of(each) for each in given]
        if name in MOVING:
            return places[0]
        if name in INDEXING:
            return self._indexed(args, func)
        known = [(each, place) for each, place in zip(given, places, strict=True) if place != INSIDE]
        numbers = not name.startswith(NEVER_A_NUMBER)
        tensors = [(each, place) for each, place in known if not (numbers and place == CPU and each.ndim == 0)]
        found = {place for _, place in tensors}
        if len(found) > 1:
            where = ", ".join(sorted(map(str, found)))
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {where} ({func})")
        common = found.pop() if found else CPU if known else INSIDE
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.is_write and isinstance(value, torch.Tensor):
                if self.device_of(value) == INSIDE:
                    self.put(value, common)
                elif self.device_of(value) != common:
                    raise RuntimeError(f"Expected what is written to be on the device {common} ({func})")
        return common

    def _indexed(self, args: Any, func: Any) -> torch.device:
        """Where a tensor lies that is indexed: indices may be on the CPU."""
        place = self.device_of(args[0])
        for index in args[1]:
            if index is not None and self.device_of(index) not in (CPU, INSIDE, place):
                raise RuntimeError(
                    f"indices should be either on cpu or on the same device as the indexed tensor ({place})"
                )
        for values in args[2:3]:
            there = self.device_of(values) if isinstance(values, torch.Tensor) else place
            if there not in (INSIDE, place) and (values.ndim or there != CPU):
                raise RuntimeError(f"Expected all tensors to be on the same device, {place} ({func})")
        return place

    @staticmethod
    def _check_generator(generator: Any, device: torch.device) -> None:
        if generator is not None and device != INSIDE and _of(generator).type != device.type:
            raise RuntimeError(
                f"Expected a '{device.type}' device type for generator but found '{_of(generator).type}'"
            )


class _Move(torch.autograd.Function):
    """A move between devices; its gradient moves back."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, mode: _Pretended, device: torch.device, how: Any) -> torch.Tensor:
        ctx.back = mode, mode.device_of(tensor), {"dtype": tensor.dtype}
        return mode.moved(tensor.detach(), device, **how)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        mode, device, how = ctx.back
        return mode.moved(gradient, device, **how), None, None, None


class _Generator(torch.Generator):
    """A generator of a device that is not there."""

    where = CPU

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made = super().__new__(cls)
        made.where = _plain(device)
        return made


def _of(generator: torch.Generator) -> torch.device:
    return generator.where if isinstance(generator, _Generator) else CPU


def _methods(mode: _Pretended) -> dict[str, Any]:
    """Methods of tensors that know where they are."""

    def to(tensor: torch.Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> torch.Tensor:
        if args and isinstance(args[0], torch.Tensor):
            args = (mode.device_of(args[0]), args[0].dtype, *args[1:])
        device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
        here = mode.device_of(tensor)
        wanted = here if device is None else _plain(device)
        how = {"dtype": dtype or tensor.dtype} | ({} if layout is None else {"memory_format": layout})
        if wanted == here or "meta" in (wanted.type, here.type):
            place = {"device": "meta"} if wanted.type == "meta" else {}
            return REAL["to"](tensor, copy=copy, **how, **place)
        return mode.moved(tensor, wanted, **how)

    def numpy(tensor: torch.Tensor, *, force: bool = False) -> Any:
        if not force and (here := mode.device_of(tensor)) != CPU:
            raise TypeError(f"can't convert {here} device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        return REAL["numpy"](tensor, force=force)

    def pinned(tensor: torch.Tensor) -> torch.Tensor:
        if (here := mode.device_of(tensor)) != CPU:
            raise RuntimeError(f"cannot pin a tensor of {here}, only dense CPU tensors can be pinned")
        return tensor

    def new(name: str) -> Callable[..., torch.Tensor]:
        real = getattr(torch._C.TensorBase, name)

        def make(tensor: torch.Tensor, *args: Any, device: Any = None, **how: Any) -> torch.Tensor:
            return mode.put(real(tensor, *args, **how), mode.device_of(tensor) if device is None else _plain(device))

        return make

    return {
        "device": property(mode.device_of),
        "is_cuda": property(lambda tensor: mode.device_of(tensor).type == "cuda"),
        "is_mps": property(lambda tensor: mode.device_of(tensor).type == "mps"),
        "is_cpu": property(lambda tensor: mode.device_of(tensor).type == "cpu"),
        "to": to,
        "numpy": numpy,
        "pin_memory": pinned,
        "cpu": lambda tensor, **how: to(tensor, CPU, **how),
        "type_as": to,
        **{name: new(name) for name in ("new_empty", "new_full", "new_ones", "new_tensor", "new_zeros")},
    }


def _functions(mode: _Pretended) -> dict[str, Any]:
    """Functions of PyTorch that are told a device."""
    alike = [name for name in dir(torch) if name.endswith("_like") and not name.startswith("_")]
    made = {
        name: functools.partial(mode.made, getattr(torch, name))
        for each in _device_constructors()
        if hasattr(torch, name := each.__name__) and not name.startswith("sparse")
    }

    def like(name: str) -> Callable[..., torch.Tensor]:
        real = getattr(torch, name)

        def make(tensor: torch.Tensor, *args: Any, device: Any = None, **how: Any) -> torch.Tensor:
            wanted = mode.device_of(tensor) if device is None else _plain(device)
            wide = how.get("dtype") in WIDE and mode.device_of(tensor).type == "mps" != wanted.type
            return mode.put(real(tensor.cpu() if wide else tensor, *args, **how), wanted)

        return make

    real = torch.autocast
    return {
        **made,
        **{name: like(name) for name in alike},
        "Generator": _Generator,
        "autocast": lambda device_type, **how: real("cpu", **how),
    }


GROUPING = "_group_tensors_by_device_and_dtype"
GROUP = getattr(torch._C, GROUPING)


def _grouped(mode: _Pretended, lists: Any, indices: bool) -> Any:
    """Tensors of an optimizer by device and dtype."""
    found = GROUP(lists, indices)
    return {(mode.device_of(of[0][0][0]), dtype): of for (_, dtype), of in found.items()}


class _Event:
    """What times a device that is not there."""

    def __init__(self, enable_timing: bool = False) -> None: ...

    def record(self) -> None: ...

    def elapsed_time(self, other: _Event) -> float:
        return 1.0


OF_CUDA: dict[str, Any] = {
    "is_available": lambda: True,
    "is_initialized": lambda: False,
    "device_count": lambda: 1,
    "is_current_stream_capturing": lambda: False,
    "get_device_name": lambda device=None: "a GPU that is not there",
    "get_device_capability": lambda device=None: (9, 0),
    "synchronize": lambda device=None: None,
    "reset_peak_memory_stats": lambda device=None: None,
    "memory_allocated": lambda device=None: 0,
    "max_memory_allocated": lambda device=None: 1,
    "mem_get_info": lambda device=None: (2**40, 2**40),
    "Event": _Event,
}


@contextmanager
def pretended(name: str) -> Iterator[torch.device]:
    """Within it there is a device of this name, "cuda" or "mps"."""
    mode = _Pretended()
    clone = torch.UntypedStorage.clone

    def cloned(storage: torch.UntypedStorage) -> torch.UntypedStorage:
        found, place = clone(storage), mode._places.get(storage._cdata)
        if place is not None and not place[0].expired():
            mode._places[found._cdata] = StorageWeakRef(found), place[1]
        return found

    with ExitStack() as stack:
        for method, value in _methods(mode).items():
            stack.enter_context(patch.object(torch.Tensor, method, value))
        for function, value in _functions(mode).items():
            stack.enter_context(patch.object(torch, function, value))
        stack.enter_context(patch.object(torch.UntypedStorage, "clone", cloned))
        stack.enter_context(patch.object(torch._C, GROUPING, functools.partial(_grouped, mode)))
        health = "_accelerator_graph_capture_health_check"  # of newer PyTorch: it asks a stream of the device
        stack.enter_context(patch.object(torch.optim.Optimizer, health, lambda optimizer: None, create=True))
        stack.enter_context(patch.object(torch.nn.RNNBase, "flatten_parameters", lambda layer: None))  # cuDNN's
        if name == "cuda":
            for function, value in OF_CUDA.items():
                stack.enter_context(patch.object(torch.cuda, function, value))
        else:
            stack.enter_context(patch.object(torch.backends.mps, "is_available", lambda: True))
            stack.enter_context(patch.object(torch.mps, "get_rng_state", lambda: torch.zeros(1)))
            stack.enter_context(patch.object(torch.mps, "set_rng_state", lambda state: None))
        stack.enter_context(mode)
        yield torch.device(name)
