// text/gguf_pre_tokenizers.h: how byte-level BPE of a GGUF file prepares text, by the names of tokenizer.ggml.pre.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace loraxs {

/// As a tokenizer.json says it.
struct Preparation {
  nlohmann::json normalizer, pre_tokenizer;
  bool ignore_merges = false;  // a piece that is a token is that token
  bool add_bos = false;        // where the file does not say
};

/// The preparation of a name, "default" and the empty one included: those of files older than the key, which llama.cpp
/// cuts by expressions of its own. Throws Error naming those known; `where` begins its message.
const Preparation& find_preparation(const std::string& name, const std::string& where);

/// All names but "default" and the empty one.
std::vector<std::string> preparation_names();

}  // namespace loraxs
