// api/text_model.h: a decoder with tokenizer, chat template and adapters, ready to generate.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "adapt/adapted_model.h"
#include "api/settings.h"
#include "api/task_encoder.h"
#include "generate/beam_scheduler.h"
#include "generate/cached_model.h"
#include "generate/conversation.h"
#include "generate/scheduler.h"
#include "text/tokenizer.h"

namespace loraxs {

struct TextModelOptions {
  std::filesystem::path model;
  std::string precision = "auto";  // or int8: weights as small integers beside float32 (ops/int8_weight.h)
  bool prefers_int8 = false;       // what auto is for a file of quantised blocks, where this CPU multiplies them fast
  WeightMemory memory = WeightMemory::kNormal;
  torch::Device device = torch::kCPU;
  int64_t context = 0;                     // tokens of prompt and answer; 0 = the model's own limit
  double memory_gb = 0;                    // GiB that the process may take; 0 = cache_bytes alone are bounded
  int64_t cache_bytes = int64_t{4} << 30;  // of keys and values, at most; one full context fits in any case
};

/// Belongs to one thread, with its schedulers; encode() and tokenizer() may be called by any.
class TextModel {
 public:
  /// Opens model and tokenizer. Throws Error for a model that generates no text and a context it was not made for.
  TextModel(const TextModelOptions& options, const Settings& settings);

  /// Plugs adapters in, from the next step on; slot i is slot i of the set. Model, cache and scheduler stay where the
  /// base is prepared for the adapters on a basis of that id; else it is prepared anew, which ends the scheduler there
  /// was. While requests are under way, their slots must stay what they are (TORCH_CHECKs), and what the base is not
  /// prepared for throws Error. Adapters that come and go by the thousand: a ResidentBank's set() is plugged in once.
  void use(std::shared_ptr<const Basis> basis, AdapterSet adapters);
  /// A scheduler on a fresh cache for so many sequences, as `options` say but for what the model says (context,
  /// sequences and tokens of a step, ends), or for so many searches of `beams` each. Lives until the next scheduler()
  /// or beam_scheduler(), or a use() that prepares the base anew. Throws Error for more beams than memory holds.
  Scheduler& scheduler(int64_t sequences, bool ignore_eos = false, SchedulerOptions options = {});
  BeamScheduler& beam_scheduler(int64_t searches, int64_t beams, bool ignore_eos = false);
  /// Lets go of a scheduler whose step() was left by an exception, with all that was asked of it.
  void abandon_requests();

  /// Ids of a raw prompt, or of a conversation up to where the answer begins (encode_prompt). Throws Error without a
  /// chat template.
  std::vector<int32_t> encode(const std::string& prompt) const;
  std::vector<int32_t> encode(const Example& conversation) const;
  std::vector<int32_t> encode(const std::vector<ChatTurn>& turns) const;

  const BaseModel& base() const { return base_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  int64_t context() const { return context_; }
  /// "float32", "bfloat16", "float64" or "int8".
  const char* precision() const { return memory_ == WeightMemory::kInt8 ? "int8" : precision_name(compute_dtype_); }
  /// Of the last scheduler.
  const StepTimes& times() const { return cached_->times(); }
  /// With what use() plugged in.
  AdaptedModel& model() { return *model_; }

 private:
  int64_t requests_under_way() const;
  /// A fresh cache of blocks for so many full contexts, or as many as the memory allows, `least` in any case.
  void new_cache(SchedulerOptions& options, int64_t sequences, int64_t least, bool ignore_eos);
  BaseModel base_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<TaskEncoder> encoder_;
  bool may_leave_int8_;  // nobody asked for it by name
  torch::ScalarType compute_dtype_;
  WeightMemory memory_;
  torch::Device device_;
  int64_t context_ = 0, cache_bytes_ = 0;
  std::unique_ptr<AdaptedModel> model_;
  std::unique_ptr<CachedModel> cached_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<BeamScheduler> beam_scheduler_;
};

}  // namespace loraxs
