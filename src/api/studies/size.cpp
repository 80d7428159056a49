// Whether the order of methods holds on the same model with fewer of its layers.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/studies/arms.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

nlohmann::ordered_json config_of(const std::filesystem::path& model) {
  nlohmann::ordered_json config = parse_ordered_json(read_text_file(model / "config.json"), model.string());
  const auto layers = config.find("num_hidden_layers");
  if (layers == config.end() || !layers->is_number_integer()) {
    throw Error(
        concat(model.string(), ": config.json: expected num_hidden_layers, found none; study size cuts layers"));
  }
  return config;
}

/// All layers of a model, two thirds and one third of them: 6, 4 and 2.
std::vector<int64_t> depths_of(const std::filesystem::path& model) {
  const int64_t all = config_of(model).at("num_hidden_layers");
  std::vector<int64_t> depths = {all};
  for (const int64_t thirds : {2, 1}) {
    const int64_t depth = std::max<int64_t>(1, all * thirds / 3);
    if (depth < depths.back()) depths.push_back(depth);
  }
  return depths;
}

/// The model's folder with its first `layers` layers: config.json says fewer, all else is linked.
std::filesystem::path shallow_model(const std::filesystem::path& model, const std::filesystem::path& folder,
                                    int64_t layers) {
  namespace fs = std::filesystem;
  const fs::path made = folder / concat(model.filename().string(), "-", layers, "-layers");
  if (fs::exists(made / "config.json")) return made;
  nlohmann::ordered_json config = config_of(model);
  config["num_hidden_layers"] = layers;
  fs::create_directories(made);
  for (const auto& entry : fs::directory_iterator(model)) {
    const fs::path link = made / entry.path().filename();
    if (entry.path().filename() != "config.json" && !fs::exists(link)) {
      fs::create_symlink(fs::canonical(entry.path()), link);
    }
  }
  write_file_atomically(made / "config.json", json_text(config, 2) + "\n");
  return made;
}

}  // namespace

StudyFindings run_size(const Study& study, const StudyRequest& request) {
  const Comparison comparison{.references = {"LoRA r = 8"}};
  const std::vector<Arm> arms = {lora_arm(), {.name = "LoRA-XS r = 16", .changes = {"method.rank=16"}}};
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  constexpr size_t kDepths = 3;
  StudyRuns runs(study, request, 2 * recipes.size() * arms.size() * kDepths);
  std::vector<ArmScores> scores;
  const auto findings = [&] {
    return StudyFindings{comparison_table(scores, comparison), comparison_answer(scores, comparison),
                         score_charts(scores)};
  };
  for (const std::filesystem::path& path : recipes) {
    const std::filesystem::path model = study_recipe(study, request, path, {}).model;
    const std::vector<int64_t> depths = depths_of(model);
    for (const int64_t layers : depths) {
      for (Arm arm : arms) {
        if (layers != depths.front()) {
          arm.changes.push_back(concat("model=", shallow_model(model, request.folder, layers).string()));
        }
        scores.push_back(train_arm(study, runs, path, arm));
        scores.back().task += concat(", ", layers, " layers");
        if (request.on_part) request.on_part(findings());
      }
    }
  }
  return findings();
}

}  // namespace loraxs
