#include "serve/encoder_engine.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "api/opened_adapter.h"
#include "api/task_encoder.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"

namespace loraxs {
namespace {

constexpr const char* kNoFiniteOutputs =
    "expected finite outputs, found NaN or infinity; weights of the base model or of the adapter are damaged, or too "
    "large for the precision";

std::vector<float> numbers_of(const torch::Tensor& row) {
  const torch::Tensor values = row.to(torch::kCPU, torch::kFloat32).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

}  // namespace

Pooling Pooling::of(const std::filesystem::path& folder) {
  Pooling pooling;
  const std::filesystem::path modules = folder / "modules.json";
  if (!std::filesystem::exists(modules)) return pooling;
  pooling.normalized = false;
  for (const nlohmann::json& module : read_json(modules)) {
    const std::string type = module.is_object() ? module.value("type", "") : "";
    if (type.ends_with(".Normalize")) pooling.normalized = true;
    if (!type.ends_with(".Pooling")) continue;
    const std::filesystem::path file = folder / module.value("path", "") / "config.json";
    const nlohmann::json config = read_json(file);
    const bool mean = config.value("pooling_mode_mean_tokens", false);
    const bool first = config.value("pooling_mode_cls_token", false);
    if (mean == first) {
      throw Error(concat(file.string(), ": expected pooling_mode_mean_tokens or pooling_mode_cls_token, found ",
                         mean ? "both" : "neither"));
    }
    pooling.mean = mean;
  }
  return pooling;
}

/// A request and what is done of it.
struct EncoderEngine::Job {
  int64_t id = 0;
  EncodeRequest request;
  std::shared_ptr<const PinnedRow> pin;
  std::vector<std::vector<float>> outputs;
  size_t done = 0;
};

EncoderEngine::EncoderEngine(const EngineOptions& options, const Settings& settings)
    : ShelfEngine(options.max_waiting),
      options_(options),
      base_(open_model(options.model.model, settings)),
      tokenizer_(tokenizer_of(base_)),
      pooling_(Pooling::of(base_.folder)) {
  open_shelf(base_, options_.shelf, settings);
  banks_ = shelf_->rooms().num_rooms();
  const torch::ScalarType dtype = resolve_precision(options_.model.precision);
  model_ = std::make_unique<AdaptedModel>(base_, shelf_->rooms().basis(), shelf_->rooms().set(), dtype,
                                          options_.model.device, options_.model.memory);
  publish([&](EngineState& state) {
    state.precision = precision_name(dtype);
    state.ready = true;
  });
  thread_.start([this] { return work(); });
}

EncoderEngine::~EncoderEngine() {
  thread_.stop();
  std::vector<JobPtr> left;
  left.reserve(jobs_.size());
  for (const auto& [id, job] : jobs_) left.push_back(job);
  for (const JobPtr& job : left) finish(job, ApiError(503, "the server ends"));
}

/// A text's ids cut to `most`, the special tokens at its end kept: what Tokenizer::encode gives.
void EncoderEngine::shorten(std::vector<int32_t>& ids, int64_t most) const {
  const auto limit = static_cast<size_t>(most);
  if (ids.size() <= limit) return;
  size_t last = ids.size();
  while (last > 0 && tokenizer_->is_special(ids[last - 1])) --last;
  const size_t kept = std::min(ids.size() - last, limit);
  ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(limit - kept), ids.end() - static_cast<std::ptrdiff_t>(kept));
}

std::vector<int32_t> EncoderEngine::encode_chat(const nlohmann::ordered_json&) const {
  throw ApiError(400,
                 concat("model: ", shelf_->base_name(), " is an encoder: it labels and embeds, and answers nothing"),
                 "model");
}

int64_t EncoderEngine::answer(AnswerRequest) {
  encode_chat({});
  return 0;
}

int64_t EncoderEngine::encode(EncodeRequest request) {
  const int64_t longest = context();
  for (std::vector<int32_t>& input : request.inputs) {
    const int64_t trained = request.model->max_length > 0 ? std::min(request.model->max_length, longest) : longest;
    if (!request.embed) shorten(input, trained);
    check_prompt(request.name, input, base_.config.vocab_size, longest + 1, /*max_new_tokens=*/1);
  }
  if (!request.embed && request.model->head == "none") {
    throw ApiError(400, concat("model: ", request.model->id, " has no task head: it labels nothing"), "model");
  }
  auto job = std::make_shared<Job>();
  job->request = std::move(request);
  job->outputs.resize(job->request.inputs.size());
  job->id = enter(job->request.caller.tenant).id;
  thread_.post([this, job] {
    jobs_.emplace(job->id, job);
    const EncodeRequest& asked = job->request;
    if (asked.inputs.empty()) return finish(job, std::nullopt);
    if (asked.model->key.empty()) return make_ready(job);
    turns_->push(job->id, asked.caller, asked.model);
  });
  return job->id;
}

void EncoderEngine::cancel(int64_t id) {
  thread_.post([this, id] {
    const auto found = jobs_.find(id);
    if (found != jobs_.end()) finish(JobPtr(found->second), ApiError(503, "cancelled"));
  });
}

/// A row is there, or could not be loaded.
void EncoderEngine::take_row(const JobPtr& job, std::shared_ptr<const PinnedRow> row) {
  try {
    row->wait();
  } catch (const Error&) {
    row.reset();
    return finish(job, loading_failure());
  }
  job->pin = std::move(row);
  make_ready(job);
}

void EncoderEngine::make_ready(const JobPtr& job) {
  auto& texts = waiting_[job->request.caller.tenant];
  for (size_t i = 0; i < job->request.inputs.size(); ++i) texts.push_back({job, i});
}

std::vector<EncoderEngine::Text> EncoderEngine::next_batch() {
  std::vector<Text> batch;
  std::erase_if(waiting_, [](const auto& tenant) { return tenant.second.empty(); });
  if (waiting_.empty()) return batch;
  int64_t tokens = 0;
  std::optional<bool> embed;  // what this batch does
  auto turn = waiting_.upper_bound(last_tenant_);
  for (size_t passed = 0; passed < waiting_.size();) {  // until nobody has a text that fits
    if (turn == waiting_.end()) turn = waiting_.begin();
    auto& [tenant, texts] = *turn++;
    ++passed;
    if (texts.empty()) continue;
    const JobPtr job = texts.front().job;
    const EncodeRequest& asked = job->request;
    if (embed && *embed != asked.embed) continue;
    const auto length = static_cast<int64_t>(asked.inputs[texts.front().input].size());
    if (!batch.empty() && tokens + length > options_.batch_tokens) continue;
    embed = asked.embed;
    tokens += length;
    batch.push_back(texts.front());
    texts.pop_front();
    last_tenant_ = tenant;
    passed = 0;
  }
  return batch;
}

void EncoderEngine::compute(const std::vector<Text>& texts) {
  const torch::NoGradGuard no_grad;
  if (shelf_->rooms().num_rooms() != banks_) {
    model_->use(shelf_->rooms().set());
    banks_ = shelf_->rooms().num_rooms();
  }
  std::vector<std::pair<Sequence, Text>> batch;
  batch.reserve(texts.size());
  for (const Text& text : texts) {
    const EncodeRequest& asked = text.job->request;
    Sequence sequence{.input_ids = asked.inputs[text.input]};
    if (text.job->pin) sequence.slot = shelf_->slot_of(*asked.model, *text.job->pin);
    batch.emplace_back(std::move(sequence), text);
  }
  std::stable_sort(batch.begin(), batch.end(),
                   [](const auto& x, const auto& y) { return x.first.slot < y.first.slot; });
  std::vector<Sequence> sequences;
  sequences.reserve(batch.size());
  for (auto& [sequence, text] : batch) sequences.push_back(std::move(sequence));
  if (texts.front().job->request.embed) {
    const PackedBatch packed = pack(sequences, Ask::kAll);
    const torch::Tensor hidden = model_->encode(packed, /*training=*/false).to(torch::kCPU, torch::kFloat32);
    for (size_t i = 0; i < batch.size(); ++i) {
      const torch::Tensor rows = hidden.slice(0, packed.starts[i], packed.starts[i + 1]);  // [tokens, hidden]
      torch::Tensor vector = pooling_.mean ? rows.mean(0) : rows.select(0, 0);
      if (pooling_.normalized) vector = vector / vector.norm().clamp_min(1e-12);
      deliver(batch[i].second, numbers_of(vector));
    }
    return;
  }
  const HeadLogits heads = model_->logits(pack(sequences), /*training=*/false);
  for (const HeadRun& run : heads.runs) {
    const torch::Tensor logits = heads.of(run).to(torch::kCPU, torch::kFloat32);  // [sequences of the run, outputs]
    for (int64_t i = run.begin; i < run.end; ++i) {
      const torch::Tensor row = logits.select(0, i - run.begin);
      const Text& text = batch[static_cast<size_t>(i)].second;
      deliver(text, numbers_of(text.job->request.model->regression ? row : row.softmax(0)));
    }
  }
}

void EncoderEngine::deliver(const Text& text, std::vector<float> output) {
  const JobPtr& job = text.job;
  if (!std::all_of(output.begin(), output.end(), [](float x) { return std::isfinite(x); })) {
    return finish(job, failure(*job->request.model, kNoFiniteOutputs));
  }
  job->outputs[text.input] = std::move(output);
  if (++job->done == job->outputs.size()) finish(job, std::nullopt);
}

void EncoderEngine::finish(const JobPtr& job, const std::optional<ApiError>& problem) {
  if (jobs_.erase(job->id) == 0) return;
  auto& texts = waiting_[job->request.caller.tenant];
  if (problem) std::erase_if(texts, [&](const Text& text) { return text.job == job; });
  job->request.on_done(problem ? std::vector<std::vector<float>>() : std::move(job->outputs), problem);
  job->pin.reset();
  turns_->erase(job->id);
  leave(job->request.caller.tenant);
}

EngineThread::Next EncoderEngine::work() {
  for (auto& [id, row] : turns_->next()) take_row(JobPtr(jobs_.at(id)), std::move(row));
  std::vector<Text> batch = next_batch();
  if (batch.empty()) return turns_->num_waiting() > 0 ? EngineThread::Next::kSoon : EngineThread::Next::kWait;
  try {
    compute(batch);
  } catch (const std::exception& error) {
    for (const Text& text : batch) finish(text.job, ApiError(500, error.what()));
  }
  if (options_.on_step) options_.on_step(static_cast<int64_t>(batch.size()));
  int64_t waiting = turns_->num_waiting();
  for (const auto& [tenant, texts] : waiting_) waiting += std::ssize(texts);
  publish([&](EngineState& state) {
    ++state.steps;
    state.waiting = waiting;
    for (const Text& text : batch) {
      state.prompt_tokens += static_cast<int64_t>(text.job->request.inputs[text.input].size());
    }
  });
  return EngineThread::Next::kAgain;
}

}  // namespace loraxs
