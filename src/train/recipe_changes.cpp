#include "train/recipe_changes.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "io/error.h"
#include "io/json.h"

namespace loraxs {
namespace {

/// "train.epochs: 3, now 5"
struct Change {
  std::string key;
  nlohmann::json before, now;
};

/// Walks objects side by side; a recipe's depth is bounded by its reader.
void collect_changes(const nlohmann::json& before, const nlohmann::json& now, const std::string& key,
                     std::vector<Change>& changes) {
  if (before == now) return;
  if (!before.is_object() || !now.is_object()) {
    changes.push_back({key, before, now});
    return;
  }
  std::set<std::string> names;
  for (const nlohmann::json* each : {&before, &now}) {
    for (const auto& [name, value] : each->items()) names.insert(name);
  }
  for (const std::string& name : names) {
    collect_changes(before.value(name, nlohmann::json()), now.value(name, nlohmann::json()),
                    key.empty() ? name : key + "." + name, changes);
  }
}

/// The recipe that the run began with; nothing where its file is lost or damaged: the checkpoint tells then.
std::optional<Recipe> recorded_recipe(const std::filesystem::path& run) {
  if (!std::filesystem::exists(run / "recipe.yaml")) return std::nullopt;
  try {
    return read_recipe(run / "recipe.yaml", {});
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

nlohmann::json recipe_content(const Recipe& recipe) {
  nlohmann::json content = recipe.to_json();
  for (const char* key : {"output", "threads", "device", "model"}) content.erase(key);
  for (const char* key : {"checkpoint_seconds", "init_adapter", "memory_gb", "samples", "sample_tokens"})
    content["train"].erase(key);
  if (recipe.fleet.is_null()) content.erase("fleet");
  return content;
}

void refuse_changed_recipe(const std::filesystem::path& run, const Recipe& recipe,
                           const std::filesystem::path& adapter) {
  const std::optional<Recipe> recorded = recorded_recipe(run);
  if (!recorded) return;
  std::vector<Change> changes;
  collect_changes(recipe_content(*recorded), recipe_content(recipe), "", changes);
  if (changes.empty()) return;
  constexpr size_t kNamed = 4, kShown = 24;  // what a message holds
  std::string expected, found;
  for (size_t i = 0; i < std::min(changes.size(), kNamed); ++i) {
    const Change& change = changes[i];
    const std::string separator = i == 0 ? "" : ", ";
    expected += concat(separator, change.key, " ", shortened(json_text(change.before), kShown));
    found += concat(separator, shortened(json_text(change.now), kShown));
  }
  const size_t others = changes.size() - std::min(changes.size(), kNamed);
  throw Error(concat(run.string(), ": --resume: expected the recipe of this run, ", expected, ", found ", found,
                     others > 0 ? concat(" and ", others, " other keys changed") : "",
                     "; take the old values, or train on in another output from its adapter: train.init_adapter=",
                     adapter.string(), std::filesystem::exists(adapter) ? "" : " (written when it ends)"));
}

}  // namespace loraxs
