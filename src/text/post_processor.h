// text/post_processor.h: the special tokens around one text or two, and how texts are shortened to leave room for them.
#pragma once
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/sha256.h"

namespace loraxs {

/// One encoded text or pair, with the special tokens the model expects.
struct Encoding {
  std::vector<int32_t> input_ids;
  std::vector<int32_t> token_type_ids;  // same length; 0 for the first text, 1 for the second
  std::vector<uint8_t> is_target;       // same length, 1 where predicting this token counts; empty for encoders
  bool truncated = false;
};

struct PostProcessor {
  /// One element of a template: a special token, or the first or second text.
  struct Element {
    enum class Kind { kSpecial, kFirst, kSecond } kind = Kind::kSpecial;
    int32_t id = 0;       // of a special token
    int32_t type_id = 0;  // token_type_id
  };
  std::vector<Element> single = {{Element::Kind::kFirst}};
  std::vector<Element> pair = {{Element::Kind::kFirst}, {Element::Kind::kSecond, 0, 1}};

  /// Ids that the template adds to one text, before it and behind it.
  std::vector<int32_t> before() const;
  std::vector<int32_t> after() const;

  int32_t highest_id() const;       // of its special tokens, -1 without any
  int32_t highest_type_id() const;  // of all its elements
  /// At most `max_length` ids; longer pairs lose tokens from the end of the longer text first ("longest_first").
  Encoding assemble(std::vector<int32_t> first, std::optional<std::vector<int32_t>> second, int64_t max_length) const;
  void add_to(Sha256& digest) const;
};

/// "post_processor" of a tokenizer.json: BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing, or
/// null. `id_of` finds special tokens. Throws Error naming another kind and those known, ids that are none, a template
/// of more than 1,000 ids, and Sequences more than 8 deep.
using TokenLookup = std::function<std::optional<int32_t>(const std::string&)>;
PostProcessor parse_post_processor(const nlohmann::json& json, const TokenLookup& id_of, const std::string& where,
                                   int depth = 0);

}  // namespace loraxs
