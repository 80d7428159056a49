// adapt/adapter_header.h: what the metadata of an adapter file says, checked as far as no model is needed.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adapt/basis_recipe.h"
#include "io/safetensors.h"

namespace loraxs {

struct AdapterHeader {
  std::string method;               // the layout's
  std::string layout_json;          // resolved on a model by resolve_layout
  std::vector<std::string> labels;  // classes of the head
  double alpha = 16;
  std::string basis_id;  // empty where the method reads no basis; then the next two say nothing
  BasisRecipe basis;
  std::vector<double> fingerprint;  // finite numbers
};

/// Throws Error with the file and the entry that is missing or wrong. `reads_basis`: by the name of a method, whether
/// its files have a basis (adapt/method.h knows); null: those that name one have.
AdapterHeader read_adapter_header(const Safetensors& file,
                                  const std::function<bool(const std::string& method)>& reads_basis = nullptr);

/// The basis as the metadata spells it: the rank, and what differs from the usual.
nlohmann::json basis_recipe_to_json(const BasisRecipe& recipe);

}  // namespace loraxs
