// api/convert.h: a model between its two homes: a GGUF file and a Hugging Face folder.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "model/base_model.h"

namespace loraxs {

struct Conversion {
  std::string base_id;  // of what was written
  bool same_numbers = false;
  double difference = 0;           // largest change of a logit on random ids, relative to the largest
  std::vector<std::string> notes;  // what the other format cannot say
};

/// Writes `model` to `out`: of a GGUF file a folder (model.safetensors or shards, config.json, tokenizer.json,
/// tokenizer_config.json, generation_config.json, chat_template.jinja), of a folder a file whose name ends in .gguf.
/// Read back, it must compute what the model does. `dtype`: empty = as stored, with quantised blocks unpacked to
/// float32 in a folder; else float32, float16, bfloat16, and for a file what ops/block_quantize.h writes. Complete or
/// absent. Throws Error when `out` exists or is of the kind that `model` is, and for what the other format has no words
/// for.
Conversion convert_model(const BaseModel& model, const std::filesystem::path& out, const std::string& dtype);

}  // namespace loraxs
