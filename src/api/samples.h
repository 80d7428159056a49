// api/samples.h: prompts of a recipe that every evaluation of a training answers, so that one can read what is learned.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adapt/adapted_model.h"
#include "api/task_encoder.h"
#include "train/train_observer.h"

namespace loraxs {

/// The prompts of `train.samples`. Belongs to one thread.
class SamplePrompts {
 public:
  /// `samples`: a list of texts, which are a user's turn where the task is `chat` and are continued as they stand else,
  /// and of lists of messages; null: none. `tokenizer` must outlive this. Throws Error naming `where` and the sample
  /// that is neither, that the template refuses, or that leaves no room for an answer in `context` tokens.
  SamplePrompts(const nlohmann::json& samples, const Task& task, const TaskEncoder& encoder, const Tokenizer& tokenizer,
                int64_t max_new_tokens, int64_t context, const std::string& where);

  /// Greedy answers, those of `slots[0]` first: each as `model` with that slot's adapter gives it alone.
  std::vector<TrainSample> answer(AdaptedModel& model, const std::vector<int64_t>& slots) const;
  bool empty() const { return prompts_.empty(); }

 private:
  const Tokenizer& tokenizer_;
  std::vector<std::string> names_;             // as a report shows them
  std::vector<std::vector<int32_t>> prompts_;  // token ids
  int64_t max_new_tokens_, longest_ = 0;
};

}  // namespace loraxs
