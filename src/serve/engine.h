// serve/engine.h: the engine behind the API: a model prepared once, a shelf of adapters, and the thread that computes.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "api/text_model.h"
#include "serve/answering.h"
#include "serve/model_shelf.h"

namespace loraxs {

struct EngineOptions {
  TextModelOptions model;  // an encoder's too: its folder, precision and memory
  ShelfOptions shelf;
  int64_t sequences = 64;     // answers computed together
  int64_t max_waiting = 256;  // requests of one tenant that wait
  double gap_ms = 20;         // how long running answers may wait for others' prompts, see Pace; 0: as long as it takes
  bool shares_by_tenant = true;  // steps, see TenantShare; else all that runs is computed in every step
  int64_t batch_tokens = 2048;   // of texts that an encoder takes together
  // Heard on the engine's thread, for metrics; may be empty.
  std::function<void(int64_t sequences)> on_step;  // so many were computed together
  std::function<void(double seconds)> on_gap;      // between two tokens of an answer
};

/// Opens the model and starts the thread: a decoder answers, an encoder labels and embeds. Throws Error.
std::unique_ptr<Answering> start_engine(const EngineOptions& options, const Settings& settings);

}  // namespace loraxs
