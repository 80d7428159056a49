// tests/support/fleet.h: jobs of all kinds that join and leave one engine.
#pragma once
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "adapt/job_key.h"
#include "io/seeds.h"
#include "support/oracle.h"
#include "train/job_run.h"
#include "train/step_engine.h"

namespace loraxs::test {

/// One job: its data, its settings, and when it is there.
struct Member {
  int64_t seed = 0;
  TrainRecipe train;  // one learning_rate, one head_learning_rate
  ExampleView examples;
  int64_t outputs = 0;                                   // of its head; 0: as the case's
  int64_t joins = 0;                                     // in this round, or as soon as a row is free
  int64_t leaves = std::numeric_limits<int64_t>::max();  // after so many steps of its own, if it is not done before
};

struct Trained {
  torch::Tensor row;           // [row] as it left
  std::vector<double> losses;  // of its steps
  JobState state;
};

/// A case's sequences as examples, from `begin` every `stride`.
inline ExampleView examples_of(const OracleCase& oracle, int64_t begin = 0, int64_t stride = 1) {
  EncodedExamples examples;
  const std::vector<Sequence> sequences = oracle.sequences();
  for (size_t i = begin; i < sequences.size(); i += stride) {
    const Sequence& s = sequences[i];
    examples.encodings.push_back(
        {.input_ids = s.input_ids, .token_type_ids = s.token_type_ids, .is_target = s.is_target});
    examples.targets.push_back(s.target);
  }
  return examples;
}

/// Engines over a case's model, with the dropout of its config.json.
class Fleet {
 public:
  /// `own_banks`: every row is a bank of one, which a job brings with it.
  explicit Fleet(const OracleCase& oracle, torch::ScalarType dtype, const std::string& method = "lora_xs",
                 bool own_banks = false)
      : oracle_(oracle), dtype_(dtype), layout_(oracle.layout), own_banks_(own_banks) {
    recipe_.method.name = method;
    recipe_.method.adalora = {.target_rank = 2, .initial_steps = 1, .final_steps = 2};
    const int64_t rank = oracle.layout.largest_rank();
    if (method == "lora_xs") return;
    layout_ = make_layout(method, layout_.sites, rank, layout_.head, layout_.hidden_size, "test");
  }

  const Layout& layout() const { return layout_; }

  /// Trains all members in one engine of `rows` rows and `tokens` a micro-batch. `meddle` may change each round's
  /// steps.
  std::vector<Trained> train(const std::vector<Member>& members, int64_t rows, int64_t tokens,
                             const std::function<void(std::vector<JobStep>&)>& meddle = {}) const {
    const auto type = dtype_ == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    AdapterSet adapters = AdapterSet::of_bank(make_bank_of(layout_, own_banks_ ? 1 : rows, type));
    for (int64_t row = 1; own_banks_ && row < rows; ++row) {
      adapters.banks.push_back(adapters.banks.front());
      adapters.slots.push_back({.bank = row, .row = 0});
    }
    AdaptedModel model(oracle_.model, oracle_.basis, adapters, dtype_);
    StepEngine engine(model, tokens);
    std::vector<std::optional<JobRun>> runs(members.size());
    std::vector<Trained> trained(members.size());
    size_t left = members.size();
    int64_t free = rows;
    for (int64_t round = 0; left > 0; ++round) {
      std::vector<size_t> here;
      std::vector<JobStep> steps;
      for (size_t m = 0; m < members.size(); ++m) {
        if (!runs[m] && !trained[m].row.defined() && members[m].joins <= round && free > 0) {
          --free;
          runs[m].emplace(make_run(members[m], join(engine, members[m], type), type));
        }
        if (!runs[m]) continue;
        here.push_back(m);
        steps.push_back(runs[m]->next_step());
      }
      if (meddle) meddle(steps);
      const std::vector<StepOutcome> outcomes = engine.step(steps);
      for (size_t i = 0; i < here.size(); ++i) {
        const size_t m = here[i];
        JobRun& run = *runs[m];
        run.take(outcomes[i]);
        trained[m].losses.push_back(outcomes[i].loss);
        if (!run.finished() && run.state().step < members[m].leaves) continue;
        trained[m].row = engine.row(run.slot()).clone();
        trained[m].state = run.state();
        engine.leave(run.slot());
        runs[m].reset();
        ++free;
        --left;
      }
    }
    return trained;
  }

  Trained alone(const Member& member, int64_t tokens = 1 << 20) const {
    Member first = member;
    first.joins = 0;
    return train({first}, 1, tokens).front();
  }

  /// Large and distinct, head and all.
  torch::Tensor first_row(int64_t seed, int64_t outputs = 0) const {
    torch::Tensor row = torch::empty({layout_of(outputs).row_size});
    fill_normal(std::span(row.mutable_data_ptr<float>(), row.numel()), 70 + seed, 0.3);
    return row;
  }

 private:
  Layout layout_of(int64_t outputs) const {
    if (outputs == 0) return layout_;
    HeadLayout head = layout_.head;
    head.outputs = outputs;
    return make_layout(layout_.method, layout_.sites, layout_.largest_rank(), head, layout_.hidden_size, "test");
  }

  std::shared_ptr<Bank> make_bank_of(const Layout& layout, int64_t rows, torch::ScalarType type) const {
    auto bank = std::make_shared<Bank>(make_bank(layout, oracle_.alpha, rows, type));
    bank->gradients = torch::zeros_like(bank->values);
    return bank;
  }

  int64_t join(StepEngine& engine, const Member& member, torch::ScalarType type) const {
    const torch::Tensor row = first_row(member.seed, member.outputs);
    if (!own_banks_) return engine.join(row);
    const auto bank = make_bank_of(layout_of(member.outputs), 1, type);
    bank->values.select(0, 0).copy_(row);
    return engine.join(bank);
  }

  JobRun make_run(const Member& member, int64_t slot, torch::ScalarType type) const {
    Recipe recipe = recipe_;
    recipe.train = member.train;
    const Job job{.name = "job",
                  .seed = member.seed,
                  .key = job_key(static_cast<uint64_t>(member.seed), "test"),
                  .learning_rate = member.train.learning_rate.front(),
                  .head_learning_rate = member.train.head_learning_rate.front()};
    const Layout layout = layout_of(member.outputs);
    const JobSettings settings = job_settings(recipe, layout, member.examples);
    JobRows rows{.best = torch::zeros({layout.row_size}, type)};
    if (settings.allocator) {
      rows.ranks = {torch::zeros({layout_.adapter_numbers}, type), torch::zeros({layout_.adapter_numbers}, type)};
    }
    return JobRun(job, settings, {.train = member.examples}, layout, slot, rows);
  }

  const OracleCase& oracle_;
  torch::ScalarType dtype_;
  Layout layout_;
  bool own_banks_;
  Recipe recipe_;
};

}  // namespace loraxs::test
