"""Which devices a run uses, with which precision, and in how many processes."""

from __future__ import annotations

import os
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from vidcore.config import TrainConfig
from vidcore.errors import ConfigError
from vidcore.training.one_device import OneDevice

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

# The first process checks the videos while the others wait.
_PATIENCE = timedelta(hours=6)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    Launched = Fabric | OneDevice


def make_fabric(config: TrainConfig) -> Launched:
    """What places a model on its devices: one device, or Fabric, launched, as one of several processes.

    Below torchrun the number of processes is torchrun's; on SLURM it must be what ``srun`` started; elsewhere
    ``devices`` processes are started here, each of which runs the program anew from its beginning.

    Raises:
        ConfigError: the device is unknown, not there, or cannot do the precision; processes that do not fit.
    """
    if config.deterministic:
        # cuBLAS reads it when it starts (docs of torch.use_deterministic_algorithms).
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    device, precision = chosen_device(config.device), chosen_precision(config)
    devices, nodes = _processes(config, device)
    if devices * nodes == 1 and precision != "16-mixed":
        return OneDevice(device, bfloat16=precision == "bf16-mixed")
    return _launched(config, device, precision, devices, nodes)


def precision_of(fabric: Launched) -> Any:
    """The context of forwards and the type of outputs."""
    return fabric.precision if isinstance(fabric, OneDevice) else fabric.strategy.precision


def placed(fabric: Launched, model: nn.Module) -> Any:
    """``model`` on its devices; where a wrapper is needed, one whose ``encode`` and ``decide`` can be called."""
    if isinstance(fabric, OneDevice):
        return fabric.setup_module(model)
    wrapped = fabric.setup_module(model)
    for method in ("encode", "decide"):
        wrapped.mark_forward_method(method)
    return wrapped


def _launched(config: TrainConfig, device: str, precision: Precision, devices: int, nodes: int) -> Fabric:
    # Here, because it takes seconds to import, and one process needs none of it.
    from lightning_fabric import Fabric

    if not torch.cuda.is_available():
        # Importing Fabric sets it; where there is no GPU every step of AdamW then searches for the driver's library.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    options: dict[str, Any] = {}
    if devices * nodes > 1:
        options = {"num_nodes": nodes, "strategy": _strategy(config, precision, devices * nodes)}
    try:
        fabric = Fabric(accelerator=device, devices=devices, precision=precision, **options)
        fabric.launch()
    except ValueError as exc:
        raise ConfigError(f"train.devices={devices} train.nodes={nodes}: {exc}") from exc
    os.environ.setdefault("LOCAL_WORLD_SIZE", str(devices))
    return fabric


def _processes(config: TrainConfig, device: str) -> tuple[int, int]:
    """Processes per machine, and machines."""
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        local = int(environment["LOCAL_WORLD_SIZE"])
        return local, int(environment["WORLD_SIZE"]) // local
    if config.devices != "auto":
        return config.devices, config.nodes
    return (torch.cuda.device_count() if device == "cuda" else 1), config.nodes


def _strategy(config: TrainConfig, precision: Precision, count: int) -> Any:
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    if config.strategy == "fsdp":
        if precision == "16-mixed":
            raise ConfigError("train.strategy=fsdp cannot scale 16-mixed losses; use train.precision=bf16-mixed")
        from vidcore.training.sharding import shard

        return ModelParallelStrategy(shard, data_parallel_size=count, tensor_parallel_size=1, timeout=_PATIENCE)
    # An extractor that gives an inner map has blocks that take no part; without them there is a warning each run.
    warnings.filterwarnings("ignore", message=".*find_unused_parameters=True was specified.*")
    return DDPStrategy(find_unused_parameters=True, timeout=_PATIENCE)


def is_first_process() -> bool:
    """Whether this is the one of several processes that speaks for them; alone, it is."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def is_sharded(fabric: Launched) -> bool:
    """Whether each process holds only a part of the model."""
    if isinstance(fabric, OneDevice):
        return False
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    return isinstance(fabric.strategy, ModelParallelStrategy)


def chosen_device(asked: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is the GPU where there is one.

    Raises:
        ConfigError: an unknown device, or no GPU that torch can use.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"train.device is {asked!r}; use auto, cpu or cuda")
    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device is cuda, and torch sees no GPU here; use train.device=auto")
    return asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def chosen_precision(config: TrainConfig) -> Precision:
    """The precision asked for; by default bf16-mixed on a GPU that has it, else 32-true.

    Raises:
        ConfigError: 16-mixed without a GPU.
    """
    device = chosen_device(config.device)
    if config.precision is not None:
        if config.precision == "16-mixed" and device == "cpu":
            raise ConfigError("train.precision is 16-mixed, which needs a GPU; use bf16-mixed or 32-true")
        return config.precision
    return "bf16-mixed" if device == "cuda" and torch.cuda.is_bf16_supported() else "32-true"


def device_name(device: torch.device) -> str:
    """The device in words: the GPU's name, or the number of CPU threads torch uses."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
