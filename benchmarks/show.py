"""Prints and draws what a benchmark measured."""

from pathlib import Path

FOLDER = Path("runs/benchmarks")


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
