#include "model/config_keys.h"

#include <algorithm>
#include <array>

#include "io/error.h"
#include "model/architecture.h"

namespace loraxs {
namespace {

// Where a model comes from, what its classes return and how they are run, defaults of generation, names of labels and
// ids of special tokens: none of them changes logits. Names as in PreTrainedConfig and GenerationConfig of transformers
// 2 to 5, and as published files have them.
constexpr auto kHarmless = std::to_array<std::string_view>(
    {"architectures", "_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "torch_dtype", "dtype",
     "use_cache", "output_attentions", "output_hidden_states", "output_past", "return_dict", "torchscript",
     "use_bfloat16", "initializer_range", "id2label", "label2id", "num_labels", "_num_labels", "problem_type",
     "finetuning_task", "task_specific_params", "tokenizer_class", "prefix", "bos_token_id", "eos_token_id",
     "eos_token_ids", "pad_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "unk_token_id",
     "decoder_start_token_id", "gradient_checkpointing", "chunk_size_feed_forward", "attn_implementation",
     "_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal", "_flash_attn_2_enabled",
     "use_flash_attention_2", "tie_encoder_decoder", "tf_legacy_loss", "custom_pipelines", "model_max_length",
     "max_sequence_length", "tokenizer_model_max_length", "tokenizer_padding_side", "unsloth_fixed", "unsloth_version",
     "transformers.js_config", "sentence_transformers",
     // generation
     "max_length", "min_length", "max_new_tokens", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
     "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty",
     "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores",
     "return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
     "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens"});

const std::vector<KnownKey>& keys_of_all() {
  static const std::vector<KnownKey> keys = {
      {"is_encoder_decoder", "[false]"},
      {"add_cross_attention", "[false]"},
      {"cross_attention_hidden_size", "[]"},
      {"pruned_heads", "[{}]"},
      {"auto_map", "[{}]", "the model brings code of its own, which may compute something else"},
      {"quantization_config", "[]",
       "weights that another program packed are not read; take the model's plain checkpoint, or a GGUF file"}};
  return keys;
}

const std::vector<KnownKey>& keys_of_encoders() {
  static const std::vector<KnownKey> keys = {
      {"is_decoder", "[false]", "an encoder whose tokens see only those before them is not supported"},
      {"is_causal", "[false]"},
      {"tie_word_embeddings"},  // of a language head, which classifiers do not have
      {"qa_dropout"}};
  return keys;
}

const std::vector<KnownKey>& keys_of_decoders() {
  static const std::vector<KnownKey> keys = {{"is_decoder"},      // they are, whatever it says
                                             {"pretraining_tp"},  // splits a product into sums of the same value
                                             {"is_causal", "[true]"},
                                             {"partial_rotary_factor", "[1]"},
                                             {"rope_interleaved", "[false]"},
                                             {"is_llama_config"},
                                             {"resid_pdrop", "[0]"},
                                             {"embd_pdrop", "[0]"},
                                             {"sliding_window", "[]"},  // Mistral's and Qwen's are read
                                             {"use_sliding_window", "[false]"},
                                             {"max_window_layers"},
                                             {"mlp_bias", "[false]"},
                                             {"attention_bias", "[false]"}};
  return keys;
}

/// Keys of rope_scaling and rope_parameters that some type of rotation reads; the other types pass over them.
constexpr auto kRopeKeys = std::to_array<std::string_view>(
    {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "attention_factor", "beta_fast",
     "beta_slow", "mscale", "mscale_all_dim", "truncate", "short_factor", "long_factor", "low_freq_factor",
     "high_freq_factor", "partial_rotary_factor", "finetuned"});

const KnownKey* find_key(const std::vector<KnownKey>& keys, const std::string& key) {
  const auto found = std::ranges::find(keys, key, &KnownKey::key);
  return found == keys.end() ? nullptr : &*found;
}

bool has_value(const KnownKey& known, const nlohmann::json& value) {
  if (known.values.empty()) return true;
  const nlohmann::json values = parse_json(known.values, "values of " + known.key);
  return std::ranges::find(values, value) != values.end();
}

}  // namespace

std::string rope_key(const Fields& fields) {
  const nlohmann::json* scaling = fields.peek("rope_scaling");
  return scaling != nullptr && !scaling->empty() ? "rope_scaling" : "rope_parameters";
}

void check_config_keys(const Fields& fields, ModelKind kind, const std::string& model_type,
                       const std::vector<KnownKey>& family, const std::vector<std::string>& accepted) {
  const auto is_accepted = [&](const std::string& key) { return std::ranges::find(accepted, key) != accepted.end(); };
  const auto way_on = [](const std::string& key) {
    return concat("; --accept-config ", key, " reads the model as if it did not stand there");
  };
  const auto shown = [](const nlohmann::json& value) {
    constexpr size_t kLongest = 60;
    return shortened(json_text(value), kLongest);
  };
  for (const std::string& key : fields.unread()) {
    if (is_accepted(key)) continue;
    const nlohmann::json& value = *fields.peek(key);
    const KnownKey* known = find_key(family, key);
    const auto& of_kind = kind == ModelKind::kEncoder ? keys_of_encoders() : keys_of_decoders();
    if (known == nullptr) known = find_key(of_kind, key);
    if (known == nullptr) known = find_key(keys_of_all(), key);
    if (known == nullptr && std::ranges::find(kHarmless, key) != kHarmless.end()) continue;
    if (known == nullptr) {
      fields.fail(key, concat("expected keys that are known for a ", model_type, " model, found this one with ",
                              shown(value), ", which may change what it computes", way_on(key)));
    }
    if (has_value(*known, value)) continue;
    const std::string served = known->values == "[]" ? "none" : known->values.substr(1, known->values.size() - 2);
    fields.fail(key, concat("expected ", served, ", found ", shown(value), known->hint.empty() ? "" : "; ", known->hint,
                            way_on(key)));
  }
  const std::string rope = rope_key(fields);
  const nlohmann::json* told = kind == ModelKind::kDecoder ? fields.peek(rope) : nullptr;
  const nlohmann::json rotation = told == nullptr ? nlohmann::json::object() : *told;
  for (const auto& [key, value] : rotation.items()) {
    const std::string path = rope + "." + key;
    if (value.is_null() || is_accepted(path)) continue;
    if (key == "partial_rotary_factor" && value != 1) {
      fields.fail(path, concat("expected 1, found ", shown(value), way_on(path)));
    }
    if (std::ranges::find(kRopeKeys, key) != kRopeKeys.end()) continue;
    fields.fail(path,
                concat("expected a key of a known type of rotation, found this one with ", shown(value), way_on(path)));
  }
  const std::vector<std::string> unread = fields.unread();
  for (const std::string& key : accepted) {
    const std::string top = key.substr(0, key.find('.'));
    const bool nested = top == rope && key.size() > top.size();
    if (fields.peek(top) == nullptr) {
      fields.fail(key, "expected a key that stands there, as --accept-config (accept_config) names it, found none");
    }
    if (nested || std::ranges::find(unread, key) != unread.end()) continue;
    fields.fail(key, "expected a key that this program does not read for --accept-config, found one that it uses");
  }
}

}  // namespace loraxs
