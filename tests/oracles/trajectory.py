"""How far float32 gets from float64 in a training run: what the C++ tests of trajectories take their bounds from.

Rounding grows with the steps, here as there, until it says nothing about either: float32 runs over half of them."""

import torch

ORDERS = 3  # float32 runs, each adding up a step's sequences in another order: samples of what rounding becomes


def rotated(indices, number):
    """The sequences of a step in the order of float32 run `number`."""
    return torch.roll(indices, number)


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
