#include "train/loop.h"

#include <torch/csrc/autograd/custom_function.h>

#include <chrono>
#include <cmath>

#include "eval/metrics.h"
#include "eval/score.h"
#include "io/error.h"
#include "io/sha256.h"
#include "ops/frozen_gemm.h"
#include "train/language_objective.h"
#include "train/objective.h"
#include "train/schedule.h"

namespace loraxs {
namespace {

using Clock = std::chrono::steady_clock;

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
        plan_(plan_steps(recipe_, setup.train.size())),
        bank_(make_job_bank(setup, jobs_)),
        model_(setup.model, setup.basis, AdapterSet::of_bank(bank_), setup.dtype, setup.device),
        optimizer_{bank_->values, bank_->gradients, torch::zeros_like(bank_->values), torch::zeros_like(bank_->values)},
        config_(adamw_config(recipe_)),
        identity_(make_identity()) {
    state_.best.resize(jobs_.size());
    state_.loss_sums.resize(jobs_.size());
    state_.epoch_losses.resize(jobs_.size());
    state_.best_values = bank_->values.clone();
  }

  TrainResult run(bool allow_drift) {
    restore(allow_drift);
    last_checkpoint_ = Clock::now();
    while (state_.step < plan_.total_steps) {
      if (observer_.stop_requested && observer_.stop_requested()) {
        save();
        throw Interrupted(state_.step);
      }
      step();
      const bool epoch_ends = state_.step % plan_.steps_per_epoch == 0 || state_.step == plan_.total_steps;
      if (epoch_ends) finish_epoch();
      if (epoch_ends || seconds_since(last_checkpoint_) >= recipe_.checkpoint_seconds) save();
    }
    return finish();
  }

 private:
  bool language_model() const { return setup_.kind == TaskKind::kLanguageModel; }

  RunIdentity make_identity() const {
    nlohmann::json recipe = setup_.recipe.to_json();
    for (const char* key : {"output", "threads", "device", "model"}) recipe.erase(key);  // places, not content
    recipe["train"].erase("checkpoint_seconds");
    Sha256 digest;
    digest.update(recipe.dump()).update(setup_.model.base_id).update(setup_.basis->basis_id);
    for (const EncodedExamples* examples : {&setup_.train, &setup_.validation}) {
      for (int64_t i = 0; i < examples->size(); ++i) {
        digest.update(std::as_bytes(std::span(examples->encodings[i].input_ids)));
        digest.update(std::as_bytes(std::span(&examples->targets[i], 1)));
      }
    }
    return {.content = digest.hex(), .numerics = concat(torch::toString(setup_.dtype), " ", gemm_record())};
  }

  void restore(bool allow_drift) {
    auto saved = read_newest_checkpoint(folder_.path(), identity_, allow_drift);
    folder_.truncate_metrics(saved ? saved->metrics_bytes : 0);
    if (!saved) return;
    bank_->values.copy_(saved->values);
    optimizer_.first_moments.copy_(saved->first_moments);
    optimizer_.second_moments.copy_(saved->second_moments);
    state_ = std::move(*saved);
  }

  void save() {
    state_.metrics_bytes = folder_.sync_metrics();
    state_.values = bank_->values.cpu();
    state_.first_moments = optimizer_.first_moments.cpu();
    state_.second_moments = optimizer_.second_moments.cpu();
    write_checkpoint(folder_.path(), state_, identity_);
    last_checkpoint_ = Clock::now();
  }

  /// The next `batch_size` examples of every job, in the job's own order.
  PackedBatch next_batch() {
    const int64_t epoch = state_.step / plan_.steps_per_epoch, at = state_.step % plan_.steps_per_epoch;
    if (epoch != order_epoch_) {
      orders_.clear();
      for (const Job& job : jobs_) orders_.push_back(epoch_order(job, epoch, setup_.train.size()));
      order_epoch_ = epoch;
    }
    const int64_t begin = at * recipe_.batch_size, end = std::min(begin + recipe_.batch_size, setup_.train.size());
    std::vector<Sequence> sequences;
    for (size_t j = 0; j < jobs_.size(); ++j) {
      for (int64_t i = begin; i < end; ++i) {
        Sequence sequence = setup_.train.sequence(orders_[j][i], static_cast<int64_t>(j));
        sequence.seed = jobs_[j].key;
        sequence.step = state_.step;
        sequences.push_back(std::move(sequence));
      }
      if (language_model()) weigh_targets(std::span(sequences).last(end - begin));
    }
    return pack(sequences);
  }

  void step() {
    const auto start = Clock::now();
    const PackedBatch batch = next_batch();
    const ObjectiveValue loss =
        language_model() ? language_objective(model_, batch)
                         : objective(model_.logits(batch, /*training=*/true), batch, setup_.layout.head.labels.empty());
    loss.total.backward();  // writes the rows' gradients
    const double factor = schedule_factor(recipe_.schedule, state_.step, plan_.warmup_steps, plan_.total_steps);
    ++state_.step;
    for (size_t j = 0; j < jobs_.size(); ++j) update(j, factor, loss.job_losses[j]);
    ++state_.loss_steps;
    state_.sentences += batch.num_sequences();
    state_.tokens += batch.num_tokens();
    state_.train_seconds += seconds_since(start);
    report(factor, loss.job_losses);
  }

  void update(size_t j, double factor, double loss) {
    const Job& job = jobs_[j];
    std::vector<RateSegment> rates;
    const int64_t sites_end = bank_->layout.adapter_numbers;
    if (bank_->trains_sites) rates.push_back({0, sites_end, factor * job.learning_rate});
    rates.push_back({sites_end, bank_->layout.row_size, factor * job.head_learning_rate});
    const double norm = adamw_step_(optimizer_, static_cast<int64_t>(j), state_.step, rates, config_);
    if (!std::isfinite(norm) || !std::isfinite(loss)) {
      throw Error(concat(folder_.path().string(), ": step ", state_.step, ", job ", job.name,
                         ": expected a finite loss and gradient, found loss ", loss, " and gradient norm ", norm,
                         "; lower train.learning_rate or train.head_learning_rate"));
    }
    state_.loss_sums[j] += loss;
    state_.epoch_losses[j] += loss;
  }

  void report(double factor, const std::vector<double>& losses) {
    const int64_t epoch = (state_.step - 1) / plan_.steps_per_epoch + 1;
    if (state_.step % recipe_.log_every == 0 || state_.step == plan_.total_steps) {
      nlohmann::json shown = nlohmann::json::object();
      for (size_t j = 0; j < jobs_.size(); ++j) {
        shown[jobs_[j].name] = state_.loss_sums[j] / static_cast<double>(state_.loss_steps);
        state_.loss_sums[j] = 0;
      }
      state_.loss_steps = 0;
      folder_.append_metrics(
          {{"event", "step"}, {"step", state_.step}, {"epoch", epoch}, {"schedule", factor}, {"loss", shown}});
    }
    if (!observer_.on_step) return;
    double mean = 0;
    for (const double loss : losses) mean += loss / static_cast<double>(losses.size());
    const double per_step = state_.train_seconds / static_cast<double>(state_.step);
    observer_.on_step({.step = state_.step,
                       .total_steps = plan_.total_steps,
                       .epoch = epoch,
                       .epochs = plan_.epochs,
                       .loss = mean,
                       .sentences_per_second = static_cast<double>(state_.sentences) / state_.train_seconds,
                       .seconds_left = per_step * static_cast<double>(plan_.total_steps - state_.step)});
  }

  void finish_epoch() {
    const int64_t epoch = (state_.step - 1) / plan_.steps_per_epoch + 1;
    const int64_t steps = state_.step - (epoch - 1) * plan_.steps_per_epoch;
    std::vector<double> scores;
    if (setup_.validation.size() > 0) {
      std::vector<int64_t> slots(jobs_.size());
      for (size_t j = 0; j < jobs_.size(); ++j) slots[j] = static_cast<int64_t>(j);
      scores = score_slots(model_, setup_.validation, slots, setup_.metric, setup_.layout.head.labels.empty());
    }
    for (size_t j = 0; j < jobs_.size(); ++j) {
      const double loss = state_.epoch_losses[j] / static_cast<double>(steps);
      nlohmann::json event = {
          {"event", "epoch"}, {"step", state_.step}, {"epoch", epoch}, {"job", jobs_[j].name}, {"loss", loss}};
      EpochReport shown{.epoch = epoch, .job = jobs_[j].name, .train_loss = loss};
      if (!scores.empty()) {
        event[setup_.metric] = scores[j];
        shown.value = scores[j];
        BestEpoch& best = state_.best[j];
        if (best.epoch == 0 || is_better(setup_.metric, scores[j], best.value)) {
          best = {.epoch = epoch, .value = scores[j]};
          state_.best_values.select(0, static_cast<int64_t>(j)).copy_(bank_->values.select(0, static_cast<int64_t>(j)));
          shown.best = true;
        }
      }
      last_losses_.resize(jobs_.size());
      last_losses_[j] = loss;
      state_.epoch_losses[j] = 0;
      folder_.append_metrics(event);
      if (observer_.on_epoch) observer_.on_epoch(shown);
    }
  }

  TrainResult finish() {
    TrainResult result{.layout = bank_->layout,
                       .train_seconds = state_.train_seconds,
                       .sentences = state_.sentences,
                       .tokens = state_.tokens,
                       .steps = state_.step};
    Bank best = *bank_;
    best.values = state_.best_values;
    const bool scored = setup_.validation.size() > 0;
    for (size_t j = 0; j < jobs_.size(); ++j) {
      const auto row = static_cast<int64_t>(j);
      const std::filesystem::path folder = folder_.path() / jobs_[j].name;
      std::filesystem::create_directories(folder);
      AdapterProvenance provenance = setup_.provenance;
      nlohmann::json summary = {{"seed", jobs_[j].seed}, {"steps", state_.step}};
      write_with_summary(folder / "last.safetensors", *bank_, row, provenance, summary);
      if (scored) {
        summary["best_epoch"] = state_.best[j].epoch;
        summary[setup_.metric] = state_.best[j].value;
      }
      write_with_summary(folder / "best.safetensors", scored ? best : *bank_, row, provenance, summary);
      result.adapter_bytes = static_cast<int64_t>(std::filesystem::file_size(folder / "best.safetensors"));
      result.jobs.push_back(
          {.job = jobs_[j], .best = state_.best[j], .last_loss = j < last_losses_.size() ? last_losses_[j] : 0});
    }
    return result;
  }

  void write_with_summary(const std::filesystem::path& path, const Bank& bank, int64_t row,
                          AdapterProvenance provenance, const nlohmann::json& summary) const {
    provenance.summary = summary.dump();
    write_adapter(path, bank, row, setup_.model, *setup_.basis, provenance);
  }

  const TrainSetup& setup_;
  const TrainRecipe& recipe_;
  RunFolder& folder_;
  const TrainObserver& observer_;
  std::vector<Job> jobs_;
  StepPlan plan_;
  std::shared_ptr<Bank> bank_;
  AdaptedModel model_;
  OptimizerRows optimizer_;
  AdamWConfig config_;
  RunIdentity identity_;
  TrainingState state_;
  std::vector<std::vector<int64_t>> orders_;  // per job, of order_epoch_
  int64_t order_epoch_ = -1;
  std::vector<double> last_losses_;
  Clock::time_point last_checkpoint_;
};

}  // namespace

std::shared_ptr<Bank> make_job_bank(const TrainSetup& setup, const std::vector<Job>& jobs) {
  const MethodRecipe& method = setup.recipe.method;
  const Layout& layout = setup.layout;
  const auto row_type = setup.dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  auto bank = std::make_shared<Bank>(make_bank(layout, method.alpha, static_cast<int64_t>(jobs.size()), row_type));
  bank->trains_sites = method.train_sites;
  const BaseModel& model = setup.model;
  const std::string dense = model.architecture->head.dense;
  std::optional<HeadDense> start;
  if (model.has(dense + ".weight")) start = {model.weight(dense + ".weight"), model.weight(dense + ".bias")};
  for (size_t j = 0; j < jobs.size(); ++j) {
    initialize_row(*bank, static_cast<int64_t>(j), jobs[j].key, method.train_sites ? method.init_std : 0.0,
                   model.config.initializer_range, start);
  }
  bank->gradients = torch::zeros_like(bank->values);
  return bank;
}

TrainResult train(const TrainSetup& setup, RunFolder& folder, bool allow_drift, const TrainObserver& observer) {
  return Training(setup, folder, observer).run(allow_drift);
}

}  // namespace loraxs
