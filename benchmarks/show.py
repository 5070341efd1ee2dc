"""Prints what a benchmark ran on, and prints and draws what it measured."""

import datetime
import os
import shlex
import sys
from pathlib import Path

from glr_keras.runs.environment import describe_environment

FOLDER = Path("runs/benchmarks")


def print_context() -> None:
    """Prints command, commit, machine, versions and date: what a reader of a figure needs."""
    found = describe_environment()
    versions = [f"{name} {version}" for name, version in found["versions"].items() if version]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"command  {shlex.join(['python', *sys.argv])}")
    print(f"commit   {found['commit']}, on {datetime.date.today()}")
    processor = " ".join([found["processor"], *found["processor_features"]])
    print(f"machine  {processor}, {found['cores']} cores, {memory:.0f} GiB, {found['platform']}")
    print(f"versions Python {found['python']}, {', '.join(versions)}\n", flush=True)


def show(name: str, title: str, unit: str, rows: list[tuple[str, float]], goal: float = 0) -> None:
    """Prints a small table and draws it as bars in `runs/benchmarks/NAME.png`.

    Args:
        name: Of the picture.
        title: What the numbers say.
        unit: Of the numbers.
        rows: (what, number) of each bar.
        goal: Float, drawn as a line where it is not 0.
    """
    from matplotlib.figure import Figure

    width = max(len(what) for what, _ in rows)
    print(f"\n{title} ({unit})")
    for what, number in rows:
        print(f"  {what:<{width}}  {number:.3g}")
    figure = Figure(figsize=(8, 1.4 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names, numbers = zip(*reversed(rows), strict=True)
    bars = axes.barh(names, numbers, color="#4477aa")
    axes.bar_label(bars, fmt=" %.3g")
    axes.margins(x=0.12)
    if goal:
        axes.axvline(goal, color="#cc6677", linestyle="--", label=f"goal: {goal:g}")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.25 if len(rows) < 4 else -0.15))
    axes.set_xlabel(unit)
    axes.set_title(title)
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=120)
    print(f"Picture: {FOLDER / name}.png", flush=True)
