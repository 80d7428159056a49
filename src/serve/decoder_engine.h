// serve/decoder_engine.h: answers of a decoder: every request with its own adapter, all in one batch.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "serve/engine.h"
#include "serve/engine_thread.h"
#include "serve/shelf_engine.h"

namespace loraxs {

/// Answering on a Scheduler whose slots are the places of a ModelShelf.
class DecoderEngine final : public ShelfEngine {
 public:
  DecoderEngine(const EngineOptions& options, const Settings& settings);
  ~DecoderEngine() override;

  bool generates() const override { return true; }
  int64_t context() const override { return model_.context(); }
  std::vector<int32_t> encode_chat(const nlohmann::ordered_json& messages) const override;

  int64_t answer(AnswerRequest request) override;
  int64_t encode(EncodeRequest request) override;
  void cancel(int64_t id) override;

 private:
  struct Job;
  using JobPtr = std::shared_ptr<Job>;

  EngineThread::Next work();
  void start_scheduler();
  void start_over(const std::string& why);
  bool newcomer_is_here() const;
  void take_in(const JobPtr& job);
  void take_row(const JobPtr& job, std::shared_ptr<const PinnedRow> row);
  void submit(const JobPtr& job);
  TokenInfo info_of(const SampledToken& token) const;
  void tell_prompt(const Job& job, std::span<const SampledToken> tokens) const;
  bool tell_token(Job& job, int64_t k, const SampledToken& token);
  void finish(const JobPtr& job, int64_t k, FinishReason reason, const std::string& error);
  void cancel_now(const JobPtr& job);
  void end_all(const JobPtr& job, FinishReason reason, const std::optional<ApiError>& problem);
  void end(const JobPtr& job, AnswerEnd end);
  const Tokenizer& tokenizer() const override { return model_.tokenizer(); }
  void tell();

  EngineOptions options_;
  LogSink log_;
  TextModel model_;
  Scheduler* scheduler_ = nullptr;            // model_'s
  size_t banks_ = 0;                          // of the shelf that the model has plugged in
  std::unordered_map<int64_t, JobPtr> jobs_;  // by id: all that have not ended
  std::atomic<int64_t> coming_ = 0;           // posted by tenants that had no other under way
  std::vector<int64_t> newcomers_;            // of those, by id: whose row is being loaded
  EngineThread thread_;                       // last: it ends first
};

}  // namespace loraxs
