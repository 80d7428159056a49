// Whether the order of methods holds on the same model with fewer of its layers.
#include <iterator>
#include <nlohmann/json.hpp>

#include "api/studies/arms.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

/// The model's folder with its first `layers` layers: config.json says fewer, all else is linked.
std::filesystem::path shallow_model(const std::filesystem::path& model, const std::filesystem::path& folder,
                                    int64_t layers) {
  namespace fs = std::filesystem;
  const fs::path made = folder / concat(model.filename().string(), "-", layers, "-layers");
  if (fs::exists(made / "config.json")) return made;
  nlohmann::ordered_json config = parse_ordered_json(read_text_file(model / "config.json"), model.string());
  if (!config.contains("num_hidden_layers")) {
    throw Error(
        concat(model.string(), ": config.json: expected num_hidden_layers, found none; study size cuts layers"));
  }
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
  const std::vector<Arm> arms = {{.name = "LoRA r = 8",
                                  .changes = {"method.name=lora", "method.rank=8", "method.targets=[query,value]",
                                              "train.learning_rate=[5e-4,2e-3]"}},
                                 {.name = "LoRA-XS r = 16", .changes = {"method.rank=16"}}};
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  constexpr int64_t kLayers[] = {6, 4, 2};
  StudyRuns runs(study, request, 2 * recipes.size() * arms.size() * std::size(kLayers));
  std::vector<ArmScores> scores;
  const auto findings = [&] {
    return StudyFindings{comparison_table(scores, comparison), comparison_answer(scores, comparison),
                         score_charts(scores)};
  };
  for (const std::filesystem::path& path : recipes) {
    for (const int64_t layers : kLayers) {
      for (Arm arm : arms) {
        const Recipe recipe = study_recipe(study, request, path, arm.changes);
        constexpr int64_t kWhole = 6;
        if (layers != kWhole) {
          arm.changes.push_back(concat("model=", shallow_model(recipe.model, request.folder, layers).string()));
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
