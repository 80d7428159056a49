// train/loop.h: a training from its first step, or a checkpoint, to its last.
#pragma once
#include "train/run_folder.h"
#include "train/train_observer.h"
#include "train/train_result.h"
#include "train/train_setup.h"

namespace loraxs {

/// Trains all jobs of the recipe as one bank and writes the run folder: metrics, checkpoints, best and last adapters.
/// With a checkpoint in the folder it continues from there and gives the same bits as an uninterrupted run. A job whose
/// numbers are not finite ends alone, and no bit of the others depends on it; Error, after saving, when all have ended
/// so.
TrainResult train(const TrainSetup& setup, RunFolder& folder, bool allow_drift, const TrainObserver& observer);

}  // namespace loraxs
