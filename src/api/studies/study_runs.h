// api/studies/study_runs.h: trainings as ordinary run folders that are found by the digests of their recipes.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "api/studies/study.h"
#include "train/recipe.h"

namespace loraxs {

/// A recipe of a study's file with changes on top ("method.rank=8"), made small where the request is quick. Whatever it
/// says, a held-out part of the training data chooses rates and epochs, unless a change says otherwise. Throws
/// Error as read_recipe, and for a task that cannot answer the study's question.
Recipe study_recipe(const Study& study, const StudyRequest& request, const std::filesystem::path& path,
                    const std::vector<std::string>& changes);

/// The recipe with its data where they lie: here, or below $LORAXS_DATA. Throws Error where they are absent.
Recipe with_found_data(Recipe recipe, const std::string& where);

/// 16 hexadecimal digits of the SHA-256 of model and recipe_content; where the data lie counts as the recipe says it.
std::string recipe_digest(const Recipe& recipe);

/// Users' adapters to train, by a recipe whose `fleet` names neither list nor store: both lie beside its run.
struct StudyFleet {
  Recipe recipe;
  std::string jobs;    // the text of the list
  std::string others;  // digest of the fleet whose adapters are put into the store before it begins; empty = none
};
/// As recipe_digest, with the list and the others.
std::string fleet_digest(const StudyFleet& fleet);

/// The runs of one study. Belongs to one thread.
class StudyRuns {
 public:
  /// `parts`: how many results will be asked for, for progress alone.
  StudyRuns(const Study& study, const StudyRequest& request, size_t parts);

  /// result.json of the recipe's run: as it lies there, or trained now, from its last checkpoint where it has one.
  /// A run of several jobs by a method that starts from a gradient is not asked for. Throws Interrupted and Error.
  nlohmann::json result(const Recipe& recipe, const std::string& name);
  std::filesystem::path folder_of(const Recipe& recipe) const;
  bool finished(const Recipe& recipe) const;

  /// result.json of the fleet, the same way. A job that fails ends it. Throws Interrupted and Error.
  nlohmann::json result(const StudyFleet& fleet, const std::string& name);
  /// Of a fleet's adapters: TENANT/NAME.safetensors.
  std::filesystem::path adapters_of(const StudyFleet& fleet) const;
  bool finished(const StudyFleet& fleet) const;

  /// A part that trains nothing.
  void begin_part(const std::string& name);
  /// Throws Interrupted where the request asks to stop.
  void check_stop() const;

  const StudyRequest& request() const { return request_; }

 private:
  nlohmann::json read_result(const std::filesystem::path& file) const;
  /// What stands beside the fleet's run.
  std::filesystem::path beside(const std::string& digest, const char* name) const;
  void train(const StudyFleet& fleet, const std::filesystem::path& output);

  const Study& study_;
  const StudyRequest& request_;
  StudyProgress progress_;
};

}  // namespace loraxs
