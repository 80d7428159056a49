// model/architecture.h: what a model family is; architectures.cpp lists them all.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/fields.h"
#include "model/config.h"
#include "model/config_keys.h"
#include "model/site.h"

namespace loraxs {

/// The head that Hugging Face's ForSequenceClassification puts on the first token of a family's encoder:
/// logits = classifier(dropout(activation(dense(x)))).
struct HeadShape {
  std::string model_class;            // "BertForSequenceClassification"
  std::string dense;                  // canonical name of the dense layer in the base, if it brings one: "pooler"
  std::string dense_hf, output_hf;    // Hugging Face's names: "bert.pooler.dense", "classifier"
  std::string dense_saved;            // PEFT's modules_to_save for the dense layer; the output's is "classifier"
  std::string activation = "tanh";    // tanh | relu
  bool dropout_before_dense = false;  // RoBERTa
  bool dense_pretrained = false;      // the dense layer is the base's own: `head: full` leaves it frozen
};

/// Encoders answer the first token of a text, decoders the rows that are asked for, each seeing what stands before it.
enum class ModelKind { kEncoder, kDecoder };

/// How llama.cpp's GGUF files of a family call things.
struct GgufNames {
  std::string architecture;  // general.architecture: "llama"; empty: the family is not read from GGUF
  std::vector<std::pair<std::string, std::string>> config;   // key of config.json -> metadata key after "llama."
  std::vector<std::pair<std::string, std::string>> weights;  // canonical -> tensor; "{}" is the layer
  std::vector<std::string> interleaved;  // modules whose rows ggml's rotation reorders, see BlockTensor::stored_row
};

/// All that one family needs: how its config reads, what its tensors are called, and where its adapters may go.
struct Architecture {
  std::string model_type;  // as in config.json
  ModelKind kind = ModelKind::kEncoder;
  std::function<ModelConfig(Fields&)> parse_config;
  std::vector<KnownKey> known_keys;  // of its config.json, beside those that parse_config reads and config_keys.cpp has
  std::vector<std::pair<std::string, std::string>> weight_names;  // canonical -> Hugging Face; "{}" is the layer
  bool (*has_weight)(const ModelConfig&,
                     const std::string& canonical) = nullptr;  // false: not of this config; null: all
  std::vector<std::string> optional_prefixes;  // prefixes a checkpoint may put before every name: "bert."
  std::vector<std::string> optional_weights;   // canonical names a checkpoint may lack
  std::vector<std::string> modules;            // adaptable projections of a layer, in canonical order
  std::vector<std::string> paper_targets;      // those the paper adapts in this family
  HeadShape head;
  GgufNames gguf;
};

/// Throws Error naming the known families.
const Architecture& find_architecture(const std::string& model_type, const std::string& where);
std::vector<std::string> known_model_types();

/// The family that GGUF files call so. Throws Error naming those that are known.
const Architecture& find_gguf_architecture(const std::string& name, const std::string& where);

/// Canonical weights of this config with another name for each, every layer's by itself; `names`: patterns as
/// weight_names.
std::vector<std::pair<std::string, std::string>> list_weights(
    const Architecture& architecture, const ModelConfig& config,
    const std::vector<std::pair<std::string, std::string>>& names);
/// The shape of a canonical weight.
std::vector<int64_t> weight_shape(const Architecture& architecture, const ModelConfig& config,
                                  const std::string& canonical);

/// Every adaptable projection of the model, layer by layer in canonical order.
std::vector<Site> list_sites(const Architecture& architecture, const ModelConfig& config);

/// The sites that `targets` name: "paper", "all-linear", Hugging Face module names by dot-suffix ("query",
/// "output.dense"), or canonical modules as "site:query". Every match counts. Throws Error for a target that matches
/// nothing (near names listed). Order: canonical.
std::vector<Site> select_sites(const Architecture& architecture, const ModelConfig& config,
                               const std::vector<std::string>& targets, const std::string& where);

/// Reads and checks config.json of a Hugging Face folder, a config.json itself, or the metadata of a GGUF file. A key
/// that is neither used nor known to change nothing is an Error that names it, unless it is accepted.
struct ParsedConfig {
  const Architecture* architecture = nullptr;
  ModelConfig config;
};
ParsedConfig read_model_config(const std::filesystem::path& folder_or_file, const ReadingOptions& reading = {});
/// The same from the fields of a config.json, wherever they come from.
ParsedConfig parse_model_config(const Architecture& architecture, Fields& fields,
                                const std::vector<std::string>& accepted_keys = {});

}  // namespace loraxs
