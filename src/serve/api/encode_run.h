// serve/api/encode_run.h: one text or many through one encoder model or many, until all have answered.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/answering.h"
#include "serve/api/call.h"

namespace loraxs {

/// Outputs [models][inputs][numbers] in the order of `models`; called once, on the engine's thread.
using EncodedReply = std::function<nlohmann::ordered_json(const std::vector<std::vector<std::vector<float>>>& outputs)>;

struct EncodeJob {
  std::vector<ServedModelPtr> models;
  std::vector<std::vector<int32_t>> inputs;
  bool embed = false;
};

/// Admits the call, asks each model for all inputs and replies; tokens count once for each model. A client that goes
/// cancels what is left. Throws what the engine says.
void run_encode(const CallPtr& call, const std::string& name, const EncodeJob& job, EncodedReply reply);

}  // namespace loraxs
