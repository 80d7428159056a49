"""How far float32 gets from float64 in a training run: what the C++ tests of trajectories take their bounds from.

Rounding grows with the steps, here as there, until it says nothing about either: float32 runs over half of them."""

import torch

RUNS = 6  # float32 runs: samples of what rounding becomes


def rotated(indices, number):
    """The sequences of a step in the order of float32 run `number`."""
    return torch.roll(indices, number)


def shake(model, number):
    """What run `number` has instead of the frozen weights: each, or its neighbour below or above. A product in float32 is the exact
    product of weights that are off by a few roundings; which way, another library or CPU decides."""
    if number == 0:
        return
    generator = torch.Generator().manual_seed(number)
    for parameter in model.parameters():
        if not parameter.requires_grad:
            way = torch.randint(-1, 2, parameter.shape, generator=generator)
            with torch.no_grad():
                parameter.copy_(torch.where(way == 0, parameter, torch.nextafter(parameter, way * torch.inf)))


def spread(exact, runs):
    """Per step the largest distance of the float32 `runs` from `exact`, all (losses, rows): of the loss relative to it, or
    absolute where it is below 1, of the row relative to its norm."""
    steps = len(runs[0][0])
    losses, rows = torch.tensor(exact[0][:steps], dtype=torch.float64), torch.stack(exact[1][:steps])
    loss_spread, row_spread = torch.zeros(steps).double(), torch.zeros(steps).double()
    for run_losses, run_rows in runs:
        difference = (torch.tensor(run_losses, dtype=torch.float64) - losses).abs() / losses.abs().clamp(min=1)
        loss_spread = torch.maximum(loss_spread, difference)
        row_spread = torch.maximum(row_spread, (torch.stack(run_rows) - rows).norm(dim=1) / rows.norm(dim=1))
    return {"loss_spread": loss_spread, "rows_spread": row_spread}
