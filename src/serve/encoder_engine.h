// serve/encoder_engine.h: labels and vectors of an encoder: texts of all tenants, each with its own adapter, packed by
// tokens into common batches.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapt/adapted_model.h"
#include "serve/engine.h"
#include "serve/engine_thread.h"
#include "serve/shelf_engine.h"
#include "text/tokenizer.h"

namespace loraxs {

/// How sentence vectors are made: as the model's sentence-transformers files say, else the mean of all tokens' last
/// hidden states at length 1.
struct Pooling {
  bool mean = true;  // else the first token's
  bool normalized = true;

  /// Throws Error for a kind of pooling that is neither.
  static Pooling of(const std::filesystem::path& folder);
};

/// Tenants take turns, one text each, until a batch has its tokens; a batch is what is there when the last one is done.
class EncoderEngine final : public ShelfEngine {
 public:
  EncoderEngine(const EngineOptions& options, const Settings& settings);
  ~EncoderEngine() override;

  bool generates() const override { return false; }
  int64_t context() const override { return base_.config.max_length(); }
  std::vector<int32_t> encode_chat(const nlohmann::ordered_json& messages) const override;

  int64_t answer(AnswerRequest request) override;
  int64_t encode(EncodeRequest request) override;
  void cancel(int64_t id) override;

 private:
  struct Job;
  using JobPtr = std::shared_ptr<Job>;
  /// One input of a job.
  struct Text {
    JobPtr job;
    size_t input = 0;
  };

  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  void shorten(std::vector<int32_t>& ids, int64_t most) const;
  EngineThread::Next work();
  /// Takes texts in turns until the batch has its tokens.
  std::vector<Text> next_batch();
  void compute(const std::vector<Text>& texts);
  void deliver(const Text& text, std::vector<float> output);
  void take_row(const JobPtr& job, std::shared_ptr<const PinnedRow> row);
  void make_ready(const JobPtr& job);
  void finish(const JobPtr& job, const std::optional<ApiError>& problem);

  EngineOptions options_;
  BaseModel base_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Pooling pooling_;
  size_t banks_ = 0;
  std::unique_ptr<AdaptedModel> model_;
  std::string precision_;
  std::unordered_map<int64_t, JobPtr> jobs_;         // by id: all that have not ended
  std::map<std::string, std::deque<Text>> waiting_;  // by tenant: those that have their row
  std::string last_tenant_;                          // whose turn it was
  EngineThread thread_;                              // last: it ends first
};

}  // namespace loraxs
