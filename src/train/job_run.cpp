#include "train/job_run.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "adapt/method.h"
#include "eval/metrics.h"
#include "io/error.h"
#include "train/objective.h"
#include "train/schedule.h"

namespace loraxs {

JobSettings job_settings(const Recipe& recipe, const Layout& layout, const ExampleView& examples) {
  const TrainRecipe& train = recipe.train;
  const int64_t step_tokens = train.batch_size * (examples.num_tokens() / examples.size() + 1);
  JobSettings settings{.batch_size = train.batch_size,
                       .tokens_per_batch = micro_batch_tokens(train.tokens_per_batch, step_tokens),
                       .gradient_accumulation = train.gradient_accumulation,
                       .plan = plan_steps(train, examples.size()),
                       .schedule = train.schedule,
                       .adamw = adamw_config(train),
                       .patience = train.patience,
                       .trains_sites = recipe.method.train_sites};
  settings.eval_every = train.eval_every > 0 ? train.eval_every : settings.plan.steps_per_epoch;
  if (settings.trains_sites && find_method(layout.method, "train").traits.prunes) {
    settings.allocator =
        std::make_shared<const RankAllocator>(layout, recipe.method.adalora, settings.plan.total_steps);
  }
  return settings;
}

JobRun::JobRun(Job job, JobSettings settings, RunExamples examples, const Layout& layout, int64_t slot, JobRows rows)
    : job_(std::move(job)),
      settings_(std::move(settings)),
      data_(std::move(examples)),
      adapter_numbers_(layout.adapter_numbers),
      row_size_(layout.row_size),
      slot_(slot),
      rows_(std::move(rows)) {}

bool JobRun::stopped() const {
  return state_.ended || (settings_.patience > 0 && state_.best.stale >= settings_.patience);
}

bool JobRun::evaluation_due() const { return state_.step % settings_.eval_every == 0 || all_steps_done(); }

JobStep JobRun::next_step() {
  const ExampleView& examples = data_.train;
  const StepPlan& plan = settings_.plan;
  const int64_t epoch = state_.step / plan.steps_per_epoch, at = state_.step % plan.steps_per_epoch;
  if (epoch != order_epoch_) {
    order_ = epoch_order(job_, epoch, examples.size());
    order_epoch_ = epoch;
  }
  JobStep step{.slot = slot_,
               .step = state_.step + 1,
               .adamw = settings_.adamw,
               .allocator = settings_.allocator.get(),
               .ranks = rows_.ranks};
  std::vector<int64_t> lengths;
  const int64_t begin = at * settings_.batch_size, end = std::min(begin + settings_.batch_size, examples.size());
  for (int64_t i = begin; i < end; ++i) {
    Sequence& sequence = step.sequences.emplace_back(examples.sequence(order_[i], slot_));
    sequence.seed = job_.key;
    sequence.step = state_.step;
    lengths.push_back(examples.length(order_[i]));
  }
  weigh_step(step.sequences);
  step.pieces = cut_step(lengths, settings_.tokens_per_batch, settings_.gradient_accumulation);
  const double factor = schedule_factor(settings_.schedule, state_.step, plan.warmup_steps, plan.total_steps);
  if (settings_.trains_sites) step.rates.push_back({0, adapter_numbers_, factor * job_.learning_rate});
  step.rates.push_back({adapter_numbers_, row_size_, factor * job_.head_learning_rate});
  return step;
}

void JobRun::take(const StepOutcome& outcome) {
  if (!outcome.failure.empty()) {
    end_at(state_.step + 1, "a finite loss and gradient", outcome.failure);
    return;
  }
  ++state_.step;
  state_.loss_sum += outcome.loss;
  state_.epoch_loss += outcome.loss;
}

void JobRun::end_at(int64_t step, const std::string& expected, const std::string& found) {
  state_.ended = JobEnd{.step = step,
                        .reason = concat("expected ", expected, ", found ", found,
                                         "; lower train.learning_rate or train.head_learning_rate")};
}

bool JobRun::take_score(const std::string& metric, double value, const torch::Tensor& row) {
  BestEpoch& best = state_.best;
  const double so_far = best.epoch > 0 ? best.value : std::numeric_limits<double>::quiet_NaN();
  if (!std::isfinite(value) || !is_better(metric, value, so_far)) {
    ++best.stale;
    return false;
  }
  best = {.step = state_.step, .epoch = epoch_of(state_.step), .value = value, .best_validation = best.best_validation};
  rows_.best.copy_(row);
  return true;
}

void JobRun::take_validation(const std::string& metric, double value) {
  BestEpoch& best = state_.best;
  if (best.step == state_.step) best.validation = value;
  if (!best.best_validation || is_better(metric, value, *best.best_validation)) best.best_validation = value;
}

double JobRun::close_interval() {
  const int64_t before = (state_.step - 1) / settings_.eval_every * settings_.eval_every;  // the last evaluation
  state_.last_loss = state_.epoch_loss / static_cast<double>(state_.step - before);
  state_.epoch_loss = 0;
  return state_.last_loss;
}

double JobRun::take_loss_sum() {
  const double sum = state_.loss_sum;
  state_.loss_sum = 0;
  return sum;
}

}  // namespace loraxs
