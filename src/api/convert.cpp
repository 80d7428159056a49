#include "api/convert.h"

#include <algorithm>

#include "adapt/adapted_model.h"
#include "adapt/tensor_file.h"
#include "api/adapter_tools.h"
#include "api/settings.h"
#include "api/task_encoder.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/gguf.h"
#include "model/gguf_export.h"
#include "model/hf_config.h"
#include "ops/block_quantize.h"
#include "text/chat_template.h"
#include "text/gguf_vocabulary.h"

namespace loraxs {
namespace {

std::optional<BlockType> wanted_type(const std::string& dtype, bool to_gguf) {
  if (dtype.empty()) return std::nullopt;
  const std::optional<BlockType> type = writable_type(dtype);
  if (type && (to_gguf || block_type_info(*type).block_elements == 1)) return type;
  throw Error(concat("--dtype: expected ", to_gguf ? writable_type_names() : "float32, float16 or bfloat16", ", found ",
                     dtype));
}

torch::ScalarType folder_dtype(BlockType type) {
  return type == BlockType::kF16 ? torch::kFloat16 : type == BlockType::kBF16 ? torch::kBFloat16 : torch::kFloat32;
}

/// A weight of a folder in the making.
struct FolderWeight {
  std::string name, canonical;
  torch::ScalarType dtype;
  int64_t bytes;
};

/// Every weight under transformers' names: matrices as `type` or as stored, vectors as float32.
std::vector<FolderWeight> folder_weights(const BaseModel& model, std::optional<BlockType> type) {
  std::vector<FolderWeight> weights;
  const Architecture& family = *model.architecture;
  for (const auto& [canonical, hf] : list_weights(family, model.config, family.weight_names)) {
    const BlockTensor block = model.stored(canonical);
    const bool vector = block.shape.size() < 2;
    const torch::ScalarType dtype = vector ? torch::kFloat32 : folder_dtype(type.value_or(block.type));
    const std::string prefix = canonical == "lm_head.weight" ? "" : family.optional_prefixes.front();
    weights.push_back({.name = prefix + hf,
                       .canonical = canonical,
                       .dtype = dtype,
                       .bytes = block.rows() * block.columns() * static_cast<int64_t>(c10::elementSize(dtype))});
  }
  return weights;
}

/// Writes the weights in files of about 4 GB, one of which is in memory at a time. `norm_offset` is what transformers
/// adds to those of norms.
void write_weights(const std::filesystem::path& folder, const BaseModel& model,
                   const std::vector<FolderWeight>& weights, double norm_offset) {
  constexpr int64_t kShard = int64_t{4} << 30;
  std::vector<std::vector<const FolderWeight*>> shards(1);
  int64_t total = 0, in_shard = 0;
  for (const FolderWeight& weight : weights) {
    if (in_shard > 0 && in_shard + weight.bytes > kShard) shards.emplace_back(), in_shard = 0;
    shards.back().push_back(&weight);
    in_shard += weight.bytes;
    total += weight.bytes;
  }
  nlohmann::json places = nlohmann::json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    char name[64] = "model.safetensors";
    if (shards.size() > 1) {
      std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    }
    TensorFile file;
    for (const FolderWeight* weight : shards[i]) {
      torch::Tensor value = model.weight(weight->canonical);
      if (weight->canonical.ends_with("norm.weight")) value = value - norm_offset;
      file.add(weight->name, value.to(weight->dtype));
      places[weight->name] = name;
    }
    file.write(folder / name, {{"format", "pt"}});
  }
  if (shards.size() == 1) return;
  const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", places}};
  write_file_atomically(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

void write_folder(const BaseModel& model, const std::filesystem::path& out, std::optional<BlockType> type) {
  const std::string where = model.folder.string();
  GgufVocabulary vocabulary = read_vocabulary(read_gguf(model.folder));
  if (!model.reading.pre_tokenizer.empty()) vocabulary.pre = model.reading.pre_tokenizer;
  const nlohmann::json tokenizer = tokenizer_json_of(vocabulary, where);
  const std::optional<ChatTemplate> chat = ChatTemplate::load(model.folder);
  nlohmann::ordered_json config = hf_config(*model.architecture, model.config, where);
  const std::vector<FolderWeight> weights = folder_weights(model, type);
  const auto matrix = std::find_if(weights.begin(), weights.end(),
                                   [](const FolderWeight& each) { return each.canonical.starts_with("layers.0."); });
  config["torch_dtype"] = precision_name(matrix->dtype);
  nlohmann::ordered_json generation = nlohmann::ordered_json::object();
  if (vocabulary.bos_token_id) config["bos_token_id"] = generation["bos_token_id"] = *vocabulary.bos_token_id;
  std::vector<int32_t> ends;
  for (const auto& id : {vocabulary.eos_token_id, vocabulary.eot_token_id}) {
    if (id && std::find(ends.begin(), ends.end(), *id) == ends.end()) ends.push_back(*id);
  }
  if (!ends.empty()) config["eos_token_id"] = ends.front(), generation["eos_token_id"] = ends;
  Fields fields(nlohmann::json(config), where);
  const double norm_offset = parse_model_config(*model.architecture, fields).config.norm_offset;
  write_folder_atomically(out, [&](const std::filesystem::path& aside) {
    write_weights(aside, model, weights, norm_offset);
    write_file_atomically(aside / "config.json", config.dump(2) + "\n");
    write_file_atomically(aside / "generation_config.json", generation.dump(2) + "\n");
    write_file_atomically(aside / "tokenizer.json", tokenizer.dump() + "\n");
    write_file_atomically(aside / "tokenizer_config.json", tokenizer_config_of(vocabulary).dump(2) + "\n");
    if (chat) write_file_atomically(aside / "chat_template.jinja", chat->source());
  });
}

std::vector<std::string> write_file(const BaseModel& model, const std::filesystem::path& out,
                                    std::optional<BlockType> type) {
  gguf_family(model);  // throws first for a family that has no such files
  const auto tokenizer = tokenizer_of(model);
  std::string of_tokenizer, of_config;
  const GgufVocabulary vocabulary = gguf_vocabulary_of(model.folder, *tokenizer, model.config.vocab_size, of_tokenizer);
  auto metadata = gguf_config_metadata(model, of_config);
  const std::vector<GgufTensorSource> tensors = gguf_tensors(model, type);
  BlockType most = BlockType::kF32;  // of the first layer's query, as of most matrices
  for (const GgufTensorSource& tensor : tensors) {
    if (tensor.name == "blk.0.attn_q.weight") most = tensor.type;
  }
  metadata.emplace_back("general.file_type", gguf_uint32(gguf_file_type(type.value_or(most))));
  metadata.emplace_back("general.quantization_version", gguf_uint32(2));
  for (auto& entry : gguf_vocabulary_metadata(vocabulary)) metadata.push_back(std::move(entry));
  if (const std::optional<ChatTemplate> chat = ChatTemplate::load(model.folder)) {
    metadata.emplace_back("tokenizer.chat_template", gguf_string(chat->source()));
  }
  write_gguf(out, metadata, tensors);
  std::vector<std::string> notes = {of_tokenizer, of_config};
  std::erase(notes, "");
  return notes;
}

/// Logits on random ids, in float32.
torch::Tensor probe_logits(const BaseModel& model, const PackedBatch& batch) {
  torch::NoGradGuard no_grad;
  AdaptedModel plain(model, nullptr, AdapterSet{}, torch::kFloat32);
  return plain.token_logits(batch);
}

/// Whether both hold the same numbers, in whatever type.
bool same_numbers(const BaseModel& x, const BaseModel& y) {
  for (const auto& [canonical, hf] : list_weights(*x.architecture, x.config, x.architecture->weight_names)) {
    const double offset = canonical.ends_with("norm.weight") ? x.config.norm_offset - y.config.norm_offset : 0;
    if (!(x.weight(canonical).to(torch::kFloat32) + offset).equal(y.weight(canonical).to(torch::kFloat32)))
      return false;
  }
  return true;
}

}  // namespace

Conversion convert_model(const BaseModel& model, const std::filesystem::path& out, const std::string& dtype) {
  refuse_existing(out, "--out");
  const bool from_gguf = is_gguf_path(model.folder);
  if (from_gguf == is_gguf_path(out)) {
    throw Error(concat(out.string(), ": --out: expected ", from_gguf ? "a folder" : "a file that ends in .gguf",
                       " for ", model.folder.string(), ", found ", from_gguf ? "a .gguf file" : "another name"));
  }
  refuse_inside(out, model.folder, "--out");
  const std::optional<BlockType> type = wanted_type(dtype, !from_gguf);
  Conversion conversion;
  if (from_gguf) {
    write_folder(model, out, type);
  } else {
    conversion.notes = write_file(model, out, type);
  }
  const BaseModel written = load_base_model(out, "");
  const PackedBatch batch = probe_batch(model, kNoSlot);
  const torch::Tensor expected = probe_logits(model, batch);
  conversion.base_id = written.base_id;
  conversion.difference = largest_change(probe_logits(written, batch), expected);
  conversion.same_numbers = same_numbers(model, written);
  return conversion;
}

}  // namespace loraxs
