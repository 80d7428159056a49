#include "train/loop.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>

#include "adapt/method.h"
#include "adapt/rank_allocator.h"
#include "batch/micro_batches.h"
#include "eval/metrics.h"
#include "eval/score.h"
#include "io/error.h"
#include "io/sha256.h"
#include "ops/frozen_gemm.h"
#include "train/job_adapters.h"
#include "train/job_bank.h"
#include "train/language_objective.h"
#include "train/objective.h"
#include "train/recipe_changes.h"
#include "train/report.h"
#include "train/run_examples.h"
#include "train/schedule.h"

namespace loraxs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kFiniteStep = "a finite loss and gradient";

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// One run, from its start or a checkpoint to its end.
class Training {
 public:
  Training(const TrainSetup& setup, RunFolder& folder, const TrainObserver& observer)
      : setup_(setup),
        recipe_(setup.recipe.train),
        folder_(folder),
        observer_(observer),
        jobs_(make_jobs(recipe_, setup.task_name)),
        examples_(choose_examples(setup.recipe.train, setup.train, setup.validation)),
        plan_(plan_steps(recipe_, examples_.train.size())),
        tokens_per_batch_(
            micro_batch_tokens(recipe_.tokens_per_batch,
                               recipe_.batch_size * (examples_.train.num_tokens() / examples_.train.size() + 1))),
        bank_(make_job_bank(setup, jobs_)),
        model_(setup.model, setup.basis, AdapterSet::of_bank(bank_), setup.dtype, setup.device,
               weight_memory(recipe_.memory)),
        optimizer_{bank_->values, bank_->gradients, torch::zeros_like(bank_->values), torch::zeros_like(bank_->values)},
        config_(adamw_config(recipe_)),
        identity_(make_identity()) {
    model_.limit_activations(setup.activation_limit);
    state_.best.resize(jobs_.size());
    state_.ended.resize(jobs_.size());
    state_.last_losses.resize(jobs_.size());
    state_.job_steps.resize(jobs_.size());
    state_.loss_sums.resize(jobs_.size());
    state_.epoch_losses.resize(jobs_.size());
    state_.best_values = bank_->values.cpu().clone();
    if (!find_method(setup.layout.method, "train").traits.prunes || !bank_->trains_sites) return;
    allocator_.emplace(setup.layout, setup.recipe.method.adalora, plan_.total_steps);
    state_.importance = torch::zeros({bank_->num_adapters(), setup.layout.adapter_numbers}, bank_->values.options());
    state_.uncertainty = torch::zeros_like(state_.importance);
  }

  TrainResult run(bool allow_drift) {
    restore(allow_drift);
    last_checkpoint_ = Clock::now();
    while (state_.step < plan_.total_steps && !active_jobs().empty()) {
      if (observer_.stop_requested && observer_.stop_requested()) {
        save();
        throw Interrupted(state_.step);
      }
      step();
      const bool due = state_.step == last_evaluation(state_.step) || state_.step == plan_.total_steps;
      if (due) evaluate();
      if (due || seconds_since(last_checkpoint_) >= recipe_.checkpoint_seconds) save();
    }
    save();  // where jobs have ended between two evaluations
    TrainResult result =
        write_job_adapters(setup_, folder_.path(), jobs_, *bank_, state_, examples_.choosing.size() > 0);
    refuse_if_all_ended();
    return result;
  }

 private:
  bool language_model() const { return setup_.kind == TaskKind::kLanguageModel; }

  /// Throws Error, what came before it saved, when numbers that are not finite have ended every job.
  void refuse_if_all_ended() const {
    for (const std::optional<JobEnd>& end : state_.ended) {
      if (!end) return;
    }
    const JobEnd& end = *state_.ended.front();
    throw Error(concat(folder_.path().string(), ": step ", end.step, ", job ", jobs_.front().name, ": ", end.reason,
                       jobs_.size() == 1 ? "" : concat("; all ", jobs_.size(), " jobs have ended so")));
  }

  RunIdentity make_identity() const {
    Sha256 digest;
    digest.update(recipe_content(setup_.recipe).dump()).update(setup_.model.base_id).update(setup_.basis->basis_id);
    if (setup_.start) digest.update(setup_.start->row_digest);
    for (const EncodedExamples* examples : {&setup_.train, &setup_.validation}) {
      for (int64_t i = 0; i < examples->size(); ++i) {
        digest.update(std::as_bytes(std::span(examples->encodings[i].input_ids)));
        digest.update(std::as_bytes(std::span(&examples->targets[i], 1)));
      }
    }
    return {.content = digest.hex(), .numerics = concat(torch::toString(setup_.dtype), " ", gemm_record())};
  }

  void restore(bool allow_drift) {
    auto saved = read_newest_checkpoint(folder_.path(), identity_, allow_drift, snapshot());
    const uint64_t bytes = saved ? saved->metrics_bytes : 0, there = folder_.start_metrics(bytes);
    if (there < bytes) {
      folder_.append_metrics({{"event", "gap"}, {"step", saved->step}, {"missing_bytes", bytes - there}});
    }
    if (!saved) {
      if (setup_.start) folder_.append_metrics({{"event", "start"}, {"step", 0}, {"from", setup_.start->to_json()}});
      return;
    }
    bank_->values.copy_(saved->values);
    optimizer_.first_moments.copy_(saved->first_moments);
    optimizer_.second_moments.copy_(saved->second_moments);
    state_ = std::move(*saved);
    saved_step_ = state_.step;
  }

  /// The state with the rows as they are now.
  TrainingState snapshot() const {
    TrainingState state = state_;
    state.values = bank_->values.cpu();
    state.first_moments = optimizer_.first_moments.cpu();
    state.second_moments = optimizer_.second_moments.cpu();
    return state;
  }

  void save() {
    if (state_.step == saved_step_) return;  // a whole copy is never written over by its equal
    state_.metrics_bytes = folder_.sync_metrics();
    write_checkpoint(folder_.path(), snapshot(), identity_);
    saved_step_ = state_.step;
    last_checkpoint_ = Clock::now();
  }

  /// Those that neither patience nor a number that is not finite has ended: the others keep their rows and cost
  /// nothing.
  std::vector<size_t> active_jobs() const {
    std::vector<size_t> active;
    for (size_t j = 0; j < jobs_.size(); ++j) {
      const bool waited = recipe_.patience > 0 && state_.best[j].stale >= recipe_.patience;
      if (!waited && !state_.ended[j]) active.push_back(j);
    }
    return active;
  }

  /// Ends one job: the others go on as if it had never been there.
  void end_job(size_t j, const std::string& expected, const std::string& found) {
    bank_->gradients.select(0, static_cast<int64_t>(j)).zero_();
    const JobEnd& end =
        state_.ended[j].emplace(JobEnd{.step = state_.step,
                                       .reason = concat("expected ", expected, ", found ", found,
                                                        "; lower train.learning_rate or train.head_learning_rate")});
    folder_.append_metrics(
        {{"event", "ended"}, {"step", end.step}, {"epoch", epoch()}, {"job", jobs_[j].name}, {"reason", end.reason}});
    if (observer_.on_end) observer_.on_end(jobs_[j].name, end);
  }

  /// The latest step, at most `step`, that an evaluation follows.
  int64_t last_evaluation(int64_t step) const {
    const int64_t every = recipe_.eval_every > 0 ? recipe_.eval_every : plan_.steps_per_epoch;
    return step / every * every;
  }

  /// The next `batch_size` examples of every active job, in the job's own order, weighted for the whole step.
  std::vector<std::vector<Sequence>> next_step() {
    const int64_t epoch = state_.step / plan_.steps_per_epoch, at = state_.step % plan_.steps_per_epoch;
    if (epoch != order_epoch_) {
      orders_.clear();
      for (const Job& job : jobs_) orders_.push_back(epoch_order(job, epoch, examples_.train.size()));
      order_epoch_ = epoch;
    }
    const int64_t begin = at * recipe_.batch_size, end = std::min(begin + recipe_.batch_size, examples_.train.size());
    std::vector<std::vector<Sequence>> batches(jobs_.size());
    for (const size_t j : active_jobs()) {
      for (int64_t i = begin; i < end; ++i) {
        Sequence sequence = examples_.train.sequence(orders_[j][i], static_cast<int64_t>(j));
        sequence.seed = jobs_[j].key;
        sequence.step = state_.step;
        batches[j].push_back(std::move(sequence));
      }
      weigh_step(batches[j]);
    }
    return batches;
  }

  ObjectiveValue loss_of(const PackedBatch& batch) {
    if (language_model()) return language_objective(model_, batch);
    return objective(model_.logits(batch, /*training=*/true), batch);
  }

  /// Adds the step's gradients to the bank, micro-batch by micro-batch; returns the loss of every job.
  std::vector<double> accumulate(std::vector<std::vector<Sequence>> step) {
    std::vector<std::vector<int64_t>> lengths(step.size());
    for (size_t j = 0; j < step.size(); ++j) {
      for (const Sequence& sequence : step[j]) lengths[j].push_back(static_cast<int64_t>(sequence.input_ids.size()));
    }
    std::vector<double> losses(step.size(), 0.0);
    for (const auto& pieces : plan_micro_batches(lengths, tokens_per_batch_, recipe_.gradient_accumulation)) {
      std::vector<Sequence> sequences;
      for (const BatchPiece& piece : pieces) {
        const auto first = std::make_move_iterator(step[piece.job].begin());
        sequences.insert(sequences.end(), first + piece.begin, first + piece.end);
      }
      const PackedBatch batch = pack(sequences);
      const ObjectiveValue loss = loss_of(batch);
      loss.total.backward();  // adds to the rows' gradients
      for (size_t p = 0; p < pieces.size(); ++p) losses[pieces[p].job] += loss.job_losses[p];
      state_.sentences += batch.num_sequences();
      state_.tokens += batch.num_tokens();
    }
    return losses;
  }

  void step() {
    const auto start = Clock::now();
    std::vector<size_t> active = active_jobs();
    std::vector<double> losses = accumulate(next_step());
    for (size_t i = 0; i < active.size() && allocator_; ++i) {
      losses[active[i]] += allocator_->add_penalty_(bank_->values[active[i]], bank_->gradients[active[i]]);
    }
    const double factor = schedule_factor(recipe_.schedule, state_.step, plan_.warmup_steps, plan_.total_steps);
    ++state_.step;
    update(active, factor, losses);
    ++state_.loss_steps;
    state_.train_seconds += seconds_since(start);
    report(active, factor, losses);
  }

  /// One optimizer step of the active rows, side by side: a row's bits do not depend on the thread that did it. Jobs
  /// whose loss or gradient is not finite keep their rows and end; they leave `active`.
  void update(std::vector<size_t>& active, double factor, const std::vector<double>& losses) {
    std::vector<double> norms(active.size());
    const torch::Tensor gradients = allocator_ ? bank_->gradients.clone() : torch::Tensor();  // the step zeroes them
    at::parallel_for(0, static_cast<int64_t>(active.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Job& job = jobs_[active[i]];
        if (!std::isfinite(losses[active[i]])) continue;
        std::vector<RateSegment> rates;
        const int64_t sites_end = bank_->layout.adapter_numbers;
        if (bank_->trains_sites) rates.push_back({0, sites_end, factor * job.learning_rate});
        rates.push_back({sites_end, bank_->layout.row_size, factor * job.head_learning_rate});
        norms[i] = adamw_step_(optimizer_, static_cast<int64_t>(active[i]), state_.step, rates, config_);
      }
    });
    std::vector<size_t> going_on;
    for (size_t i = 0; i < active.size(); ++i) {
      const size_t j = active[i];
      if (!std::isfinite(norms[i]) || !std::isfinite(losses[j])) {
        const bool is_loss = !std::isfinite(losses[j]);
        end_job(j, kFiniteStep, concat(is_loss ? "loss " : "gradient norm ", is_loss ? losses[j] : norms[i]));
        continue;
      }
      going_on.push_back(j);
      if (allocator_) {
        const torch::Tensor row = bank_->values[j];
        const RankMemory memory{state_.importance[j], state_.uncertainty[j]};
        allocator_->prune_(row, gradients[j] * clip_factor(norms[i], config_.max_grad_norm), memory, state_.step);
      }
      state_.job_steps[j] = state_.step;
      state_.loss_sums[j] += losses[j];
      state_.epoch_losses[j] += losses[j];
    }
    active = std::move(going_on);
  }

  int64_t epoch() const { return (state_.step - 1) / plan_.steps_per_epoch + 1; }

  void report(const std::vector<size_t>& active, double factor, const std::vector<double>& losses) {
    if (state_.step % recipe_.log_every == 0 || state_.step == plan_.total_steps) {
      nlohmann::json shown = nlohmann::json::object();
      for (const size_t j : active) shown[jobs_[j].name] = state_.loss_sums[j] / static_cast<double>(state_.loss_steps);
      state_.loss_sums.assign(jobs_.size(), 0.0);
      state_.loss_steps = 0;
      folder_.append_metrics(
          {{"event", "step"}, {"step", state_.step}, {"epoch", epoch()}, {"schedule", factor}, {"loss", shown}});
    }
    if (!observer_.on_step || active.empty()) return;
    double mean = 0;
    for (const size_t j : active) mean += losses[j] / static_cast<double>(active.size());
    const double per_step = state_.train_seconds / static_cast<double>(state_.step);
    observer_.on_step({.step = state_.step,
                       .total_steps = plan_.total_steps,
                       .epoch = epoch(),
                       .epochs = plan_.epochs,
                       .loss = mean,
                       .sentences_per_second = static_cast<double>(state_.sentences) / state_.train_seconds,
                       .tokens_per_second = static_cast<double>(state_.tokens) / state_.train_seconds,
                       .seconds_left = per_step * static_cast<double>(plan_.total_steps - state_.step)});
  }

  std::vector<double> score(const EncodedExamples& examples, const std::vector<size_t>& jobs) {
    if (examples.size() == 0 || jobs.empty()) return {};
    return score_slots(model_, examples, std::vector<int64_t>(jobs.begin(), jobs.end()), setup_.metric,
                       setup_.layout.head.labels.empty());
  }

  /// Scores the active jobs on the examples that choose, keeps the rows of the better ones, and scores those on the
  /// validation data if others chose. A score that is not finite is no better than any, and after the last step an end.
  void evaluate() {
    for (const size_t j : active_jobs()) {
      const torch::Tensor row = bank_->values.select(0, static_cast<int64_t>(j));
      if (!row.isfinite().all().item<bool>()) end_job(j, kFiniteStep, "a row with numbers that are not");
    }
    if (state_.step == plan_.total_steps && examples_.choosing.size() == 0) end_jobs_without_outputs();
    const std::vector<size_t> active = active_jobs();
    const std::vector<double> scores = score(examples_.choosing, active);
    std::vector<size_t> better;
    for (size_t i = 0; i < scores.size(); ++i) {
      const size_t j = active[i];
      BestEpoch& best = state_.best[j];
      const double so_far = best.epoch > 0 ? best.value : std::numeric_limits<double>::quiet_NaN();
      if (!std::isfinite(scores[i]) || !is_better(setup_.metric, scores[i], so_far)) {
        ++best.stale;
        continue;
      }
      best = {.step = state_.step, .epoch = epoch(), .value = scores[i]};
      const auto row = static_cast<int64_t>(j);
      state_.best_values.select(0, row).copy_(bank_->values.select(0, row));
      better.push_back(j);
    }
    const std::vector<double> reported = score(examples_.reported, better);
    for (size_t i = 0; i < reported.size(); ++i) state_.best[better[i]].validation = reported[i];
    const int64_t steps = state_.step - last_evaluation(state_.step - 1);
    for (size_t i = 0; i < active.size(); ++i) {
      const size_t j = active[i];
      const BestEpoch& best = state_.best[j];
      const double loss = state_.epoch_losses[j] / static_cast<double>(steps);
      nlohmann::json event = {
          {"event", "evaluation"}, {"step", state_.step}, {"epoch", epoch()}, {"job", jobs_[j].name}, {"loss", loss}};
      EpochReport shown{.epoch = epoch(), .job = jobs_[j].name, .train_loss = loss};
      if (!scores.empty()) {
        event[score_key(setup_.metric)] = shown.value = scores[i];
        shown.best = best.step == state_.step;
        if (shown.best && best.validation) event["validation"] = *best.validation;
      }
      state_.last_losses[j] = loss;
      state_.epoch_losses[j] = 0;
      folder_.append_metrics(event);
      if (observer_.on_epoch) observer_.on_epoch(shown);
    }
    if (setup_.answer_samples && !active.empty()) sample({active.begin(), active.end()});
    for (size_t i = 0; i < scores.size() && state_.step == plan_.total_steps; ++i) {
      if (std::isfinite(scores[i])) continue;
      end_job(active[i], "a last row whose score is a number", concat(setup_.metric, " ", scores[i]));
    }
  }

  void sample(const std::vector<int64_t>& slots) {
    for (const TrainSample& sample : setup_.answer_samples(model_, slots)) {
      const std::string& job = jobs_[sample.slot].name;
      folder_.append_metrics({{"event", "sample"},
                              {"step", state_.step},
                              {"epoch", epoch()},
                              {"job", job},
                              {"prompt", sample.prompt},
                              {"text", sample.text}});
      if (observer_.on_sample) observer_.on_sample(job, sample);
    }
  }

  /// Without examples that choose, the last row is the best: it must compute something, on the first training examples.
  /// Rows can be finite and so large that nothing else is.
  void end_jobs_without_outputs() {
    std::vector<int64_t> first(std::min(recipe_.batch_size, examples_.train.size()));
    std::iota(first.begin(), first.end(), 0);
    const EncodedExamples examples = take_examples(examples_.train, first);
    const std::vector<size_t> active = active_jobs();
    if (active.empty()) return;
    const std::vector<int64_t> slots(active.begin(), active.end());
    const std::vector<bool> finite = finite_outputs(model_, examples, slots, language_model());
    for (size_t i = 0; i < active.size(); ++i) {
      if (!finite[i]) end_job(active[i], "finite outputs of the last row", "others");
    }
  }

  const TrainSetup& setup_;
  const TrainRecipe& recipe_;
  RunFolder& folder_;
  const TrainObserver& observer_;
  std::vector<Job> jobs_;
  RunExamples examples_;
  StepPlan plan_;
  int64_t tokens_per_batch_;  // about, of a micro-batch
  std::shared_ptr<Bank> bank_;
  AdaptedModel model_;
  OptimizerRows optimizer_;
  AdamWConfig config_;
  RunIdentity identity_;
  TrainingState state_;
  std::optional<RankAllocator> allocator_;    // of methods that prune
  std::vector<std::vector<int64_t>> orders_;  // per job, of order_epoch_
  int64_t order_epoch_ = -1;
  int64_t saved_step_ = -1;  // of the newest checkpoint
  Clock::time_point last_checkpoint_;
};

}  // namespace

TrainResult train(const TrainSetup& setup, RunFolder& folder, bool allow_drift, const TrainObserver& observer) {
  return Training(setup, folder, observer).run(allow_drift);
}

}  // namespace loraxs
