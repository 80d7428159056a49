// api/fleet_base.h: what fleets of one recipe share, whatever their jobs.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>

#include "adapt/basis.h"
#include "adapt/prepared_model.h"
#include "model/base_model.h"
#include "text/tokenizer.h"

namespace loraxs {

/// A base opened once, for fleets one after another in one process. Made by the first FleetRun, which fills it.
struct FleetBase {
  nlohmann::json content;  // of the recipe: what another fleet's must have in common
  BaseModel model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::shared_ptr<const Basis> basis;       // null before it was asked for
  std::shared_ptr<PreparedModel> prepared;  // null before the first fleet began
};

}  // namespace loraxs
