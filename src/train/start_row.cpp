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

StartRow start_row_of(const AdapterFile& file, const StartWanted& wanted) {
  const Layout theirs = resolve_layout(file, wanted.model);
  const Layout& layout = wanted.layout;
  const auto differs = [&](const std::string& key, const std::string& expected, const std::string& found) {
    throw Error(concat(wanted.where, ": ", key, ": expected ", expected, ", as this recipe trains, found ", found, " in ",
                       file.path.string()));
  };
  if (theirs.method != layout.method) differs(wanted.key, layout.method, theirs.method);
  if (theirs.sites != layout.sites || theirs.ranks != layout.ranks) {
    differs(wanted.key, describe(layout), describe(theirs));
  }
  if (file.alpha != wanted.alpha) differs(wanted.key, concat("alpha ", wanted.alpha), concat("alpha ", file.alpha));
  if (wanted.carries_head && (theirs.head != layout.head || file.labels != wanted.labels))
    differs(wanted.head_key, describe(layout.head, wanted.labels), describe(theirs.head, file.labels));
  const Bank bank = open_adapter(file, theirs, wanted.basis);
  const int64_t carried = wanted.carries_head ? layout.row_size : layout.adapter_numbers;
  return {.path = file.path,
          .task = file.provenance.task,
          .row_digest = file.row_digest,
          .numbers = bank.values.select(0, 0).narrow(0, 0, carried),
          .num_sites = static_cast<int64_t>(layout.sites.size()),
          .carries_head = wanted.carries_head};
}

std::optional<StartRow> read_start_row(const Recipe& recipe, const Layout& layout,
                                       const std::vector<std::string>& labels, const BaseModel& model,
                                       const Basis& basis, const std::string& where) {
  if (recipe.train.init_adapter.empty()) return std::nullopt;
  return start_row_of(read_adapter(recipe.train.init_adapter), {.layout = layout,
                                                                .labels = labels,
                                                                .alpha = recipe.method.alpha,
                                                                .model = model,
                                                                .basis = basis,
                                                                .carries_head = recipe.train.init_head == "carry",
                                                                .where = where,
                                                                .key = "train.init_adapter",
                                                                .head_key = "train.init_head"});
}

}  // namespace loraxs
