"""The figure of faithfulness: deletion and insertion curves, one colour per map."""

from pathlib import Path

from matplotlib.figure import Figure

from glr_keras.reporting.figures import save_figure
from glr_keras.saliency.result import Faithfulness

# Okabe and Ito's colours; controls are grey, so that one glance finds what they must lose to.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
CONTROLS = {"centre": ("0.35", "--"), "random": ("0.6", ":")}
TITLES = {
    "deletion_mean": "deletion to grey\n(lower is better)",
    "deletion_blur": "deletion to blur\n(lower is better)",
    "insertion_mean": "insertion into grey\n(higher is better)",
    "insertion_blur": "insertion into blur\n(higher is better)",
}


def draw_faithfulness(result: Faithfulness, path: Path) -> None:
    """Draws the answer's mean probability while cells go, or come back, in the order of each map.

    Args:
        result: Faithfulness with at least one curve of `TITLES`.
        path: Where the PNG goes.
    """
    names = [name for name in TITLES if name in next(iter(result.curves.values()))]
    figure = Figure(figsize=(3.3 * len(names) + 1.8, 3.6), layout="constrained")
    all_axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    colours = iter(COLOURS)
    styles = {one: CONTROLS.get(one) or (next(colours, "black"), "-") for one in result.curves}
    for axes, name in zip(all_axes, names, strict=True):
        for one in result.curves:
            colour, line = styles[one]
            curve = result.curves[one][name].mean(0)
            label = f"{one}  {result.mean(one, name):.3f}"
            axes.plot(result.fractions, curve, line, color=colour, label=label, lw=1.8)
        axes.set(xlabel="fraction of the cells", ylim=(0, 1.02), xlim=(0, 1))
        axes.set_title(TITLES[name], fontsize=10)
        axes.legend(title="area", fontsize=7, title_fontsize=7, frameon=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("probability of the answer")
    figure.suptitle(f"{result.parameters['photos']} photos", fontsize=10)
    save_figure(figure, path)
