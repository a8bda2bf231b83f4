"""Does k-mixup keep cluster and manifold structure? Interpolants of toy sets, measured over seeds.

    python benchmarks/structure.py [--quick] [--figure docs/structure.png]

512 points and 512 independent partners, paired in blocks of k and mixed with λ ~ Beta(α, α), one λ per batch of 64.
Once at equal α = 1, once at equal perturbation: α such that every k displaces points as much, in expectation, as k = 64
does at α = 1. W2 is the Wasserstein distance (POT, exact) to 512 fresh points; "fresh" compares fresh points with
others, which is what independent draws reach. Off the support: farther from the noise-free set than three standard
deviations of its noise. The last column is paired by seed.

How distances fall with k is measured on 8,192 points. The toy sets hold their classes in equal parts, so blocks that
are a large part of a sample would hold nearly equal numbers of each cluster, and would cross too little.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import ot
import torch

from benchmarks.timing import head, line, machine
from tune_kmixup.analysis.gains import Estimate, t_interval
from tune_kmixup.data import synthetic
from tune_kmixup.mixing.pairing import pair
from tune_kmixup.mixing.step import alpha_for, mix, perturbation_factor, sample_lambda

POINTS, BATCH = 512, 64
SETS = {
    # name: (generator, standard deviation of its noise, how the matched distance must fall with k in the end)
    "one_ring": (synthetic.one_ring, 0.1, "k^-1/2"),
    "four_bars": (synthetic.four_bars, 0.05, "k^-1/2"),
    "swiss_roll": (synthetic.swiss_roll, 0.2, "(log k)/k: from k = 4 -0.50, -0.71, -0.79"),
}
SIZES = (1, 4, 16, 64)
MANY, RATE_SIZES = 8192, (1, 4, 16, 64, 256)


def distance_to(name: str, x: np.ndarray) -> np.ndarray:
    """From each point to the noise-free set."""
    if name == "one_ring":
        radius = np.hypot(x[:, 0], x[:, 1])
        return np.minimum(radius, np.abs(radius - 1))
    if name == "four_bars":
        beyond = np.maximum(np.abs(x[:, 1]) - 2, 0)
        return np.hypot(np.abs(x[:, 0] - np.arange(4)[:, None]).min(0), beyond)
    t = np.linspace(1.5 * np.pi, 4.5 * np.pi, 2000)
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    return np.sqrt(ot.dist(x[:, [0, 2]].astype(float), spiral).min(1))


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(ot.emd2([], [], ot.dist(x.astype(float), y.astype(float)), numItermax=1_000_000)))


def sample(name: str, seed: int, purpose: int, points: int = POINTS) -> torch.Tensor:
    return torch.from_numpy(SETS[name][0](points, np.random.default_rng([seed, purpose]))[0])


def matched(x: torch.Tensor, partner: torch.Tensor, k: int) -> tuple[torch.Tensor, float]:
    """Partners in the order of their matching, and the mean squared distance of the pairs."""
    partner = partner[pair(x, partner, k)]
    return partner, (x - partner).square().sum(1).mean().item()


def interpolants(x: torch.Tensor, partner: torch.Tensor, alpha: float, seed: int) -> np.ndarray:
    lam = sample_lambda(alpha, POINTS // BATCH, torch.Generator().manual_seed(seed)).tolist()
    parts = zip(x.split(BATCH), partner.split(BATCH), lam, strict=True)
    return torch.cat([mix(a, b, value) for a, b, value in parts]).numpy()


def measure(name: str, seed: int) -> dict[str, float]:
    """Every measure of one seed, by what it is."""
    x, partner, fresh, other = (sample(name, seed, purpose) for purpose in range(4))
    noise = SETS[name][1]
    found = {
        "W2 fresh": wasserstein(other.numpy(), fresh.numpy()),
        "off fresh": float((distance_to(name, fresh.numpy()) > 3 * noise).mean()),
    }
    pairs = {k: matched(x, partner, k) for k in SIZES}
    wanted = perturbation_factor(1.0) * pairs[SIZES[-1]][1]
    for k, (ends, distance) in pairs.items():
        found[f"distance {k}"] = distance
        for how, alpha in (("equal α", 1.0), ("equal perturbation", alpha_for(wanted, distance))):
            mixed = interpolants(x, ends, alpha, seed)
            found[f"W2 {how} {k}"] = wasserstein(mixed, fresh.numpy())
            found[f"off {how} {k}"] = float((distance_to(name, mixed) > 3 * noise).mean())
    return found


def clusters(name: str, x: torch.Tensor) -> torch.Tensor:
    """Number of each point's cluster: blob or ring, or which bar."""
    return (x[:, :2].norm(dim=1) > 0.5).long() if name == "one_ring" else x[:, 0].round().clamp(0, 3).long()


def rates(name: str, seed: int) -> dict[str, float]:
    """For each k the mean squared distance of the pairs and, of separated sets, the share across clusters.

    "must": the share that any matching has to send across, since its blocks hold unequal numbers of each cluster.
    """
    x, partner = (sample(name, seed, purpose, MANY) for purpose in (4, 5))
    found = {}
    for k in RATE_SIZES:
        ends, found[f"distance {k}"] = matched(x, partner, k)
        if name != "swiss_roll":
            ours, theirs = clusters(name, x), clusters(name, ends)
            counts = [torch.nn.functional.one_hot(each, 4).view(-1, k, 4).sum(1) for each in (ours, theirs)]
            found[f"across {k}"] = (ours != theirs).double().mean().item()
            found[f"must {k}"] = (counts[0] - counts[1]).abs().sum(1).double().mean().item() / (2 * k)
    return found


def shown(estimate: Estimate, digits: int = 3) -> str:
    return f"{estimate.mean:.{digits}f} ± {estimate.half_width:.{digits}f}"


def draw(path: Path) -> None:
    """The sets, and their interpolants at α = 1 for each k."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained")
    panels = figure.subplots(len(SETS), len(SIZES) + 1)
    for name, row in zip(SETS, panels, strict=True):
        x, partner = (sample(name, 0, purpose) for purpose in range(2))
        clouds = {"data": x.numpy()} | {f"k = {k}": interpolants(x, matched(x, partner, k)[0], 1.0, 0) for k in SIZES}
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
    parser.add_argument("--figure", type=Path, help="draw the interpolants there")
    options = parser.parse_args()
    seeds = 3 if options.quick else 12
    print(f"{machine()}; {seeds} seeds, mean and 95 % interval\n")
    results = {name: [measure(name, seed) for seed in range(seeds)] for name in SETS}

    def over_seeds(name: str, key: str, less: str | None = None) -> Estimate:
        return t_interval([one[key] - (one[less] if less else 0) for one in results[name]])

    for how in ("equal α", "equal perturbation"):
        print(f"At {how}:\n")
        head("set", "measure", "fresh", *(f"k = {k}" for k in SIZES), "k = 64 less k = 1")
        for name in SETS:
            for what, label in (("W2", "W2 to fresh data"), ("off", "share off the support")):
                cells = [over_seeds(name, f"{what} {how} {k}") for k in SIZES]
                change = over_seeds(name, f"{what} {how} 64", f"{what} {how} 1")
                line(name, label, shown(over_seeds(name, f"{what} fresh")), *map(shown, cells), shown(change))
        print()
    results = {name: [rates(name, seed) for seed in range(seeds)] for name in SETS}
    labels = {"distance": "mean squared distance", "across": "share across clusters", "must": "of which unavoidable"}
    print("How the pairs change with k, and the local exponents from one k to the next:\n")
    head("set", "measure", *(f"k = {k}" for k in RATE_SIZES), "exponents", "in the end")
    for name, (_, _, rate) in SETS.items():
        for what, label in labels.items():
            if f"{what} 1" in results[name][0]:
                means = [over_seeds(name, f"{what} {k}") for k in RATE_SIZES]
                slopes = [np.log(b.mean / a.mean) / np.log(4) for a, b in pairwise(means)]
                line(name, label, *map(shown, means), ", ".join(f"{slope:.2f}" for slope in slopes), rate)
    if options.figure:
        draw(options.figure)
