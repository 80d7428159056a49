// A fleet, top to bottom: jobs come from a source (fleet_job.h) as rows become free, make their steps together
// (step_engine.h), are scored on their own examples (evaluation.h), and go as rows into a store (fleet_store.h). What
// is kept between rounds is fleet_state.h's.
#include "train/fleet.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "io/error.h"
#include "io/sha256.h"
#include "ops/frozen_gemm.h"
#include "train/job_identity.h"
#include "train/job_row.h"
#include "train/recipe_changes.h"
#include "train/recipe_layout.h"

namespace loraxs {
namespace {

constexpr int64_t kAutomaticSlots = 64;        // enough for full groups of 1,024 tokens at 4 sentences a step
constexpr int64_t kFinishedNumbers = 2 << 20;  // of rows that wait for one batch into the store

bool is_scored_now(const JobRun& job) { return !job.stopped() && job.evaluation_due(); }

/// Values at shares of a sorted list: 0.1 is the first decile.
double quantile(const std::vector<double>& sorted, double share) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<size_t>(std::llround(share * last))];
}

nlohmann::json quantiles(std::vector<double> values) {
  nlohmann::json json = nlohmann::json::object();
  std::sort(values.begin(), values.end());
  if (values.empty()) return json;
  constexpr std::array<std::pair<const char*, double>, 3> kShown = {
      {{"loss_p10", 0.1}, {"loss_p50", 0.5}, {"loss_p90", 0.9}}};
  for (const auto& [name, share] : kShown) json[name] = quantile(values, share);
  return json;
}

/// A model with so many slots, each of which waits for a bank of its own.
std::unique_ptr<AdaptedModel> make_fleet_model(const TrainSetup& setup, std::shared_ptr<PreparedModel> base,
                                               int64_t slots) {
  const std::shared_ptr<Bank> none = make_job_bank(setup, 1);
  AdapterSet adapters;
  adapters.banks.reserve(slots);
  adapters.slots.reserve(slots);
  for (int64_t slot = 0; slot < slots; ++slot) {
    adapters.banks.push_back(none);
    adapters.slots.push_back({.bank = slot, .row = 0});
  }
  auto model = std::make_unique<AdaptedModel>(std::move(base), std::move(adapters));
  model->limit_activations(setup.activation_limit);
  return model;
}

}  // namespace

std::shared_ptr<PreparedModel> prepare_fleet_base(const TrainSetup& setup) {
  return std::make_shared<PreparedModel>(setup.model, setup.basis, Reservation::of({make_job_bank(setup, 1)}),
                                         PrepareOptions{.dtype = setup.dtype,
                                                        .device = setup.device,
                                                        .memory = weight_memory(setup.recipe.train.memory),
                                                        .both_ways = true});
}

Fleet::Fleet(const TrainSetup& setup, const FleetRecipe& recipe, std::shared_ptr<PreparedModel> base, JobSource& source,
             FleetStore& store, RunFolder& folder, bool allow_drift, FleetObserver observer)
    : setup_(setup),
      recipe_(recipe),
      source_(source),
      store_(store),
      folder_(folder),
      observer_(std::move(observer)),
      slots_(std::min(recipe.slots > 0 ? recipe.slots : kAutomaticSlots, std::max<int64_t>(1, source.size()))),
      model_(make_fleet_model(setup, std::move(base), slots_)),
      engine_(std::make_unique<StepEngine>(*model_, recipe.tokens_per_step)),
      evaluation_(std::make_unique<Evaluation>(*engine_, setup.metric, setup.kind == TaskKind::kRegression)),
      identity_(make_identity()) {
  restore(allow_drift);
}

RunIdentity Fleet::make_identity() const {
  nlohmann::json content = recipe_content(setup_.recipe);
  // Of the section, what decides no bit: speed, memory, and where things lie. The list of jobs has a digest of its own.
  for (const char* key : {"slots", "tokens_per_step", "jobs", "store", "on_error", "finished"})
    content["fleet"].erase(key);
  Sha256 digest;
  digest.update(content.dump()).update(setup_.model.base_id).update(setup_.basis->basis_id);
  return {.content = digest.hex(), .numerics = concat(torch::toString(setup_.dtype), " ", gemm_record())};
}

void Fleet::restore(bool allow_drift) {
  const auto layout_for = [&](const HeadLayout& head) { return layout_of(head); };
  const auto state = read_fleet_state(folder_.path(), identity_, allow_drift, layout_for);
  if (state && state->jobs != source_.digest()) {
    throw Error(concat(recipe_.jobs,
                       ": expected the jobs that this fleet began with, found others; give them back, or "
                       "choose another output"));
  }
  if (state) progress_ = state->progress;
  folder_.start_metrics(progress_.metrics_bytes);
  lines_ = std::make_unique<AppendFile>(folder_.path() / "jobs.jsonl");
  lines_->cut(progress_.lines_bytes);
  std::vector<int64_t> again;
  if (state) {
    finished_ = state->finished;
    again.reserve(state->active.size());
    for (const FleetJobState& job : state->active) again.push_back(job.index);
  }
  source_.begin(again, progress_.taken);
  for (size_t i = 0; i < again.size(); ++i) {
    const FleetJobState& saved = state->active[i];
    std::optional<FleetArrival> arrival = source_.next();
    auto* job = arrival ? std::get_if<FleetJob>(&*arrival) : nullptr;
    if (job == nullptr || job->digest != saved.digest || static_cast<int64_t>(active_.size()) == slots_) {
      throw Error(concat(folder_.path().string(), ": --resume: expected the examples and rows that job ",
                         saved.index + 1,
                         " was trained with, found others; give back its data and slots, or choose another output"));
    }
    Active& active = join(std::move(*job));
    const int64_t slot = active.run.slot();
    const OptimizerRows& rows = engine_->rows_of(slot);
    for (const auto& [ours, theirs] : {std::pair{rows.values.select(0, 0), &saved.values},
                                       {rows.first_moments.select(0, 0), &saved.first_moments},
                                       {rows.second_moments.select(0, 0), &saved.second_moments},
                                       {active.best, &saved.best},
                                       {active.ranks.importance, &saved.importance},
                                       {active.ranks.uncertainty, &saved.uncertainty}}) {
      if (ours.defined()) ours.copy_(*theirs);
    }
    active.curve = saved.curve;
    active.run.restore(saved.state);
  }
}

std::shared_ptr<const Layout> Fleet::layout_of(const HeadLayout& head) const {
  for (const Active& job : active_) {
    if (job.layout->head == head) return job.layout;  // and with it the binding
  }
  return std::make_shared<Layout>(recipe_layout(setup_.recipe.method, head, setup_.model, folder_.path().string()));
}

void Fleet::take_in() {
  while (!exhausted_ && static_cast<int64_t>(active_.size()) < slots_) {
    std::optional<FleetArrival> arrival = source_.next();
    if (!arrival) {
      exhausted_ = true;
      return;
    }
    progress_.taken = 1 + std::visit([](const auto& any) { return any.member.index; }, *arrival);
    if (auto* job = std::get_if<FleetJob>(&*arrival)) {
      join(std::move(*job));
    } else if (const auto* kept = std::get_if<FleetKept>(&*arrival)) {
      keep(*kept);
    } else {
      const auto& failure = std::get<FleetFailure>(*arrival);
      fail(failure.member, failure.reason);
    }
  }
}

Fleet::Active& Fleet::join(FleetJob&& job) {
  const std::shared_ptr<const Layout> layout = layout_of(job.head);
  Recipe recipe = setup_.recipe;
  recipe.train = job.train;
  TrainSetup own = setup_;
  own.layout = *layout;
  own.labels = job.labels;
  own.start = job.start;
  const std::shared_ptr<Bank> bank = make_job_bank(own, 1);
  bank->layout = layout;
  bank->values.select(0, 0).copy_(first_row(own, job.job));
  const JobSettings settings = job_settings(recipe, *layout, job.examples.train);
  JobRows rows{.best = bank->values.select(0, 0).cpu().clone()};
  if (settings.allocator) {
    rows.ranks.importance = torch::zeros({layout->adapter_numbers}, bank->values.options());
    rows.ranks.uncertainty = torch::zeros_like(rows.ranks.importance);
  }
  const int64_t slot = engine_->join(bank);
  JobRun run(job.job, settings, std::exchange(job.examples, {}), *layout, slot, rows);
  return active_.emplace_back(Active{.origin = std::move(job),
                                     .layout = layout,
                                     .best = rows.best,
                                     .ranks = rows.ranks,
                                     .curve = {},
                                     .run = std::move(run)});
}

bool Fleet::step() {
  take_in();
  if (!active_.empty() && stopped_by_.empty()) {
    const auto start = Clock::now();
    train_round();
    evaluate();
    retire();
    progress_.seconds += std::chrono::duration<double>(Clock::now() - start).count();
  }
  const double unsaved = std::chrono::duration<double>(Clock::now() - saved_).count();
  if (!stopped_by_.empty()) {
    save();
    throw Error(stopped_by_);
  }
  if (active_.empty() && exhausted_) {
    const bool hands_over = !finished_.empty();
    save();
    if (hands_over) save();  // the state says so
    if (observer_.on_round) observer_.on_round(counts());
    return false;
  }
  if (finished_numbers_ >= kFinishedNumbers || unsaved >= setup_.recipe.train.checkpoint_seconds) save();
  if (observer_.on_round) observer_.on_round(counts());
  return true;
}

void Fleet::train_round() {
  std::vector<JobStep> steps;
  steps.reserve(active_.size());
  for (Active& job : active_) steps.push_back(job.run.next_step());
  const std::vector<StepOutcome> outcomes = engine_->step(steps);
  std::vector<double> losses;
  losses.reserve(active_.size());
  size_t i = 0;
  for (Active& job : active_) {
    job.run.take(outcomes[i]);
    progress_.sentences += static_cast<int64_t>(steps[i].sequences.size());
    progress_.tokens += steps[i].num_tokens();
    if (outcomes[i].failure.empty()) losses.push_back(outcomes[i].loss);
    ++i;
  }
  progress_.steps += static_cast<int64_t>(steps.size());
  ++progress_.rounds;
  if (progress_.rounds % setup_.recipe.train.log_every != 0) return;
  nlohmann::json line = quantiles(std::move(losses));
  line.update({{"event", "fleet"},
               {"step", progress_.rounds},
               {"active", active_.size()},
               {"done", progress_.done},
               {"failed", progress_.failed}});
  folder_.append_metrics(line);
}

void Fleet::evaluate() {
  std::vector<Active*> due;
  std::vector<JobRun*> runs;
  const auto collect = [&] {
    due.clear();
    runs.clear();
    for (Active& job : active_) {
      if (!is_scored_now(job.run)) continue;
      due.push_back(&job);
      runs.push_back(&job.run);
    }
  };
  collect();
  evaluation_->end_broken_rows(runs);
  collect();
  evaluation_->end_mute_rows(runs);
  collect();
  const std::vector<JobScore> scores = evaluation_->score(runs);
  for (size_t i = 0; i < scores.size(); ++i) {
    due[i]->curve.add(due[i]->run.state().step, scores[i].loss, scores[i].value);
  }
  evaluation_->end_unscored(scores);
}

void Fleet::retire() {
  for (auto job = active_.begin(); job != active_.end();) {
    if (!job->run.finished()) {
      ++job;
      continue;
    }
    if (const auto& end = job->run.state().ended) {
      fail(job->origin.member, concat("step ", end->step, ": ", end->reason));
    } else {
      finish(*job);
    }
    engine_->leave(job->run.slot());
    job = active_.erase(job);
  }
}

void Fleet::finish(Active& job) {
  const JobState& state = job.run.state();
  const bool chosen = state.best.epoch > 0;
  const FleetMember& member = job.origin.member;
  nlohmann::json line = {{"status", "done"},
                         {"seed", job.origin.job.seed},
                         {"steps", state.step},
                         {"examples", job.run.examples().size()},
                         {"loss", state.last_loss}};
  if (chosen) {
    line["best_epoch"] = state.best.epoch;
    line[setup_.metric == "loss" ? "validation_loss" : setup_.metric] = state.best.value;
  }
  if (job.origin.start) line["start"] = job.origin.start->to_json();
  nlohmann::json summary = line;
  summary.erase("status");
  summary["curve"] = job.curve.points;
  summary[kJobIdentity] = job.origin.identity;
  FinishedRow row{.tenant = member.tenant,
                  .name = member.name,
                  .layout = job.layout,
                  .labels = job.origin.labels,
                  .alpha = setup_.recipe.method.alpha,
                  .row = chosen ? job.best.clone() : engine_->row(job.run.slot()).cpu().clone(),
                  .provenance = setup_.provenance};
  row.provenance.max_length = job.origin.train.max_length;
  row.provenance.summary = summary.dump();
  finished_numbers_ += row.row.numel();
  finished_.push_back(std::move(row));
  ++progress_.done;
  append(member, std::move(line));
}

void Fleet::keep(const FleetKept& job) {
  nlohmann::json line = job.summary;
  for (const char* key : {"curve", kJobIdentity}) line.erase(key);
  line.update({{"status", "done"}, {"kept", true}});
  ++progress_.done;
  ++progress_.kept;
  append(job.member, std::move(line));
}

void Fleet::fail(const FleetMember& member, const std::string& reason) {
  ++progress_.failed;
  append(member, {{"status", "failed"}, {"where", member.where}, {"error", reason}});
  if (observer_.on_failure) observer_.on_failure(member, reason);
  if (recipe_.stop_on_error && stopped_by_.empty()) stopped_by_ = concat("job ", member.title(), ": ", reason);
}

void Fleet::append(const FleetMember& member, nlohmann::json line) {
  line["tenant"] = member.tenant;
  line["name"] = member.name;
  lines_->append(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Fleet::save() {
  FleetState state{.jobs = source_.digest(), .progress = progress_, .active = {}, .finished = finished_};
  state.progress.metrics_bytes = folder_.sync_metrics();
  state.progress.lines_bytes = lines_->sync();
  ++state.progress.saves;
  state.active.reserve(active_.size());
  for (const Active& job : active_) {
    const OptimizerRows& rows = engine_->rows_of(job.run.slot());
    const auto row = [](const torch::Tensor& tensor) {
      return tensor.defined() ? tensor.cpu().clone().contiguous() : tensor;
    };
    state.active.push_back({.index = job.origin.member.index,
                            .digest = job.origin.digest,
                            .state = job.run.state(),
                            .curve = job.curve,
                            .values = row(rows.values.select(0, 0)),
                            .first_moments = row(rows.first_moments.select(0, 0)),
                            .second_moments = row(rows.second_moments.select(0, 0)),
                            .best = row(job.best),
                            .importance = row(job.ranks.importance),
                            .uncertainty = row(job.ranks.uncertainty)});
  }
  write_fleet_state(folder_.path(), state, identity_);
  progress_ = state.progress;
  saved_ = Clock::now();
  // Once a row is in the store, the state knows that its job has ended: a job that starts from its user's newest
  // adapter never meets its own.
  if (!finished_.empty()) store_.put(finished_);
  finished_.clear();
  finished_numbers_ = 0;
}

FleetCounts Fleet::counts() const {
  return {.jobs = source_.size(),
          .done = progress_.done,
          .kept = progress_.kept,
          .failed = progress_.failed,
          .active = static_cast<int64_t>(active_.size()),
          .rounds = progress_.rounds,
          .steps = progress_.steps,
          .sentences = progress_.sentences,
          .tokens = progress_.tokens,
          .seconds = progress_.seconds};
}

}  // namespace loraxs
