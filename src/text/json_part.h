// text/json_part.h: the parts of a tokenizer.json: objects with a "type", or a Sequence of them.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/error.h"
#include "io/fields.h"
#include "text/regex.h"

namespace loraxs {

inline constexpr int kDeepestSequence = 8;     // Sequences inside each other
inline constexpr size_t kMostSteps = 100;      // of one part: text passes through each; published ones have up to 10
inline constexpr size_t kLongestAffix = 1024;  // bytes of what a step or model puts before or behind each token

/// What makes the steps of each kind from its fields.
template <typename Steps>
using PartTable = std::map<std::string, Steps (*)(Fields&)>;

/// The steps of part `name` ("normalizer", …); those of a Sequence stand under its key `list`, and may be Sequences
/// themselves. Throws Error naming the part, an unknown kind and the kinds known, or a Sequence too deep or too long.
template <typename Steps>
Steps parse_parts(const nlohmann::json& json, const std::string& name, const std::string& list,
                  const PartTable<Steps>& kinds, const std::string& where, size_t room = kMostSteps, int depth = 0) {
  if (json.is_null()) return {};
  Fields fields(json, where, name);
  fields.ignore_unknown();
  const std::string kind = fields.text("type", "");
  if (const auto found = kinds.find(kind); found != kinds.end()) return found->second(fields);
  if (kind != "Sequence") {
    std::string known;
    for (const auto& [each, make] : kinds) known += each + ", ";
    fields.fail("type", concat("expected one of ", known, "Sequence, found \"", kind, "\""));
  }
  if (depth == kDeepestSequence) {
    fields.fail("type", concat("expected at most ", kDeepestSequence, " Sequences inside each other"));
  }
  const nlohmann::json members = fields.raw(list);
  if (!members.is_array()) fields.fail(list, "expected a list");
  Steps steps;
  for (size_t i = 0; i < members.size(); ++i) {
    const std::string member = concat(name, ".", list, "[", i, "]");
    if (!members[i].is_object()) fields.fail(list, concat("expected objects, found ", members[i].type_name()));
    Steps more = parse_parts(members[i], member, list, kinds, where, room - steps.size(), depth + 1);
    if (more.size() > room - steps.size()) {
      fields.fail(list, concat("expected at most ", kMostSteps, " steps in all, found more"));
    }
    for (auto& step : more) steps.push_back(std::move(step));
  }
  return steps;
}

/// The pattern under `key`: {"String": …} or {"Regex": …}.
Regex parse_pattern(Fields& fields, const std::string& key);

/// The text under `key`, which is one character.
std::string parse_char(Fields& fields, const std::string& key, const std::string& fallback = "");

/// The text under `key`, of at most kLongestAffix bytes.
std::string parse_affix(Fields& fields, const std::string& key, const std::string& fallback);

}  // namespace loraxs
