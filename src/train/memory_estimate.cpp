#include "train/memory_estimate.h"

#include <algorithm>

#include "adapt/counts.h"
#include "adapt/method.h"
#include "batch/micro_batches.h"
#include "batch/token_budget.h"
#include "io/error.h"
#include "io/gguf.h"
#include "model/decoder.h"

namespace loraxs {
namespace {

constexpr int64_t kFloat = 4;
constexpr int64_t kProcessBytes = 165'000'000;  // peak of a training of a model of 100,000 numbers
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

bool is_decoder(const BaseModel& model) { return model.architecture->kind == ModelKind::kDecoder; }

/// The base's weights as their files hold them.
int64_t stored_bytes(const BaseModel& model) {
  if (is_gguf_path(model.folder)) return static_cast<int64_t>(std::filesystem::file_size(model.folder));
  int64_t bytes = 0;
  if (std::filesystem::is_directory(model.folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(model.folder)) {
      if (entry.path().extension() == ".safetensors") bytes += static_cast<int64_t>(entry.file_size());
    }
  }
  if (bytes > 0) return bytes;
  return count_model(*model.architecture, model.config) * (is_decoder(model) ? 2 : kFloat);
}

/// Of one token: what all layers keep for backward.
int64_t encoder_activations(const BaseModel& model, int64_t ranks) {
  const ModelConfig& config = model.config;
  int64_t outputs = 0;
  for (const Site& site : list_sites(*model.architecture, config)) outputs += site.out_features;
  // Beside the projections' outputs and u of every site a layer keeps the attention's result, two norms' inputs and
  // outputs, and the activation between the MLP's projections.
  const int64_t attended = config.num_attention_heads * config.head_dim;
  return outputs + ranks + config.num_hidden_layers * (attended + 4 * config.hidden_size + config.intermediate_size);
}

/// task_gradient: all projections and their gradients as a row, and batches of kTokensPerBatch, in float32.
int64_t gradient_pass_bytes(const BaseModel& model) {
  const ModelConfig& config = model.config;
  int64_t numbers = 2 * count_weights(list_sites(*model.architecture, config));
  if (is_decoder(model)) {
    numbers += 2 * config.vocab_size * config.hidden_size +
               kTokensPerBatch * config.num_hidden_layers * kept_per_token(config);
  } else {
    numbers += kTokensPerBatch * encoder_activations(model, /*ranks=*/0);
  }
  return kProcessBytes + numbers * kFloat;
}

}  // namespace

StepShape step_shape(const TrainRecipe& train, int64_t jobs, int64_t sentences, int64_t tokens,
                     torch::ScalarType dtype) {
  const int64_t sentence = tokens > 0 ? tokens / sentences + 1 : train.max_length;
  const int64_t budget = micro_batch_tokens(train.tokens_per_batch, train.batch_size * sentence);
  const int64_t parts = std::max<int64_t>(1, train.gradient_accumulation);
  return {.jobs = jobs,
          .tokens = std::min(budget, jobs * std::max<int64_t>(1, train.batch_size / parts) * sentence),
          .dtype = dtype,
          .weights = weight_memory(train.memory),
          .limit = static_cast<int64_t>(train.memory_gb * kGiB)};
}

int64_t resident_base_bytes(const BaseModel& model, torch::ScalarType dtype, WeightMemory memory, int64_t directions) {
  if (memory == WeightMemory::kTight) return kProcessBytes + stored_bytes(model);
  int64_t copies = count_weights(list_sites(*model.architecture, model.config));
  if (is_decoder(model)) copies += model.config.vocab_size * model.config.hidden_size;
  if (memory == WeightMemory::kInt8) return kProcessBytes + copies * 9 / 8;  // eight bits and a scale; fours take less
  return kProcessBytes + directions * copies * static_cast<int64_t>(c10::elementSize(dtype));
}

MemoryEstimate estimate_memory(const BaseModel& model, const Layout& layout, const StepShape& step,
                               const std::string& where) {
  constexpr int64_t kBanks = 5, kDirections = 2;
  const ModelConfig& config = model.config;
  const auto number = static_cast<int64_t>(c10::elementSize(step.dtype));
  const MethodTraits& traits = find_method(layout.method, where).traits;
  int64_t ranks = 0, a = 0, b = 0;  // numbers of the basis
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    ranks += layout.ranks[i];
    if (!traits.reads_basis) continue;
    a += layout.ranks[i] * layout.sites[i].in_features;
    b += layout.ranks[i] * layout.sites[i].out_features;
  }
  // The basis, bᵀ, and a in the compute dtype: beside the weights of each direction, once where memory is tight.
  const int64_t copies_of_a = step.weights == WeightMemory::kTight ? 1 : kDirections;
  MemoryEstimate memory{.base = resident_base_bytes(model, step.dtype, step.weights, kDirections),
                        .basis = (a + 2 * b) * kFloat + copies_of_a * a * number,
                        .rows = kBanks * step.jobs * layout.row_size * kFloat};
  for (const Site& site : layout.sites) {  // weights that the row holds are not packed
    if (traits.owns_weight) memory.base -= kDirections * site.in_features * site.out_features * number;
  }
  int64_t layer = 1, recomputable = 0;
  if (is_decoder(model)) {
    // Of every layer its input and u, and what backward reads; of one at a time about as much again of gradients, twice
    // where it is computed again.
    layer = std::max<int64_t>(1, step.tokens * kept_per_token(config) * number);
    recomputable = config.num_hidden_layers * layer;
    memory.activations = step.tokens * (config.num_hidden_layers * config.hidden_size * number + ranks * kFloat) +
                         2 * layer + recomputable;
  } else {
    memory.activations = step.tokens * encoder_activations(model, ranks) * number;
  }
  if (step.starts_from_gradient) memory.gradient_pass = gradient_pass_bytes(model);
  if (step.limit == 0) return memory;
  const int64_t left = step.limit - (memory.base + memory.basis + memory.rows + memory.activations - recomputable);
  if (left < 0) {
    const bool tight = step.weights == WeightMemory::kTight;
    throw Error(concat(
        where, ": train.memory_gb: expected at least ", static_cast<double>(step.limit - left) / kGiB,
        " for this model and micro-batches of ", step.tokens, " tokens, found ", static_cast<double>(step.limit) / kGiB,
        tight ? "; lower train.tokens_per_batch" : "; train.memory: tight keeps weights as they are stored"));
  }
  memory.activation_limit = left;
  memory.activations -= recomputable - std::min(recomputable, left / layer * layer);
  return memory;
}

}  // namespace loraxs
