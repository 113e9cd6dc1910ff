"""What training costs: a small head beside other loops, many heads at once, memory, start, resume, stored features.

Run: uv run --group peers python benchmarks/train.py [--only steps grid memory start resume stored] [--runs 7]

- steps: a head on features in memory by our trainer, by a loop written by hand, by Lightning's Trainer and by
  transformers' Trainer, in turn. *Equipped* is our trainer with all that ``vidcore train`` leaves behind.
- grid: 20 probes by ``fit_grid`` against one by our trainer, for one pass over one split (learning rates x weight
  decays) and for several (x folds x seeds). Beside it the least that any way of computing them all would take.
- memory: peak memory of a step with a frozen extractor, with a trained one, and of the extractor alone.
- start: from the command to the first step of ``vidcore train``, on a folder of tiny videos.
- resume: the same after ``--resume``, and what a run that was stopped and resumed costs more than one that was not.
- stored: an epoch of a probe on stored features against one with the frozen extractor in the loop.

Figures are medians with the smallest and largest of the repetitions; CPU time is that of all threads and children.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
import train_loops as loops
import train_runs as runs
from paired import pair
from runtimes import gemm_peak
from vidcore.config import TrainConfig
from vidcore.training.batches import TrainingData
from vidcore.training.device import chosen_device
from vidcore.training.grid import fit_grid
from vidcore.training.member import GridMember
from vidcore.training.selection import Selected
from vidcore.training.trainer import Trainer

RATES, DECAYS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), (0.0, 0.01, 0.05, 0.1)
READOUTS = {"mean": {}, "attention": {"width": 64}}


def steps(repeats: int, device: str) -> None:
    """Target: at least 0.9 of the bare loop's steps per second; ahead of both peers."""
    if device != "cpu":
        print("steps: the peers' loops are written for the CPU; left out")
        return
    for readout, options in READOUTS.items():
        task = loops.Task(readout, options)
        ours = loops.vidcore(task)
        print(f"steps: {readout} head, {task.updates} steps of 32 clips ({task.dim} channels, {task.steps} steps)")
        for name, peer in (
            ("a loop written by hand", loops.bare),
            ("lightning.Trainer", loops.lightning),
            ("transformers.Trainer", loops.transformers),
            ("our trainer, equipped", loops.vidcore_equipped),
        ):
            result = pair(ours, peer(task), repeats)
            print(result.line(f"  {name}, wall", "wall_seconds"))
            print(result.line(f"  {name}, CPU"))
        result = pair(loops.vidcore_equipped(task), loops.bare(task), repeats)
        print(result.line("  equipped against by hand, CPU"))


def grid(repeats: int, device: str) -> None:
    """Target: 20 probes within 3 times the time of one."""
    config = TrainConfig(epochs=4, batch_size=32, device=device)
    everything = list(range(2048))
    splits = {k: ([i for i in everything if i % 5 != k], everything[k::5]) for k in range(5)}
    grids = {
        "5 rates x 4 decays": [GridMember(rate, decay) for rate in RATES for decay in DECAYS],
        "2 rates x 2 decays x 5 folds": [
            GridMember(rate, decay, 0, fold) for rate in RATES[1:3] for decay in DECAYS[:2] for fold in range(5)
        ],
        "20 seeds": [GridMember(1e-3, 0.05, seed) for seed in range(20)],
    }
    for readout, options in READOUTS.items():
        task = loops.Task(readout, options, config=config)
        data = task.grid_data(splits)

        def one(task: loops.Task = task, data: loops.GridData = data) -> None:
            train, val = (Selected(data.clips, rows) for rows in splits[0])
            Trainer(config).fit(task.model(), TrainingData(train, val))

        for name, members in grids.items():

            def all_at_once(
                task: loops.Task = task, data: loops.GridData = data, members: list[GridMember] = members
            ) -> None:
                result = fit_grid(lambda member: task.model(member.seed), data, members, config)
                if result.notes:
                    raise RuntimeError("; ".join(result.notes))

            result = pair(one, all_at_once, repeats)
            print(result.line(f"grid: {readout}, {name}, wall", "wall_seconds"))
            print(result.line(f"grid: {readout}, {name}, CPU"))
            alone = statistics.median(cost.cpu_seconds for cost in result.ours)
            least = len(members) * loops.operations(task) / gemm_peak()
            print(
                f"  its arithmetic alone, at the rate of matrix products: {least:.4f} s, {least / alone:.2f} times one"
            )


def main() -> None:
    parts: dict[str, Callable[[int, str], None]] = {
        "steps": steps,
        "grid": grid,
        "memory": runs.memory,
        "start": runs.start,
        "resume": runs.resume,
        "stored": runs.stored,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument("--runs", type=int, default=7, help="repetitions of what is short")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda, for grid")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.only:
        parts[name](arguments.runs, chosen_device(arguments.device))


if __name__ == "__main__":
    main()
