// api/studies/study.h: a question, asked by command: what a study is, and what it gives.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "api/settings.h"
#include "report/chart.h"
#include "report/result_table.h"

namespace loraxs {

/// Where a study is, for whoever watches.
struct StudyProgress {
  size_t part = 0, parts = 0;  // trainings or scorings, from 1
  std::string name;            // of the part
  int64_t step = 0, steps = 0;
  double seconds_left = 0;  // of the part
};

/// What a study has found so far: figures, the answer in words, pictures.
struct StudyFindings {
  ResultTable table;
  std::string answer;
  std::vector<Chart> charts;
  bool complete = true;  // false: something was left out, because its runs are not there and nothing was to be trained
};

struct StudyRequest {
  std::vector<std::filesystem::path> recipes;  // empty = those of the study's own folder
  std::filesystem::path folder;                // of its runs, found there by the digests of their recipes
  bool quick = false;         // two steps on a handful of examples: whether it works, not what comes out
  bool trained_only = false;  // comparisons: of the arms whose runs are there; the others are left out
  Settings settings;
  std::function<void(const StudyProgress&)> on_progress;
  std::function<void(const StudyFindings&)> on_part;  // after every part: what stands in the table so far
  std::function<bool()> stop_requested;               // Interrupted is thrown then; the same request goes on later
};

/// Which tasks can answer the question.
enum class StudyTasks { kEncoder, kLanguage, kEither, kNone };

struct Study {
  const char* name;
  const char* question;
  const char* paper;    // what the paper found
  StudyTasks tasks;     // kNone: no recipe is read
  const char* recipes;  // folder of the recipes it takes where none are given
  StudyFindings (*run)(const Study& study, const StudyRequest& request);
  double (*estimate)(const Study& study, const StudyRequest& request);  // seconds of what is missing
};

/// In the paper's order, then those beyond it.
const std::vector<Study>& studies();
/// Throws Error naming the nearest known name and all of them.
const Study& find_study(const std::string& name);

/// The recipes of a request, or of the study's folder by name. Throws Error where there are none.
std::vector<std::filesystem::path> study_recipes(const Study& study, const StudyRequest& request);

}  // namespace loraxs
