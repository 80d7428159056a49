// What a personal adapter is worth: users who contradict each other, and speakers of a play, each with an adapter of
// its own, with one that all share, and with none.
#include <algorithm>
#include <memory>
#include <set>

#include "api/adapters.h"
#include "api/studies/arms.h"
#include "api/studies/estimate.h"
#include "api/studies/personal_users.h"
#include "api/studies/tuned_model.h"
#include "api/task_encoder.h"
#include "api/training.h"
#include "eval/score.h"
#include "io/error.h"
#include "io/json.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOwn = "personal";
constexpr const char* kFromMean = "personal from the mean";
constexpr const char* kShared = "shared";
constexpr const char* kTenant = "users";
constexpr const char* kOthersTenant = "others";
constexpr const char* kEverybody = "everybody";  // the name of the shared adapter

UserPlan plan_of(bool language, bool quick) {
  if (quick) return {.users = 8, .others = 4, .test = 4, .sizes = {{2, 1}, {4, 1}}, .other = {2, 1}};
  if (language) {
    return {.users = 40, .others = 64, .test = 6, .sizes = {{4, 3}, {8, 2}, {16, 1}, {32, 1}}, .other = {4, 1}};
  }
  return {.users = 256, .others = 64, .test = 48, .sizes = {{4, 12}, {16, 6}, {64, 3}, {256, 1}}, .other = {64, 1}};
}

/// One way to serve the users of a recipe, and the fleet that makes it.
struct PersonalArm {
  std::string name;
  StudyFleet fleet;
  double tokens = 0;    // to train on; forward and backward are three
  bool shared = false;  // one adapter for all
  bool trained = true;  // false: the base as it is
};

struct PersonalTask {
  std::string name;
  fs::path path;
  PersonalUsers users;
  Recipe recipe;
  PersonalArm others;  // whose mean is a start
  std::vector<PersonalArm> arms;
};

std::string record_of(const PersonalUser& user, const Task& task, const char* tenant) {
  nlohmann::json examples = nlohmann::json::array();
  for (const Example& example : user.train) {
    if (task.language_model()) {
      examples.push_back({{"text", example.second.value_or("")}});
    } else {
      examples.push_back(
          {{"text", example.first}, {"label", task.labels.at(static_cast<size_t>(example.target.value_or(0)))}});
    }
  }
  nlohmann::json record = {
      {"tenant", tenant}, {"name", user.name}, {"epochs", user.size.epochs}, {"examples", std::move(examples)}};
  if (!task.language_model()) record["labels"] = task.labels;
  return json_text(record) + "\n";
}

/// A fleet of these users, under changes of the task's recipe.
PersonalArm arm_of(const Study& study, const StudyRequest& request, const PersonalTask& task, const std::string& name,
                   const std::vector<PersonalUser>& users, const char* tenant,
                   const std::vector<std::string>& changes) {
  std::vector<std::string> all = {"train.selection=best_epoch"};
  all.insert(all.end(), changes.begin(), changes.end());
  PersonalArm arm{.name = name, .fleet = {.recipe = study_recipe(study, request, task.path, all)}};
  TrainRecipe& train = arm.fleet.recipe.train;
  train.seeds.resize(1);
  train.learning_rate.resize(1);
  train.head_learning_rate.resize(1);
  arm.fleet.recipe.task = {{"name", task.users.task.name}};
  arm.fleet.recipe.fleet = {{"validation", 0}};
  for (const PersonalUser& user : users) {
    arm.fleet.jobs += record_of(user, task.users.task, tenant);
    arm.tokens += 3 * static_cast<double>(user.size.epochs) * estimate_tokens(user.train, train.max_length);
  }
  return arm;
}

/// Everybody's examples as one user's, each seen once.
PersonalUser everybody(const std::vector<PersonalUser>& users) {
  PersonalUser all{.name = kEverybody};
  size_t examples = 0;
  for (const PersonalUser& user : users) examples += user.train.size();
  all.train.reserve(examples);
  for (const PersonalUser& user : users) all.train.insert(all.train.end(), user.train.begin(), user.train.end());
  all.size.examples = static_cast<int64_t>(examples);
  return all;
}

PersonalTask personal_task(const Study& study, const StudyRequest& request, const fs::path& path) {
  PersonalTask task{.name = path.stem().string(), .path = path, .recipe = study_recipe(study, request, path, {})};
  const Task texts = recipe_task(with_found_data(task.recipe, path.string()), path.string());
  const bool language = texts.language_model();
  const UserPlan plan = plan_of(language, request.quick);
  task.users = language ? speaking_users(texts, plan, path.string()) : labelling_users(texts, plan, path.string());
  const auto arm = [&](const std::string& name, const std::vector<PersonalUser>& users, const char* tenant,
                       const std::vector<std::string>& changes) {
    return arm_of(study, request, task, name, users, tenant, changes);
  };
  task.others = arm("others", task.users.others, kOthersTenant, {});
  task.arms.push_back(arm(kOwn, task.users.users, kTenant, {}));
  task.arms.push_back(arm(kFromMean, task.users.users, kTenant, {}));
  task.arms.back().fleet.recipe.fleet["start"] = concat("mean(", kOthersTenant, "/*)");
  task.arms.back().fleet.others = fleet_digest(task.others.fleet);
  task.arms.push_back(arm(kShared, {everybody(task.users.users)}, kTenant, {"train.batch_size=16"}));
  task.arms.back().shared = true;
  if (language) {
    task.arms.push_back(task.arms.back());
    task.arms.back().name = "base";
    task.arms.back().trained = false;
    task.arms.back().tokens = 0;
  } else {
    task.arms.push_back(arm("head alone", task.users.users, kTenant, {"method.train_sites=false"}));
    task.arms.back().tokens /= 3;
  }
  return task;
}

std::vector<PersonalTask> personal_tasks(const Study& study, const StudyRequest& request) {
  const std::vector<fs::path> recipes = study_recipes(study, request);
  std::vector<PersonalTask> tasks;
  tasks.reserve(recipes.size());
  for (const fs::path& path : recipes) tasks.push_back(personal_task(study, request, path));
  return tasks;
}

/// What came of an arm.
struct PersonalScores {
  const PersonalTask* task = nullptr;
  const PersonalArm* arm = nullptr;
  ScoresBySeed scores;  // by the user's place
  double seconds = 0;   // of training a token, three times over
  double bytes = 0;     // of an adapter's file
};

std::string file_of(const StudyRuns& runs, const PersonalArm& arm, const PersonalUser& user) {
  return (runs.adapters_of(arm.fleet) / kTenant / concat(arm.shared ? kEverybody : user.name, ".safetensors")).string();
}

/// The users' adapters on the base, and their scores on what nobody has trained on.
class UserScorer {
 public:
  UserScorer(const StudyRuns& runs, const PersonalTask& task, const PersonalArm& arm, const Settings& settings)
      : task_(task), arm_(arm), model_(open_model(arm.fleet.recipe.model, settings)) {
    const std::vector<PersonalUser>& users = task.users.users;
    std::vector<fs::path> files;
    files.reserve(users.size());
    for (size_t u = 0; u < (arm.shared ? 1 : users.size()); ++u) files.emplace_back(file_of(runs, arm, users[u]));
    opened_ = open_bank_on_model(model_, files, {}, settings);
    if (!arm.trained) opened_.bank->values.zero_();
    adapted_ = std::make_unique<AdaptedModel>(adapted_model(opened_, arm.fleet.recipe.train.precision));
    tokenizer_ = tokenizer_of(model_);
    encoder_ = std::make_unique<TaskEncoder>(*tokenizer_, model_.folder);
  }

  double score(size_t user) {
    const Task& task = task_.users.task;
    const ExampleView examples =
        encoder_->encode(task, task_.users.users[user].test, arm_.fleet.recipe.train.max_length);
    return score_slots(*adapted_, examples, {arm_.shared ? 0 : static_cast<int64_t>(user)}, task.metric, false).front();
  }

 private:
  const PersonalTask& task_;
  const PersonalArm& arm_;
  BaseModel model_;
  OpenedBank opened_;
  std::unique_ptr<AdaptedModel> adapted_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<TaskEncoder> encoder_;
};

std::string digest_of_texts(const std::vector<Example>& examples) {
  Sha256 digest;
  for (const Example& example : examples) {
    digest.update(concat(example.first, "|", example.second.value_or(""), "|", example.target.value_or(0), "\n"));
  }
  constexpr size_t kDigits = 16;
  return digest.hex().substr(0, kDigits);
}

PersonalScores score_arm(StudyRuns& runs, const PersonalTask& task, const PersonalArm& arm) {
  const std::string title = concat(task.name, ", ", arm.name);
  if (!arm.fleet.others.empty()) runs.result(task.others.fleet, concat(task.name, ", others"));
  const nlohmann::json done = runs.result(arm.fleet, title);
  runs.begin_part(title + ", scores");
  PersonalScores result{.task = &task, .arm = &arm};
  KeptNumbers kept(runs.request().folder, concat(fleet_digest(arm.fleet), arm.trained ? "" : "-base", "-scores"));
  std::unique_ptr<UserScorer> scorer;
  for (size_t u = 0; u < task.users.users.size(); ++u) {
    runs.check_stop();
    const PersonalUser& user = task.users.users[u];
    result.scores[static_cast<int64_t>(u)] = kept.at(concat(user.name, "-", digest_of_texts(user.test)), [&] {
      if (!scorer) scorer = std::make_unique<UserScorer>(runs, task, arm, runs.request().settings);
      return scorer->score(u);
    });
  }
  if (arm.trained) {
    result.seconds = done.at("train_seconds").get<double>() / arm.tokens;
    result.bytes = static_cast<double>(fs::file_size(file_of(runs, arm, task.users.users.front())));
  }
  return result;
}

/// Scores of the users with so many examples; of all for 0.
ScoresBySeed scores_of(const PersonalScores& of, int64_t examples) {
  ScoresBySeed scores;
  for (const auto& [user, score] : of.scores) {
    if (examples == 0 || of.task->users.users[static_cast<size_t>(user)].size.examples == examples) {
      scores[user] = score;
    }
  }
  return scores;
}

/// Of training, for each user with so many examples.
double seconds_of(const PersonalScores& of, int64_t examples) {
  const std::vector<PersonalUser>& users = of.task->users.users;
  if (of.arm->shared) return of.seconds * of.arm->tokens / static_cast<double>(users.size());
  const double passes = of.arm->name == "head alone" ? 1 : 3;
  double tokens = 0, count = 0;
  for (const PersonalUser& user : users) {
    if (examples != 0 && user.size.examples != examples) continue;
    tokens += passes * static_cast<double>(user.size.epochs) *
              estimate_tokens(user.train, of.arm->fleet.recipe.train.max_length);
    ++count;
  }
  return count > 0 ? of.seconds * tokens / count : 0;
}

std::vector<int64_t> sizes_of(const PersonalTask& task) {
  std::set<int64_t> sizes;
  for (const PersonalUser& user : task.users.users) sizes.insert(user.size.examples);
  std::vector<int64_t> all(sizes.begin(), sizes.end());
  all.push_back(0);
  return all;
}

const PersonalScores* own_scores(const std::vector<PersonalScores>& all, const PersonalTask& task) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const PersonalScores& scores) {
    return scores.task == &task && scores.arm->name == kOwn;
  });
  return found == all.end() ? nullptr : &*found;
}

StudyFindings personal_findings(const std::vector<PersonalTask>& tasks, const std::vector<PersonalScores>& all) {
  StudyFindings findings{.table = {.columns = {{"task"},
                                               {"examples"},
                                               {"adapter"},
                                               {"metric"},
                                               {"users"},
                                               {"mean", true},
                                               {"personal is above by", true},
                                               {"personal is"},
                                               {"seconds per user"},
                                               {"bytes per user"}}},
                         .answer = {}};
  for (const PersonalTask& task : tasks) {
    const std::string metric = task.users.task.metric;
    Chart chart{.title = concat(task.name, ", ", metric, " by examples of a user"),
                .x_label = "examples of a user",
                .logarithmic_x = true};
    const PersonalScores* own = own_scores(all, task);
    for (const PersonalScores& each : all) {
      if (each.task != &task) continue;
      Curve curve{.name = each.arm->name};
      std::string told;
      for (const int64_t examples : sizes_of(task)) {
        const ScoresBySeed scores = scores_of(each, examples);
        const Estimate mean = estimate_mean(scores);
        const double users = each.arm->shared ? static_cast<double>(task.users.users.size()) : 1;
        std::vector<ResultCell> row = {task.name,
                                       examples == 0 ? ResultCell("all") : ResultCell(static_cast<double>(examples)),
                                       each.arm->name,
                                       metric,
                                       static_cast<double>(mean.count),
                                       ResultCell(mean.mean, mean.error)};
        if (own == nullptr || own == &each) {
          row.resize(row.size() + 2);
        } else {
          const Estimate above = paired_difference(scores_of(*own, examples), scores);
          row.emplace_back(above.mean, above.error);
          row.emplace_back(conclusion(above, metric));
          told += concat(told.empty() ? "" : "; ", examples == 0 ? "all" : concat(examples, " examples"), " ",
                         told_difference(above, metric, "user"));
        }
        row.emplace_back(seconds_of(each, examples));
        row.emplace_back(each.bytes / users);
        findings.table.rows.push_back(std::move(row));
        if (examples > 0) {
          curve.points.push_back({static_cast<double>(examples), mean.mean, mean.error.value_or(0), {}});
        }
      }
      if (!told.empty()) {
        findings.answer += concat(findings.answer.empty() ? "" : "\n", task.name, ", ", metric, ": personal less ",
                                  each.arm->name, ": ", told, ".");
      }
      chart.curves.push_back(std::move(curve));
    }
    if (!chart.curves.empty()) findings.charts.push_back(std::move(chart));
  }
  if (findings.answer.empty()) findings.answer = "Nothing is compared yet.";
  return findings;
}

}  // namespace

StudyFindings run_personal(const Study& study, const StudyRequest& request) {
  const std::vector<PersonalTask> tasks = personal_tasks(study, request);
  constexpr size_t kArms = 4;
  StudyRuns runs(study, request, tasks.size() * (2 * kArms + 1));
  std::vector<PersonalScores> all;
  all.reserve(tasks.size() * kArms);
  for (const PersonalTask& task : tasks) {
    for (const PersonalArm& arm : task.arms) {
      if (request.trained_only && !runs.finished(arm.fleet)) continue;
      all.push_back(score_arm(runs, task, arm));
      if (request.on_part) request.on_part(personal_findings(tasks, all));
    }
  }
  StudyFindings findings = personal_findings(tasks, all);
  findings.complete = all.size() == tasks.size() * kArms;
  return findings;
}

double estimate_personal(const Study& study, const StudyRequest& request) {
  const StudyRuns runs(study, request, 0);
  double seconds = 0;
  for (const PersonalTask& task : personal_tasks(study, request)) {
    double tokens = runs.finished(task.others.fleet) ? 0 : task.others.tokens;
    for (const PersonalArm& arm : task.arms) {
      if (runs.finished(arm.fleet)) continue;
      tokens += arm.tokens;
      for (const PersonalUser& user : task.users.users) {
        tokens += estimate_tokens(user.test, arm.fleet.recipe.train.max_length);
      }
    }
    seconds += estimate_seconds(task.recipe, tokens);
  }
  return seconds;
}

}  // namespace loraxs
