"""Does k-mixup keep cluster and manifold structure? Interpolants of toy sets, measured over seeds.

    python benchmarks/structure.py [--quick] [--figure docs/structure.png]

512 points are paired with 512 independent ones in blocks of k and mixed with λ ~ Beta(α, α), one λ per batch of 64.
The first table has α = 1 for every k. The second has equal perturbation: α is such that every k displaces points as
much, in expectation, as k = 64 does at α = 1.

W2 is the exact Wasserstein distance (by POT) to 512 fresh points. The column "fresh" compares other fresh points with
them, which is what independent draws reach. A point is off the support if it is farther from the noise-free set than
three standard deviations of the noise. The last column is paired by seed.

The third table measures on 8,192 points how distances fall with k. The toy sets hold their classes in equal parts.
Blocks that are a large part of a sample would hold nearly equal numbers of each cluster, so too few pairs would cross.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import ot
import torch

from benchmarks.timing import describe_machine, print_header, print_row
from tune_kmixup.analysis.stats import Estimate, t_interval
from tune_kmixup.data import synthetic
from tune_kmixup.mixing.pairing import pair
from tune_kmixup.mixing.step import alpha_for, mix, perturbation_factor, sample_lambda

POINTS, BATCH = 512, 64
SETS = {
    # name: (generator, standard deviation of its noise, rate at which the matched distance falls for large k)
    "one_ring": (synthetic.one_ring, 0.1, "k^-1/2"),
    "four_bars": (synthetic.four_bars, 0.05, "k^-1/2"),
    "swiss_roll": (synthetic.swiss_roll, 0.2, "(log k)/k: from k = 4 -0.50, -0.71, -0.79"),
}
SIZES = (1, 4, 16, 64)
RATE_POINTS, RATE_SIZES = 8192, (1, 4, 16, 64, 256)


def distance_to(name: str, x: np.ndarray) -> np.ndarray:
    """Distance of each point to the noise-free set."""
    if name == "one_ring":
        radius = np.hypot(x[:, 0], x[:, 1])
        return np.minimum(radius, np.abs(radius - 1))
    if name == "four_bars":
        past_the_end = np.maximum(np.abs(x[:, 1]) - 2, 0)
        return np.hypot(np.abs(x[:, 0] - np.arange(4)[:, None]).min(0), past_the_end)
    t = np.linspace(1.5 * np.pi, 4.5 * np.pi, 2000)
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    return np.sqrt(ot.dist(x[:, [0, 2]].astype(float), spiral).min(1))


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(ot.emd2([], [], ot.dist(x.astype(float), y.astype(float)), numItermax=1_000_000)))


def sample(name: str, seed: int, purpose: int, points: int = POINTS) -> torch.Tensor:
    return torch.from_numpy(SETS[name][0](points, np.random.default_rng([seed, purpose]))[0])


def match(x: torch.Tensor, partner: torch.Tensor, k: int) -> tuple[torch.Tensor, float]:
    """The partners, reordered so that row i is matched with row i of `x`, and the pairs' mean squared distance."""
    partner = partner[pair(x, partner, k)]
    return partner, (x - partner).square().sum(1).mean().item()


def interpolants(x: torch.Tensor, partner: torch.Tensor, alpha: float, seed: int) -> np.ndarray:
    lam = sample_lambda(alpha, POINTS // BATCH, torch.Generator().manual_seed(seed)).tolist()
    parts = zip(x.split(BATCH), partner.split(BATCH), lam, strict=True)
    return torch.cat([mix(a, b, value) for a, b, value in parts]).numpy()


def measure(name: str, seed: int) -> dict[str, float]:
    """The measures of one seed, by name."""
    x, partner, fresh, other = (sample(name, seed, purpose) for purpose in range(4))
    noise = SETS[name][1]
    measures = {
        "W2 fresh": wasserstein(other.numpy(), fresh.numpy()),
        "off fresh": float((distance_to(name, fresh.numpy()) > 3 * noise).mean()),
    }
    matches = {k: match(x, partner, k) for k in SIZES}
    perturbation = perturbation_factor(1.0) * matches[SIZES[-1]][1]
    for k, (matched, distance) in matches.items():
        measures[f"distance {k}"] = distance
        for setting, alpha in (("equal α", 1.0), ("equal perturbation", alpha_for(perturbation, distance))):
            mixed = interpolants(x, matched, alpha, seed)
            measures[f"W2 {setting} {k}"] = wasserstein(mixed, fresh.numpy())
            measures[f"off {setting} {k}"] = float((distance_to(name, mixed) > 3 * noise).mean())
    return measures


def clusters(name: str, x: torch.Tensor) -> torch.Tensor:
    """The cluster of each point: 0 for the blob and 1 for the ring of one_ring; the number of the bar of four_bars."""
    return (x[:, :2].norm(dim=1) > 0.5).long() if name == "one_ring" else x[:, 0].round().clamp(0, 3).long()


def rates(name: str, seed: int) -> dict[str, float]:
    """The mean squared distance of the pairs for each k, and for sets with clusters the share across clusters.

    "must" is the share that any matching has to send across, because its blocks hold unequal numbers of each cluster.
    """
    x, partner = (sample(name, seed, purpose, RATE_POINTS) for purpose in (4, 5))
    measures = {}
    for k in RATE_SIZES:
        matched, measures[f"distance {k}"] = match(x, partner, k)
        if name != "swiss_roll":
            own, other = clusters(name, x), clusters(name, matched)
            counts = [torch.nn.functional.one_hot(labels, 4).view(-1, k, 4).sum(1) for labels in (own, other)]
            measures[f"across {k}"] = (own != other).double().mean().item()
            measures[f"must {k}"] = (counts[0] - counts[1]).abs().sum(1).double().mean().item() / (2 * k)
    return measures


def format_estimate(estimate: Estimate, digits: int = 3) -> str:
    return f"{estimate.mean:.{digits}f} ± {estimate.half_width:.{digits}f}"


def draw(path: Path) -> None:
    """Draws the sets, and their interpolants at α = 1 for each k."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained")
    panels = figure.subplots(len(SETS), len(SIZES) + 1)
    for name, row in zip(SETS, panels, strict=True):
        x, partner = (sample(name, 0, purpose) for purpose in range(2))
        clouds = {"data": x.numpy()} | {f"k = {k}": interpolants(x, match(x, partner, k)[0], 1.0, 0) for k in SIZES}
        for (title, cloud), axes in zip(clouds.items(), row, strict=True):
            axes.scatter(cloud[:, 0], cloud[:, -1], 3, color="#555555" if title == "data" else "#D55E00")
            axes.set(xticks=[], yticks=[], aspect="equal", xlim=limits(x[:, 0]), ylim=limits(x[:, -1]))
            axes.set_title(title if name == "one_ring" else "", fontsize=9)
        row[0].set_ylabel(name, fontsize=9)
    figure.savefig(path, dpi=110)


def limits(values: torch.Tensor) -> tuple[float, float]:
    return values.min().item() - 0.2, values.max().item() + 0.2


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three seeds")
    parser.add_argument("--figure", type=Path, help="file to draw the interpolants into")
    options = parser.parse_args()
    seeds = 3 if options.quick else 12
    print(f"{describe_machine()}; {seeds} seeds, mean and 95 % interval\n")
    results = {name: [measure(name, seed) for seed in range(seeds)] for name in SETS}

    def over_seeds(name: str, measure_name: str, less: str | None = None) -> Estimate:
        return t_interval([measures[measure_name] - (measures[less] if less else 0) for measures in results[name]])

    for setting in ("equal α", "equal perturbation"):
        print(f"At {setting}:\n")
        print_header("set", "measure", "fresh", *(f"k = {k}" for k in SIZES), "k = 64 less k = 1")
        for name in SETS:
            for what, label in (("W2", "W2 to fresh data"), ("off", "share off the support")):
                estimates = [
                    over_seeds(name, f"{what} fresh"),
                    *(over_seeds(name, f"{what} {setting} {k}") for k in SIZES),
                    over_seeds(name, f"{what} {setting} 64", f"{what} {setting} 1"),
                ]
                print_row(name, label, *map(format_estimate, estimates))
        print()
    results = {name: [rates(name, seed) for seed in range(seeds)] for name in SETS}
    labels = {"distance": "mean squared distance", "across": "share across clusters", "must": "of which unavoidable"}
    print("How the pairs change with k, and the local exponents from one k to the next:\n")
    print_header("set", "measure", *(f"k = {k}" for k in RATE_SIZES), "exponents", "in the end")
    for name, (_, _, rate) in SETS.items():
        for what, label in labels.items():
            if f"{what} 1" in results[name][0]:
                means = [over_seeds(name, f"{what} {k}") for k in RATE_SIZES]
                slopes = [np.log(b.mean / a.mean) / np.log(4) for a, b in pairwise(means)]
                exponents = ", ".join(f"{slope:.2f}" for slope in slopes)
                print_row(name, label, *map(format_estimate, means), exponents, rate)
    if options.figure:
        draw(options.figure)
