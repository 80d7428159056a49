#include "serve/decoder_engine.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "generate/text_stream.h"
#include "io/error.h"

namespace loraxs {

namespace {

/// Times that a step may take for what other tenants have beyond their part. A light tenant's answer then takes at most
/// 1.5 times as long beside another one's thousand, with the sequence that each other tenant has in any case.
constexpr double kMostLonger = 1.2;

}  // namespace

/// A request and what its samples have said so far.
struct DecoderEngine::Job {
  int64_t id = 0;
  AnswerRequest request;
  std::shared_ptr<const PinnedRow> pin;
  bool alone = false;      // its tenant had no other under way
  int64_t scheduled = -1;  // the scheduler's id
  struct Sample {
    std::unique_ptr<TextStream> stream;
    int64_t tokens = 0;
    bool ended = false;
    std::chrono::steady_clock::time_point last;  // when its last token came
  };
  std::vector<Sample> samples;
  int64_t left = 0;  // samples that have not ended
  int64_t cached_tokens = 0;
};

DecoderEngine::DecoderEngine(const EngineOptions& options, const Settings& settings)
    : ShelfEngine(options.max_waiting), options_(options), log_(settings.log), model_(options.model, settings) {
  open_shelf(model_.base(), options_.shelf, settings);
  banks_ = shelf_->rooms().num_rooms();
  model_.use(shelf_->rooms().basis(), shelf_->rooms().set());
  start_scheduler();
  publish([&](EngineState& state) {
    state.precision = model_.precision();
    state.ready = true;
  });
  thread_.start([this] { return work(); });
}

void DecoderEngine::start_scheduler() {
  SchedulerOptions options{.gap_ms = options_.gap_ms};
  if (options_.shares_by_tenant) {
    options.most_longer = kMostLonger;
    options.interrupt = [this] { return newcomer_is_here(); };
  }
  scheduler_ = &model_.scheduler(options_.sequences, /*ignore_eos=*/false, std::move(options));
}

/// Asked while a step is computed: whether a tenant of whom nothing is in it waits for the next one.
bool DecoderEngine::newcomer_is_here() const {
  return coming_ > 0 ||
         std::any_of(newcomers_.begin(), newcomers_.end(), [&](int64_t id) { return turns_->is_ready(id); });
}

DecoderEngine::~DecoderEngine() {
  thread_.stop();
  // Nobody waits for ever: what has not ended is told so.
  std::vector<JobPtr> left;
  left.reserve(jobs_.size());
  for (const auto& [id, job] : jobs_) left.push_back(job);
  for (const JobPtr& job : left) cancel_now(job);
}

std::vector<int32_t> DecoderEngine::encode_chat(const nlohmann::ordered_json& messages) const {
  Example conversation{.messages = messages};
  conversation.where = "messages";
  return model_.encode(conversation);
}

int64_t DecoderEngine::answer(AnswerRequest request) {
  const int64_t context = model_.context();
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (request.max_new_tokens == 0) request.max_new_tokens = std::max<int64_t>(1, context - prompt);
  request.sampling.check(request.name);
  request.sampling.check_ids(request.name, model_.base().config.vocab_size);
  check_prompt(request.name, request.prompt, model_.base().config.vocab_size, context, request.max_new_tokens);
  auto job = std::make_shared<Job>();
  job->request = std::move(request);
  const Entry entry = enter(job->request.caller.tenant);
  job->id = entry.id;
  job->alone = entry.alone;
  if (entry.alone) ++coming_;  // before it is posted: a step ends at once, and the next one finds it
  thread_.post([this, job] {
    if (job->alone) --coming_;
    take_in(job);
  });
  return entry.id;
}

int64_t DecoderEngine::encode(EncodeRequest) {
  throw ApiError(
      400, concat("model: ", shelf_->base_name(), " generates text; labels and vectors come from an encoder"), "model");
}

void DecoderEngine::cancel(int64_t id) {
  thread_.post([this, id] {
    const auto found = jobs_.find(id);
    if (found != jobs_.end()) cancel_now(JobPtr(found->second));
  });
}

void DecoderEngine::cancel_now(const JobPtr& job) {
  if (job->scheduled >= 0) return scheduler_->cancel(job->scheduled);
  end_all(job, FinishReason::kCancelled, std::nullopt);
}

void DecoderEngine::take_in(const JobPtr& job) {
  job->left = job->request.samples;
  for (int64_t k = 0; k < job->request.samples; ++k) {
    job->samples.push_back({.stream = std::make_unique<TextStream>(model_.tokenizer(), job->request.stop)});
  }
  jobs_.emplace(job->id, job);
  const AnswerRequest& asked = job->request;
  if (asked.model->key.empty()) return submit(job);
  turns_->push(job->id, asked.caller, asked.model);
  if (job->alone) newcomers_.push_back(job->id);
}

void DecoderEngine::submit(const JobPtr& job) {
  const AnswerRequest& asked = job->request;
  try {
    GenerationRequest request{.name = asked.name,
                              .prompt = asked.prompt,
                              .holds = job->pin,
                              .sampling = asked.sampling,
                              .max_new_tokens = asked.max_new_tokens,
                              .ignore_eos = asked.ignore_eos,
                              .samples = asked.samples,
                              .prompt_logprobs = asked.prompt_logprobs,
                              .tenant = asked.caller.tenant,
                              .priority = asked.caller.priority,
                              .prefix_key = concat(asked.caller.tenant, "/", asked.model->key)};
    if (job->pin) {
      if (shelf_->rooms().num_rooms() != banks_) {
        model_.use(shelf_->rooms().basis(), shelf_->rooms().set());
        banks_ = shelf_->rooms().num_rooms();
      }
      request.slot = shelf_->slot_of(*asked.model, *job->pin);
    }
    request.on_start = [job](int64_t cached_tokens) { job->cached_tokens = cached_tokens; };
    if (asked.prompt_logprobs) {
      request.on_prompt = [this, job](std::span<const SampledToken> tokens) { tell_prompt(*job, tokens); };
    }
    request.on_token = [this, job](int64_t k, const SampledToken& token) { return tell_token(*job, k, token); };
    request.on_finish = [this, job](int64_t k, FinishReason reason, const std::string& error) {
      finish(job, k, reason, error);
    };
    job->scheduled = scheduler_->submit(std::move(request));
  } catch (const Error& error) {
    end_all(job, FinishReason::kError, ApiError(500, error.what()));
  }
}

/// A row is there, or could not be loaded.
void DecoderEngine::take_row(const JobPtr& job, std::shared_ptr<const PinnedRow> row) {
  try {
    row->wait();
  } catch (const Error&) {
    row.reset();
    return end_all(job, FinishReason::kError, loading_failure());
  }
  job->pin = std::move(row);
  submit(job);
}

TokenInfo DecoderEngine::info_of(const SampledToken& token) const {
  TokenInfo info{.id = token.id, .text = token_text(token.id), .logprob = token.logprob};
  info.top.reserve(token.top.size());
  for (const TokenLogprob& other : token.top) info.top.emplace_back(token_text(other.id), other);
  return info;
}

void DecoderEngine::tell_prompt(const Job& job, std::span<const SampledToken> tokens) const {
  std::vector<TokenInfo> infos;
  infos.reserve(tokens.size() + 1);
  const int32_t first = job.request.prompt.front();
  infos.push_back({.id = first, .text = token_text(first)});  // nothing predicts it
  for (const SampledToken& token : tokens) infos.push_back(info_of(token));
  job.request.on_prompt(std::move(infos));
}

bool DecoderEngine::tell_token(Job& job, int64_t k, const SampledToken& token) {
  Job::Sample& sample = job.samples[k];
  if (options_.on_gap) {
    const auto now = std::chrono::steady_clock::now();
    if (sample.tokens > 0) options_.on_gap(std::chrono::duration<double>(now - sample.last).count());
    sample.last = now;
  }
  ++sample.tokens;
  AnswerPiece piece{.sample = k, .text = sample.stream->push(token.id)};
  if (job.request.sampling.top_logprobs >= 0) piece.tokens.push_back(info_of(token));
  const bool goes_on = !sample.stream->stopped();
  if (!piece.text.empty() || !piece.tokens.empty()) job.request.on_piece(std::move(piece));
  return goes_on;
}

void DecoderEngine::finish(const JobPtr& job, int64_t k, FinishReason reason, const std::string& error) {
  Job::Sample& sample = job->samples[k];
  AnswerEnd last{.sample = k, .reason = reason};
  if (!error.empty()) last.problem = failure(*job->request.model, error);
  try {
    AnswerPiece piece{.sample = k, .text = sample.stream->finish()};
    last.stop = sample.stream->stop();
    if (error.empty() && !piece.text.empty()) job->request.on_piece(std::move(piece));
  } catch (const Error& undecodable) {
    last.reason = FinishReason::kError;
    last.problem = ApiError(500, undecodable.what());
  }
  last.answer_tokens = sample.tokens;
  end(job, std::move(last));
}

void DecoderEngine::end_all(const JobPtr& job, FinishReason reason, const std::optional<ApiError>& problem) {
  for (int64_t k = 0; k < job->request.samples; ++k) {
    if (!job->samples[k].ended) end(job, {.sample = k, .reason = reason, .problem = problem});
  }
}

void DecoderEngine::end(const JobPtr& job, AnswerEnd end) {
  job->samples[end.sample].ended = true;
  end.prompt_tokens = static_cast<int64_t>(job->request.prompt.size());
  end.cached_tokens = job->cached_tokens;
  job->request.on_end(std::move(end));
  if (--job->left > 0) return;
  jobs_.erase(job->id);
  job->pin.reset();
  turns_->erase(job->id);
  leave(job->request.caller.tenant);
}

/// What leaves a step ends all that it was computing (generate/scheduler.h); the next requests find a fresh one.
void DecoderEngine::start_over(const std::string& why) {
  if (log_) log_(LogLevel::kWarning, concat("engine: ", why, "; all requests under way end"));
  std::vector<JobPtr> left;
  left.reserve(jobs_.size());
  for (const auto& [id, job] : jobs_) left.push_back(job);
  for (const JobPtr& job : left) end_all(job, FinishReason::kError, ApiError(500, "the engine failed; try again"));
  start_scheduler();
}

EngineThread::Next DecoderEngine::work() {
  for (auto& [id, row] : turns_->next()) take_row(JobPtr(jobs_.at(id)), std::move(row));
  std::erase_if(newcomers_, [&](int64_t id) { return !turns_->is_loading(id); });
  const bool computes = scheduler_->num_requests() > 0;
  if (computes) {
    try {
      scheduler_->step();
      const int64_t in_step = scheduler_->state().in_step;
      if (options_.on_step && in_step > 0) options_.on_step(in_step);
    } catch (const std::exception& error) {
      start_over(error.what());
    }
  }
  tell();
  if (computes) return EngineThread::Next::kAgain;
  return turns_->num_waiting() > 0 ? EngineThread::Next::kSoon : EngineThread::Next::kWait;
}

void DecoderEngine::tell() {
  const SchedulerState now = scheduler_->state();
  publish([&](EngineState& state) {
    state.running = now.running;
    state.waiting = now.waiting + turns_->num_waiting();
    state.cache_blocks = now.blocks;
    state.free_blocks = now.free_blocks;
    state.prompt_tokens = now.prompt_tokens;
    state.cached_tokens = now.cached_tokens;
    state.answer_tokens = now.answer_tokens;
    state.steps = now.steps;
    state.interruptions = now.interruptions;
    state.step_seconds = now.step_seconds;
  });
}

}  // namespace loraxs
