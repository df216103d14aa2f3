"""The figure of an information profile."""

from __future__ import annotations

from matplotlib.figure import Figure

from study.results.figures.canvas import INK, blank, legend, shortened, tell
from study.results.model import ProfileResult

_BARS = {
    "redundancy": ("#9db8d9", ""),
    "unique_1": ("#c9dbbf", "///"),
    "unique_2": ("#f0cfae", "\\\\\\"),
    "synergy": ("#d9c3de", "xx"),
}


def information_figure(profile: ProfileResult, names: tuple[str, str]) -> Figure:
    """The profile in bits: estimate, interval and spread, what chance gives, the exact value if known.

    `names` are those of the pair's modalities.
    """
    figure, axes = blank(f"Information profile ({profile.estimator or 'PID'})")
    first, second = (shortened(name, 12) for name in names)
    for place, (key, value) in enumerate(profile.components.items()):
        if value is None:
            continue
        face, hatch = _BARS[key]
        axes.bar(place, value, width=0.62, color=face, edgecolor=INK, linewidth=0.8, hatch=hatch)
        bounds = profile.interval.get(key)
        if bounds:
            error = [[max(0.0, value - bounds[0])], [max(0.0, bounds[1] - value)]]
            axes.errorbar(place, value, yerr=error, color=INK, capsize=4, linestyle="none", label="interval")
        ends = f" [{bounds[0]:.2f}, {bounds[1]:.2f}]" if bounds else ""
        named = {
            "unique_1": f"unique to {shortened(names[0], 24)}",
            "unique_2": f"unique to {shortened(names[1], 24)}",
        }.get(key, key)
        tell(axes, place, value, f"{named}: {value:.2f}{ends} {profile.units or 'bits'}")
        marks = [components[key] for components in profile.spread.values() if key in components]
        if len(marks) > 1:
            at = [place + 0.2] * len(marks)
            axes.plot(at, marks, color=INK, marker="_", markersize=7, linestyle="none", label="other numbers of bins")
        if (profile.significant or {}).get(key) is False:
            top = (bounds or (value, value))[1]
            axes.annotate("n.s.", (place, top), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8)
        if (chance := (profile.null or {}).get(key)) is not None:
            axes.hlines(chance, place - 0.4, place + 0.4, color=INK, linestyle=":", linewidth=1.4, label="chance alone")
        if (exact := (profile.exact or {}).get(key)) is not None:
            axes.plot(place, exact, color=INK, marker="D", markerfacecolor="white", linestyle="none", label="exact")
    axes.set_xticks(range(4), ("redundancy", f"unique\n{first}", f"unique\n{second}", "synergy"))
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), axes.get_ylim()[1])
    axes.set_ylabel(profile.units or "bits")
    legend(figure, axes)
    return figure
