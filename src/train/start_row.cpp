#include "train/start_row.h"

#include <algorithm>

#include "io/error.h"

namespace loraxs {
namespace {

/// "rank 16 on 24 sites (layers.0.query …)".
std::string describe(const Layout& layout) {
  const bool one_rank =
      std::adjacent_find(layout.ranks.begin(), layout.ranks.end(), std::not_equal_to<>()) == layout.ranks.end();
  return concat(one_rank ? concat("rank ", layout.largest_rank()) : std::string("ranks of their own"), " on ",
                layout.sites.size(), " sites (", layout.sites.front().name, " …)");
}

std::string describe(const HeadLayout& head, const std::vector<std::string>& labels) {
  std::string names;
  for (const std::string& label : labels) names += (names.empty() ? "" : ", ") + label;
  return concat("a ", head.kind, " head of ", head.outputs, " outputs", names.empty() ? "" : " (" + names + ")");
}

}  // namespace

torch::Tensor StartRow::numbers_at(double learning_rate) const {
  return warmup_steps > 0 ? numbers * (learning_rate / static_cast<double>(warmup_steps)) : numbers;
}

nlohmann::json StartRow::to_json() const {
  constexpr size_t kShown = 16;
  return {{"adapter", path.string()},
          {"task", task},
          {"row", row_digest.substr(0, kShown)},
          {"sites", num_sites},
          {"head", carries_head ? "carried" : "fresh"}};
}

std::optional<StartRow> read_start_row(const Recipe& recipe, const Layout& layout,
                                       const std::vector<std::string>& labels, const BaseModel& model,
                                       const Basis& basis, const std::string& where) {
  if (recipe.train.init_adapter.empty()) return std::nullopt;
  const AdapterFile file = read_adapter(recipe.train.init_adapter);
  const Layout theirs = resolve_layout(file, model);
  const auto differs = [&](const char* key, const std::string& expected, const std::string& found) {
    throw Error(concat(where, ": ", key, ": expected ", expected, ", as this recipe trains, found ", found, " in ",
                       file.path.string()));
  };
  if (theirs.method != layout.method) differs("train.init_adapter", layout.method, theirs.method);
  if (theirs.sites != layout.sites || theirs.ranks != layout.ranks) {
    differs("train.init_adapter", describe(layout), describe(theirs));
  }
  if (file.alpha != recipe.method.alpha) {
    differs("train.init_adapter", concat("alpha ", recipe.method.alpha), concat("alpha ", file.alpha));
  }
  const bool carry = recipe.train.init_head == "carry";
  if (carry && (theirs.head != layout.head || file.labels != labels))
    differs("train.init_head", describe(layout.head, labels), describe(theirs.head, file.labels));
  const Bank bank = open_adapter(file, theirs, basis);
  return StartRow{.path = file.path,
                  .task = file.provenance.task,
                  .row_digest = file.row_digest,
                  .numbers = bank.values.select(0, 0).narrow(0, 0, carry ? layout.row_size : layout.adapter_numbers),
                  .num_sites = static_cast<int64_t>(layout.sites.size()),
                  .carries_head = carry};
}

}  // namespace loraxs
