// serve/answering.h: what the API asks of the engine behind it: texts, labels, vectors, tokens. Without LibTorch.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "generate/sampling.h"
#include "generate/scheduler.h"
#include "serve/api_error.h"

namespace loraxs {

/// Who asks, as the gate knows him (serve/gate.h).
struct Caller {
  std::string tenant;     // whose models he sees; empty with sees_all: nobody's own
  bool sees_all = false;  // every tenant's: an operator, or a server without keys
  int64_t priority = 0;   // higher goes first
  int64_t adapters = 0;   // that his tenant may keep in memory; 0: no bound
};

/// What a list of models says of one.
struct ModelInfo {
  std::string id;         // "base", "anna/support"
  std::string parent;     // the base's name; empty: this is the base
  std::string root;       // the store's reference without the URL, "anna/support@3"; the base's own folder name
  int64_t created = 0;    // seconds since 1970
  uint64_t version = 0;   // of the adapter
  int64_t row_bytes = 0;  // of the adapter
  std::string task;       // that it was trained for; may be empty
  std::vector<std::string> labels;
  bool pinned = false;
};

/// A model that a request may use, found by name: the base, a version of a stored adapter, a sum of them, or an adapter
/// that came with the request. While somebody holds it, it stays what it was, whatever happens in the store; its row is
/// brought in when the first request needs it.
class ServedModel {
 public:
  virtual ~ServedModel() = default;
  std::string id;    // as the answer names it: "base", "anna/support@3", "0.5*anna/a@1 + 0.5*anna/b@2"
  std::string key;   // of all that its numbers depend on beside the base: kind and row; empty: the base itself
  std::string head;  // "none", or the kind of its task head
  bool regression = false;
  std::vector<std::string> labels;  // of its classes
  int64_t max_length = 0;           // tokens that texts were cut to in its training; 0: not known
  std::string large_factor;         // of a sum, the largest above 1: "1e+30 of anna/a@1"; empty: none
};
using ServedModelPtr = std::shared_ptr<const ServedModel>;

/// A token of a prompt or an answer, for log-probabilities.
struct TokenInfo {
  int32_t id = 0;
  std::string text;  // its bytes
  std::optional<float> logprob;
  std::vector<std::pair<std::string, TokenLogprob>> top;  // bytes and log-probability
};

/// A part of an answer, as it comes.
struct AnswerPiece {
  int64_t sample = 0;             // of `samples`
  std::string text;               // whole UTF-8; may be empty while a character or a stop string is under way
  std::vector<TokenInfo> tokens;  // that `text` was made of, if log-probabilities were asked for
};
struct AnswerEnd {
  int64_t sample = 0;
  FinishReason reason = FinishReason::kStop;
  std::optional<ApiError> problem;  // of kError, or why it was cancelled
  std::string stop;                 // the stop string that ended it; empty: none
  int64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;
};

struct AnswerRequest {
  std::string name;  // starts errors, stands in the log: "chatcmpl-…"
  Caller caller;
  ServedModelPtr model;
  std::vector<int32_t> prompt;
  SamplingOptions sampling;
  int64_t max_new_tokens = 0;  // 0: what the context leaves
  int64_t samples = 1;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool prompt_logprobs = false;  // on_prompt tells them, once, before the first piece
  std::function<void(std::vector<TokenInfo>)> on_prompt;
  std::function<void(AnswerPiece)> on_piece;  // all three on the engine's thread: be quick
  std::function<void(AnswerEnd)> on_end;      // once for each sample
};

/// A text through an encoder: labels by the model's head, or its vector.
struct EncodeRequest {
  std::string name;
  Caller caller;
  ServedModelPtr model;
  std::vector<std::vector<int32_t>> inputs;  // token ids, with special tokens; for labels cut as in training
  bool embed = false;                        // vectors; else outputs of the head
  /// On the engine's thread, once: a vector of numbers per input (probabilities, the value of a regression, or the
  /// pooled and normalised embedding), or why there is none.
  std::function<void(std::vector<std::vector<float>> outputs, const std::optional<ApiError>& problem)> on_done;
};

/// What /ready, /metrics and the page show.
struct EngineState {
  bool ready = false;
  std::string model, precision;
  int64_t running = 0, waiting = 0;  // requests
  int64_t resident_rows = 0, resident_capacity = 0, row_loads = 0;
  int64_t cache_blocks = 0, free_blocks = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;  // so far
  int64_t steps = 0, interruptions = 0;
  double step_seconds = 0;  // so far
};

/// Thread-safe. Members throw ApiError, or Error for a request that cannot be answered.
class Answering {
 public:
  virtual ~Answering() = default;

  virtual bool generates() const = 0;  // a decoder: answers; else an encoder: labels and vectors
  virtual int64_t context() const = 0;
  virtual std::string base_name() const = 0;

  /// The model of a name: "base" (or base_name()), "tenant/name", "tenant/name@version", or a sum of these. 404 with
  /// near names of the caller's own where there is none that he sees.
  virtual ServedModelPtr find(const Caller& caller, const std::string& name) = 0;
  /// An adapter file's bytes, checked like a stored one.
  virtual ServedModelPtr adopt(const Caller& caller, std::string file) = 0;
  /// Sorted by id behind `after`, `limit` at most.
  virtual std::vector<ModelInfo> list(const Caller& caller, const std::string& after, int64_t limit) = 0;
  virtual std::optional<ModelInfo> info(const Caller& caller, const std::string& name) = 0;
  /// Takes an adapter's versions out of the store; requests that hold it end as they began.
  virtual void remove(const Caller& caller, const std::string& name) = 0;
  /// Brings an adapter's row in and keeps it there, or lets it go.
  virtual void keep(const Caller& caller, const std::string& name, bool pinned) = 0;

  virtual std::vector<int32_t> encode_text(const std::string& text, bool add_special) const = 0;
  /// A conversation up to where the answer begins: an array of {role, content, …} as the template reads it.
  virtual std::vector<int32_t> encode_chat(const nlohmann::ordered_json& messages) const = 0;
  virtual std::string decode(const std::vector<int32_t>& ids) const = 0;
  virtual std::string token_text(int32_t id) const = 0;  // its bytes

  /// Queues it: 429 when the tenant's queue is full, 400 when it cannot be answered. -> for cancel().
  virtual int64_t answer(AnswerRequest request) = 0;
  virtual int64_t encode(EncodeRequest request) = 0;
  virtual void cancel(int64_t id) = 0;  // ended or unknown: nothing happens

  virtual EngineState state() const = 0;
};

}  // namespace loraxs
