// model/architecture.h: what a model family is; architectures.cpp lists them all.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/fields.h"
#include "model/config.h"
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

/// All that one family needs: how its config reads, what its tensors are called, and where its adapters may go.
struct Architecture {
  std::string model_type;  // as in config.json
  ModelKind kind = ModelKind::kEncoder;
  std::function<ModelConfig(Fields&)> parse_config;
  std::vector<std::pair<std::string, std::string>> weight_names;  // canonical -> Hugging Face; "{}" is the layer
  bool (*has_weight)(const ModelConfig&,
                     const std::string& canonical) = nullptr;  // false: not of this config; null: all
  std::vector<std::string> optional_prefixes;  // prefixes a checkpoint may put before every name: "bert."
  std::vector<std::string> optional_weights;   // canonical names a checkpoint may lack
  std::vector<std::string> modules;            // adaptable projections of a layer, in canonical order
  std::vector<std::string> paper_targets;      // those the paper adapts in this family
  HeadShape head;
};

/// Throws Error naming the known families.
const Architecture& find_architecture(const std::string& model_type, const std::string& where);
std::vector<std::string> known_model_types();

/// Every adaptable projection of the model, layer by layer in canonical order.
std::vector<Site> list_sites(const Architecture& architecture, const ModelConfig& config);

/// The sites that `targets` name: "paper", "all-linear", Hugging Face module names by dot-suffix ("query",
/// "output.dense"), or canonical modules as "site:query". Every match counts. Throws Error for a target that matches
/// nothing (near names listed). Order: canonical.
std::vector<Site> select_sites(const Architecture& architecture, const ModelConfig& config,
                               const std::vector<std::string>& targets, const std::string& where);

/// Reads and checks config.json of a Hugging Face folder, or a config.json itself.
struct ParsedConfig {
  const Architecture* architecture = nullptr;
  ModelConfig config;
};
ParsedConfig read_model_config(const std::filesystem::path& folder_or_file);

}  // namespace loraxs
