// support/fake_serving.h: an engine, a gate and a connection that the API's tests steer by hand.
#pragma once
#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/json.h"
#include "serve/answering.h"
#include "serve/api/routes.h"
#include "serve/gate.h"
#include "serve/http/exchange.h"

namespace loraxs::test {

/// A token is a byte, and 256 begins a text. Answers are `pieces`, each of one token, when run() is called.
class FakeEngine : public Answering {
 public:
  bool decoder = true, ready = true;
  int64_t room = 64;
  std::vector<std::string> pieces = {"Hel", "lo"};
  FinishReason reason = FinishReason::kStop;
  std::string error;
  int64_t refuse_after = -1;  // so many answers are queued, then 429
  bool at_once = false;       // answers before answer() returns
  std::vector<ModelInfo> models = {
      {.id = "anna/support", .parent = "tiny", .root = "anna/support@3", .created = 5, .version = 3, .row_bytes = 100},
      {.id = "anna/topic",
       .parent = "tiny",
       .root = "anna/topic@1",
       .created = 5,
       .version = 1,
       .labels = {"bad", "good"}},
      {.id = "base", .root = "tiny", .created = 5},
      {.id = "bob/secret", .parent = "tiny", .root = "bob/secret@1", .created = 5, .version = 1},
  };

  std::deque<AnswerRequest> queued;
  std::deque<EncodeRequest> encodes;
  std::vector<int64_t> cancelled;
  std::vector<std::string> calls;  // "remove anna/support"
  std::string adopted;
  mutable std::mutex conversation_mutex;
  mutable nlohmann::ordered_json conversation;  // the last one

  bool generates() const override { return decoder; }
  int64_t context() const override { return room; }
  std::string base_name() const override { return "tiny"; }

  static bool sees(const Caller& caller, const std::string& id) {
    return caller.sees_all || id == "base" || id.compare(0, caller.tenant.size() + 1, caller.tenant + "/") == 0;
  }

  ServedModelPtr find(const Caller& caller, const std::string& name) override {
    auto model = std::make_shared<ServedModel>();
    if (name == "base" || name == "tiny") {
      model->id = "base";
      model->head = "none";
      return model;
    }
    const auto found = info(caller, name);
    if (!found) throw ApiError(404, "model \"" + name + "\" does not exist", "model", "model_not_found");
    model->id = found->root;
    model->key = "00ff";
    model->head = found->labels.empty() ? "none" : "classification";
    model->labels = found->labels;
    return model;
  }
  ServedModelPtr adopt(const Caller& /*caller*/, std::string file) override {
    if (file.size() < 4) throw Error("adapter: expected a safetensors file, found 3 bytes");
    adopted = std::move(file);
    auto model = std::make_shared<ServedModel>();
    model->id = "adapter";
    model->key = "ab";
    model->head = "classification";
    model->labels = {"no", "yes"};
    return model;
  }
  std::vector<ModelInfo> list(const Caller& caller, const std::string& after, int64_t limit) override {
    std::vector<ModelInfo> seen;
    for (const ModelInfo& model : models) {
      if (sees(caller, model.id) && model.id > after && static_cast<int64_t>(seen.size()) < limit)
        seen.push_back(model);
    }
    return seen;
  }
  std::optional<ModelInfo> info(const Caller& caller, const std::string& name) override {
    for (const ModelInfo& model : models) {
      if (model.id == name && sees(caller, model.id)) return model;
    }
    return std::nullopt;
  }
  void remove(const Caller& /*caller*/, const std::string& name) override { calls.push_back("remove " + name); }
  void keep(const Caller& /*caller*/, const std::string& name, bool pinned) override {
    calls.push_back((pinned ? "pin " : "unpin ") + name);
  }

  std::vector<int32_t> encode_text(const std::string& text, bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special) ids.push_back(256);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::vector<int32_t> encode_chat(const nlohmann::ordered_json& messages) const override {
    {
      const std::lock_guard lock(conversation_mutex);
      conversation = messages;
    }
    if (messages[0]["content"] == "refuse") throw Error("chat template: no");
    return encode_text(messages.back()["content"].get<std::string>(), true);
  }
  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string text;
    for (const int32_t id : ids) text += token_text(id);
    return text;
  }
  std::string token_text(int32_t id) const override {
    if (id > 256) throw Error(concat("token ", id, ": expected an id below 257"));
    return id == 256 ? "" : std::string(1, static_cast<char>(id));
  }

  int64_t answer(AnswerRequest request) override {
    if (refuse_after == 0) {
      ApiError full(429, "the queue of this tenant is full", "", "queue_full");
      full.retry_after = 2;
      throw full;
    }
    if (refuse_after > 0) --refuse_after;
    const int64_t id = ++ids_;
    queued.push_back(std::move(request));
    numbers_.push_back(id);
    if (at_once) run();
    return id;
  }
  int64_t encode(EncodeRequest request) override {
    encodes.push_back(std::move(request));
    return ++ids_;
  }
  void cancel(int64_t id) override {
    cancelled.push_back(id);
    const auto found = std::find(numbers_.begin(), numbers_.end(), id);
    if (found == numbers_.end()) return;
    const auto place = found - numbers_.begin();
    const AnswerRequest request = queued[static_cast<size_t>(place)];
    queued.erase(queued.begin() + place);
    numbers_.erase(found);
    end(request, FinishReason::kCancelled);
  }
  EngineState state() const override { return {.ready = ready, .model = "tiny", .precision = "float32", .running = 2}; }

  TokenInfo token(const std::string& text, bool first = false) const {
    TokenInfo token{.id = 1, .text = text};
    if (first) return token;
    token.logprob = -0.5F;
    token.top = {{text, {1, -0.5F}}, {"\xe2\x80", {2, -1.5F}}};
    return token;
  }

  /// What the next request gets before its pieces.
  void tell_prompt(const AnswerRequest& request) const {
    if (!request.prompt_logprobs) return;
    std::vector<TokenInfo> tokens;
    for (const int32_t id : request.prompt) tokens.push_back(token(token_text(id), tokens.empty()));
    request.on_prompt(std::move(tokens));
  }
  void tell_piece(const AnswerRequest& request, const std::string& text, int64_t sample = 0) const {
    AnswerPiece piece{.sample = sample, .text = text};
    if (request.sampling.top_logprobs >= 0) piece.tokens = {token(text)};
    request.on_piece(std::move(piece));
  }
  std::optional<ApiError> problem() const { return error.empty() ? std::nullopt : std::optional(ApiError(500, error)); }
  void end(const AnswerRequest& request, FinishReason how) const {
    for (int64_t sample = 0; sample < request.samples; ++sample) {
      request.on_end({.sample = sample,
                      .reason = how,
                      .problem = problem(),
                      .prompt_tokens = static_cast<int64_t>(request.prompt.size()),
                      .cached_tokens = 1,
                      .answer_tokens = static_cast<int64_t>(pieces.size())});
    }
  }
  /// Everything that waits is answered.
  void run() {
    while (!queued.empty()) {
      const AnswerRequest request = std::move(queued.front());
      queued.pop_front();
      numbers_.pop_front();
      tell_prompt(request);
      for (const std::string& piece : pieces) {
        for (int64_t sample = 0; sample < request.samples; ++sample) tell_piece(request, piece, sample);
      }
      end(request, reason);
    }
    while (!encodes.empty()) {
      const EncodeRequest request = std::move(encodes.front());
      encodes.pop_front();
      request.on_done(std::vector<std::vector<float>>(error.empty() ? request.inputs.size() : 0, {0.25F, 0.75F}),
                      problem());
    }
  }

 private:
  int64_t ids_ = 0;
  std::deque<int64_t> numbers_;
};

/// "Bearer anna" is a key of anna's with every right of a tenant; "Bearer root" sees all.
class KeyGate : public Gate {
 public:
  struct Counted : Admission {
    explicit Counted(KeyGate& gate) : gate(gate) { ++gate.open; }
    ~Counted() override { --gate.open; }
    void used(int64_t tokens) override { gate.used += tokens; }
    KeyGate& gate;
  };
  std::atomic<int64_t> open = 0, used = 0, asked = 0;
  std::mutex mutex;
  std::set<std::string> adapters;  // of the last one
  bool full = false;

  Caller check(const HttpRequest& request, Right right) override {
    const auto key = request.headers.find("authorization");
    if (key == request.headers.end()) throw ApiError(401, "expected a key", "", "invalid_api_key");
    if (key->second == "Bearer root") return {.tenant = "root", .sees_all = true};
    if (right == Right::kOperate) throw ApiError(403, "this key may not see metrics", "", "forbidden");
    return {.tenant = key->second.substr(std::min<size_t>(7, key->second.size()))};
  }
  std::unique_ptr<Admission> admit(const Caller& /*caller*/, const Demand& demand) override {
    if (full) {
      ApiError error(429, "the quota of tokens a minute is used", "", "rate_limit_exceeded");
      error.retry_after = 7;
      throw error;
    }
    asked += demand.tokens;
    const std::lock_guard lock(mutex);
    adapters = demand.adapters;
    return std::make_unique<Counted>(*this);
  }
};

struct SentEvent {
  std::string data, name;
};

/// Keeps what it is told. One thread answers; another one may leave.
class FakeExchange : public HttpExchange {
 public:
  explicit FakeExchange(HttpRequest request) : request_(std::move(request)) {}
  const HttpRequest& request() const override { return request_; }
  void reply(HttpReply reply) override {
    replies.push_back(std::move(reply));
    take_gone();
  }
  void begin_events() override { ++begun; }
  void event(std::string data, const std::string& name) override { events.push_back({std::move(data), name}); }
  void end() override {
    ++ended;
    take_gone();
  }
  void on_gone(std::function<void()> call) override {
    if (already_gone) return call();
    const std::lock_guard lock(mutex_);
    gone_ = std::move(call);
  }
  void leave() {
    if (const auto call = take_gone()) call();
  }

  std::vector<HttpReply> replies;
  std::vector<SentEvent> events;
  int begun = 0, ended = 0;
  bool already_gone = false;

 private:
  std::function<void()> take_gone() {
    const std::lock_guard lock(mutex_);
    return std::exchange(gone_, nullptr);
  }

  HttpRequest request_;
  std::mutex mutex_;
  std::function<void()> gone_;
};

template <typename EngineKind>
struct ServerOf {
  EngineKind engine;
  KeyGate gate;
  std::mutex log_mutex;
  std::vector<nlohmann::ordered_json> log;
  std::atomic<int64_t> requests = 0;
  HttpHandler handler = make_routes(engine, gate,
                                    {.metrics = [] { return std::string("loraxs_steps 3\n"); },
                                     .now = [] { return int64_t{1700000000}; },
                                     .unique = [this] { return concat("unique", 100000000000000000 + ++requests); },
                                     .log =
                                         [this](nlohmann::ordered_json line) {
                                           const std::lock_guard lock(log_mutex);
                                           log.push_back(std::move(line));
                                         }});

  std::shared_ptr<FakeExchange> send(HttpRequest request) {
    const auto exchange = std::make_shared<FakeExchange>(std::move(request));
    handler(exchange);
    return exchange;
  }
  std::shared_ptr<FakeExchange> send(const std::string& method, const std::string& path, const std::string& body = "",
                                     const std::string& key = "anna") {
    HttpRequest request{
        .method = method, .path = path, .headers = {{"x-request-id", "its-id"}}, .body = body, .peer = "203.0.113.7"};
    if (!key.empty()) request.headers["authorization"] = "Bearer " + key;
    return send(std::move(request));
  }
};

using FakeServer = ServerOf<FakeEngine>;

}  // namespace loraxs::test
