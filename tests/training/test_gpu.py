"""What must hold on a GPU too. The same tests run on a CPU, which shows that they can run.

Where torch, NumPy, SciPy and pandas alone are installed:

    python -m pytest --noconftest -m "" tests/training/test_gpu.py
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.gpu import QUICK, Setting, task_and_data
from tests.helpers.trainings import finish, interrupt
from tune_kmixup.core.config import Task, Trial
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.tensors import Data
from tune_kmixup.mixing.pairing import Cost, pair_runs
from tune_kmixup.mixing.transform import KMixup, Partner
from tune_kmixup.training.batches import batches, chunks, make_chunk
from tune_kmixup.training.loop import Training

torch.set_num_threads(1)  # as conftest.py does, which is not read there
METHODS = {"erm": {}, "mixup": {"alpha": 1.0}, "kmixup": {"alpha": 1.0, "k": 8}}


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif("not torch.cuda.is_available()"))])
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def exact() -> Iterator[None]:
    """cuDNN, without algorithms that add in another order every time, or that round to 10 bits."""
    with torch.backends.cudnn.flags(
        enabled=True, deterministic=True, allow_tf32=False
    ):  # `enabled` is False by default
        yield


def small(device: str, architecture: str) -> tuple[Task, Data]:
    """Four steps an epoch, two epochs, in float32."""
    task, data = task_and_data(Setting(device, True, None, Path()), architecture)
    return replace(task, recipe=replace(task.recipe, epochs=2, lr=0.1, precision="float32")), data


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
@pytest.mark.parametrize("k", [1, 2, 4, 16, 128])
def test_pairings_cost_as_little_as_in_double_precision_on_a_cpu(device: str, k: int, cost: Cost) -> None:
    generator = torch.Generator().manual_seed(k)
    x, partner = (1000 + torch.randn(3, 130, 20, generator=generator) for _ in range(2))  # 130: blocks at the end
    sigma = pair_runs(x.to(device), partner.to(device), k, cost=cost)
    assert sigma.device.type == device and torch.equal(sigma.sort(1).values.cpu(), torch.arange(130).expand(3, -1))

    def total(sigma: Tensor) -> Tensor:
        distances = (x.double() - partner.double().gather(1, sigma[..., None].expand_as(x))).square().sum(2)
        return (distances if cost == "sqeuclidean" else distances.sqrt()).sum(1)

    best = pair_runs(x.double(), partner.double(), k, cost=cost)
    assert torch.allclose(total(sigma.cpu()), total(best), rtol=1e-6)


@pytest.mark.parametrize("partner", ["previous", "halves"])
def test_kmixup_mixes_where_the_batch_is(device: str, partner: Partner) -> None:
    """With labels still on the CPU, and whatever the default device is. Labels out of range do not end its use."""
    generator = torch.Generator().manual_seed(0)
    data = [(torch.randn(16, 6, generator=generator), torch.arange(16) % 5) for _ in range(3)]

    def mixed(device: str) -> list[Tensor]:
        kmixup = KMixup(8, 1.0, 5, partner=partner, per="row", p=0.5, generator=torch.Generator().manual_seed(1))
        with pytest.raises(BadInput, match="labels of 0 to 5 do not fit num_classes=5"):
            kmixup(torch.zeros(6, 6, device=device), torch.arange(6, device=device))
        with torch.device(device):
            return [tensor.cpu() for x, y in data for tensor in kmixup(x.to(device), y)]

    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(mixed(device), mixed("cpu"), strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_chunks_made_ahead_are_those_made_on_the_spot(device: str, method: str) -> None:
    """On a GPU a thread makes them on another stream, while the training stream is busy."""
    task, data = small(device, QUICK.resnet)
    task = replace(task, recipe=replace(task.recipe, epochs=10))
    config = configuration(task.recipe, METHODS[method])
    drawn = batches(data, config.alpha, config.recipe, [0, 1], size=1)
    on_the_spot = [make_chunk(part, config, data.classes) for part in drawn]
    busy = torch.randn(500, 500, device=device)
    ahead = []
    for chunk in chunks(data, config, [0, 1]):
        for x, y, _, _ in chunk.steps():
            busy = (busy @ busy).tanh()
            ahead.append((x.clone(), y.clone()))
    assert len(ahead) == len(on_the_spot) == 40
    for chunk, (x, y) in zip(on_the_spot, ahead, strict=True):
        assert torch.equal(chunk.x[0], x) and torch.equal(chunk.y[0], y)

    later = next(islice(chunks(data, config, [0, 1], 6), 1)).steps()
    assert torch.equal(next(iter(later))[0], ahead[6][0]), "a run that is resumed gets the batches it would have had"


def numbers(row: Any) -> list[float]:
    return [row.train_loss, row.val_nll, row.test_nll]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_on_where_it_was_interrupted(
    device: str, method: str, exact: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_kmixup.training.loop.REPORT_SECONDS", 0.0)  # one step at a time
    task, data = small(device, QUICK.resnet)
    trial = Trial(f"{task.name}/{method}", 0, "final", METHODS[method], (0,))
    (whole,) = finish(Training(task, trial, data))
    for _ in range(2):
        interrupt(Training(task, trial, data, checkpoint_path=tmp_path / "state"), 3)  # its beginning and two steps
    training = Training(task, trial, data, checkpoint_path=tmp_path / "state")
    assert training.saved_state and training.saved_state["plain"]["step"] == 4, "it goes on, and does not begin anew"
    (resumed,) = finish(training)
    assert numbers(resumed) == pytest.approx(numbers(whole), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mlp", "lenet", QUICK.resnet])
def test_seeds_trained_together_end_as_those_trained_alone(device: str, architecture: str, exact: None) -> None:
    task, data = small(device, architecture)
    alone = Trial(f"{task.name}/kmixup", 0, "final", METHODS["kmixup"], (0, 1, 2))
    rows, together = (finish(Training(task, trial, data)) for trial in (alone, replace(alone, batched=True)))
    assert [numbers(row) for row in together] == [pytest.approx(numbers(row), rel=2e-3) for row in rows]
    assert numbers(rows[0]) != pytest.approx(numbers(rows[1]), rel=1e-2), "each seed has a run of its own"
