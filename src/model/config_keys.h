// model/config_keys.h: the keys of a config.json that no family reads: which of them change no output of ours, and what
// happens to the others.
#pragma once
#include <string>
#include <vector>

#include "io/fields.h"

namespace loraxs {

/// How a model's files are read where they do not say it, or say what this program does not know.
struct ReadingOptions {
  std::vector<std::string> accepted_keys;  // of config.json or GGUF metadata: read as if they did not stand there
  std::string pre_tokenizer;               // instead of a GGUF file's tokenizer.ggml.pre; empty: the file's own
};

/// A key that is not read, and the values with which it changes nothing.
struct KnownKey {
  std::string key;
  std::string values = "";  // a JSON list, "[false, null]"; empty: whatever its value
  std::string hint = "";    // for another value
};

enum class ModelKind;

/// Throws Error for the first key of `fields` that was not read (null counts as not there), does not stand in
/// `family` or in the tables of all models of its kind, and is not accepted; or that stands there with another value.
/// Also for an accepted key that is read, or not there.
void check_config_keys(const Fields& fields, ModelKind kind, const std::string& model_type,
                       const std::vector<KnownKey>& family, const std::vector<std::string>& accepted);

/// The key whose object says how positions are rotated: rope_scaling wins over rope_parameters in transformers 5.
std::string rope_key(const Fields& fields);

}  // namespace loraxs
