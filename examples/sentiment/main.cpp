// Trains an adapter on sentences in memory and labels new ones. Arguments: MODEL_FOLDER RUN_FOLDER.
#include <loraxs/api/predictor.h>
#include <loraxs/api/training.h>
#include <loraxs/io/error.h>

#include <iostream>

namespace {

/// "The soup was cold." … as [first, label]: every pair of a dish and an opinion.
std::vector<loraxs::Example> sentences(const std::vector<std::string>& dishes) {
  const std::vector<std::string> bad = {"cold and bland", "too salty to eat", "a disappointment", "burnt again"};
  const std::vector<std::string> good = {"warm and rich", "a joy to eat", "the best in town", "perfectly done"};
  std::vector<loraxs::Example> examples;
  for (const std::string& dish : dishes) {
    for (const std::string& opinion : bad)
      examples.push_back({.first = "The " + dish + " was " + opinion + ".", .target = 0});
    for (const std::string& opinion : good)
      examples.push_back({.first = "The " + dish + " was " + opinion + ".", .target = 1});
  }
  return examples;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw loraxs::Error("expected MODEL_FOLDER RUN_FOLDER");
  const loraxs::Task task{.name = "opinions",
                          .labels = {"bad", "good"},
                          .metric = "accuracy",
                          .train = sentences({"soup", "bread", "fish", "pasta", "salad", "coffee"}),
                          .validation = sentences({"rice", "cake"})};
  loraxs::Recipe recipe;
  recipe.model = argv[1];
  recipe.output = argv[2];
  recipe.method.rank = 8;
  recipe.train.epochs = 6;
  recipe.train.batch_size = 8;
  recipe.train.learning_rate = {4e-3};

  const loraxs::Settings settings;
  loraxs::TrainingRun run(recipe, task, settings);
  const loraxs::TrainResult result = run.run({.on_epoch = [](const loraxs::EpochReport& epoch) {
    std::cerr << "epoch " << epoch.epoch << ": loss " << epoch.train_loss << ", accuracy " << epoch.value << '\n';
  }});

  const loraxs::BaseModel model = loraxs::open_model(recipe.model, settings);
  const auto adapter = run.best_adapter(result.jobs.front().job);
  loraxs::Predictor predictor(loraxs::open_adapter_on_model(model, adapter, {}, settings));
  for (const auto& prediction : predictor.predict({{"The tea was a joy."}, {"The pizza was cold and burnt."}})) {
    std::cout << prediction.label << ' ' << prediction.score << '\n';
  }
  std::cout << "accuracy " << result.jobs.front().best.value << ", " << result.adapter_bytes << " bytes\n";
} catch (const loraxs::Error& error) {
  std::cerr << "sentiment: " << error.what() << '\n';
  return 2;
}
