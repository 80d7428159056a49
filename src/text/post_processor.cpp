#include "text/post_processor.h"

#include <algorithm>
#include <limits>
#include <map>

#include "io/error.h"
#include "io/fields.h"
#include "text/json_part.h"

namespace loraxs {
namespace {

using Element = PostProcessor::Element;
using Kind = Element::Kind;

/// Lengths to keep of two texts, as tokenizers' LongestFirst: the shorter one is spared while it fits in half.
std::pair<size_t, size_t> longest_first(size_t first, size_t second, size_t room) {
  if (first + second <= room) return {first, second};
  size_t shorter = std::min(first, second);
  size_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = shorter + room % 2;
  }
  return first > second ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

int32_t require_id(const TokenLookup& id_of, const std::string& token, const std::string& where) {
  const auto id = id_of(token);
  if (!id) throw Error(concat(where, ": post_processor: expected ", token, " in the vocabulary, found none"));
  return *id;
}

/// An id of a token or of a token's type: the model looks it up in a table.
int32_t checked_id(const Fields& fields, const std::string& key, const nlohmann::json& value) {
  const bool is_id = value.is_number_integer() && value >= 0 && value <= std::numeric_limits<int32_t>::max();
  if (!is_id) {
    fields.fail(key, concat("expected ids from 0 on, found ", value.is_number() ? value.dump() : value.type_name()));
  }
  return value.get<int32_t>();
}

/// The ids of TemplateProcessing's special tokens: {"[CLS]": {"ids": [101], …}, …}.
std::map<std::string, std::vector<int32_t>> parse_special_tokens(Fields& fields) {
  const std::string key = "special_tokens";
  const nlohmann::json tokens = fields.raw(key);
  if (!tokens.is_object() && !tokens.is_null())
    fields.fail(key, concat("expected an object, found ", tokens.type_name()));
  std::map<std::string, std::vector<int32_t>> result;
  for (const auto& [name, token] : tokens.items()) {
    const std::string place = concat(key, ".", name, ".ids");
    if (!token.is_object() || !token.contains("ids") || !token["ids"].is_array()) fields.fail(place, "expected a list");
    for (const auto& id : token["ids"]) result[name].push_back(checked_id(fields, place, id));
  }
  return result;
}

/// TemplateProcessing's list of {"SpecialToken": {id, type_id}} and {"Sequence": {id: A|B, type_id}}.
std::vector<Element> parse_template(Fields& fields, const std::string& key,
                                    const std::map<std::string, std::vector<int32_t>>& special_tokens,
                                    const TokenLookup& id_of) {
  std::vector<Element> elements;
  const nlohmann::json list = fields.raw(key);
  if (!list.is_array() && !list.is_null()) fields.fail(key, concat("expected a list, found ", list.type_name()));
  for (const auto& item : list) {
    const bool is_special = item.is_object() && item.contains("SpecialToken");
    const char* kind = is_special ? "SpecialToken" : "Sequence";
    const nlohmann::json part = item.is_object() && item.contains(kind) ? item[kind] : nlohmann::json();
    if (!part.is_object() || !part.contains("id") || !part["id"].is_string() || !part.contains("type_id")) {
      fields.fail(key, "expected SpecialToken and Sequence entries, each with id and type_id, found something else");
    }
    const auto id = part["id"].get<std::string>();
    const int32_t type_id = checked_id(fields, key, part["type_id"]);
    if (!is_special) {
      elements.push_back({id == "A" ? Kind::kFirst : Kind::kSecond, 0, type_id});
    } else if (const auto found = special_tokens.find(id); found != special_tokens.end()) {
      for (const int32_t each : found->second) elements.push_back({Kind::kSpecial, each, type_id});
    } else {
      elements.push_back({Kind::kSpecial, require_id(id_of, id, fields.where()), type_id});
    }
    constexpr size_t kMostElements = 1000;
    if (elements.size() > kMostElements)
      fields.fail(key, concat("expected at most ", kMostElements, " ids, found more"));
  }
  return elements;
}

/// The ["token", id] of BertProcessing and RobertaProcessing.
int32_t parse_token(Fields& fields, const std::string& key, const TokenLookup& id_of) {
  const nlohmann::json pair = fields.raw(key);
  if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string()) fields.fail(key, "expected [token, id]");
  return require_id(id_of, pair[0], fields.where());
}

}  // namespace

int32_t PostProcessor::highest_id() const {
  int32_t highest = -1;
  for (const auto* elements : {&single, &pair}) {
    for (const Element& e : *elements) {
      if (e.kind == Kind::kSpecial) highest = std::max(highest, e.id);
    }
  }
  return highest;
}

int32_t PostProcessor::highest_type_id() const {
  int32_t highest = 0;
  for (const auto* elements : {&single, &pair}) {
    for (const Element& e : *elements) highest = std::max(highest, e.type_id);
  }
  return highest;
}

std::vector<int32_t> PostProcessor::before() const {
  std::vector<int32_t> ids;
  for (auto each = single.begin(); each != single.end() && each->kind == Kind::kSpecial; ++each) {
    ids.push_back(each->id);
  }
  return ids;
}

std::vector<int32_t> PostProcessor::after() const {
  std::vector<int32_t> ids;
  auto each = std::find_if(single.begin(), single.end(), [](const Element& e) { return e.kind == Kind::kFirst; });
  for (; each != single.end(); ++each) {
    if (each->kind == Kind::kSpecial) ids.push_back(each->id);
  }
  return ids;
}

Encoding PostProcessor::assemble(std::vector<int32_t> first, std::optional<std::vector<int32_t>> second,
                                 int64_t max_length) const {
  const std::vector<Element>& around = second ? pair : single;
  const auto added =
      std::count_if(around.begin(), around.end(), [](const Element& e) { return e.kind == Kind::kSpecial; });
  if (max_length <= added)
    throw Error(concat("max_length: expected more than the ", added, " special tokens, found ", max_length));
  std::vector<int32_t> other = second ? std::move(*second) : std::vector<int32_t>();
  const auto [keep_first, keep_second] =
      longest_first(first.size(), other.size(), static_cast<size_t>(max_length - added));
  Encoding encoding;
  encoding.truncated = keep_first < first.size() || keep_second < other.size();
  first.resize(keep_first);
  other.resize(keep_second);
  for (const Element& element : around) {
    const auto append = [&](const std::vector<int32_t>& ids) {
      encoding.input_ids.insert(encoding.input_ids.end(), ids.begin(), ids.end());
    };
    if (element.kind == Kind::kSpecial) encoding.input_ids.push_back(element.id);
    if (element.kind == Kind::kFirst) append(first);
    if (element.kind == Kind::kSecond) append(other);
    encoding.token_type_ids.resize(encoding.input_ids.size(), element.type_id);
  }
  return encoding;
}

void PostProcessor::add_to(Sha256& digest) const {
  for (const auto* elements : {&single, &pair}) {
    for (const Element& e : *elements) digest.update(concat(static_cast<int>(e.kind), ' ', e.id, ' ', e.type_id, '\n'));
  }
}

PostProcessor parse_post_processor(const nlohmann::json& json, const TokenLookup& id_of, const std::string& where,
                                   int depth) {
  PostProcessor result;
  Fields fields(json, where, "post_processor");
  fields.ignore_unknown();
  const std::string kind = fields.text("type", "");
  if (json.is_null() || kind == "ByteLevel") return result;  // ByteLevel changes offsets alone
  if (kind == "Sequence") {
    if (depth == kDeepestSequence) {
      fields.fail("type", concat("expected at most ", kDeepestSequence, " Sequences inside each other"));
    }
    const nlohmann::json members = fields.raw("processors");
    if (!members.is_array()) fields.fail("processors", "expected a list");
    int templates = 0;
    for (const auto& member : members) {
      if (!member.is_object()) fields.fail("processors", concat("expected objects, found ", member.type_name()));
      if (member.value("type", nlohmann::json()) == "ByteLevel") continue;
      if (++templates > 1) fields.fail("processors", "expected at most one that adds tokens, found more");
      result = parse_post_processor(member, id_of, where, depth + 1);
    }
    return result;
  }
  if (kind == "TemplateProcessing") {
    const auto special_tokens = parse_special_tokens(fields);
    result.single = parse_template(fields, "single", special_tokens, id_of);
    result.pair = parse_template(fields, "pair", special_tokens, id_of);
    return result;
  }
  if (kind != "BertProcessing" && kind != "RobertaProcessing") {
    fields.fail("type", concat("expected one of BertProcessing, ByteLevel, RobertaProcessing, Sequence, "
                               "TemplateProcessing, found \"",
                               kind, "\""));
  }
  const Element cls = {Kind::kSpecial, parse_token(fields, "cls", id_of)};
  Element sep = {Kind::kSpecial, parse_token(fields, "sep", id_of)};
  const Element first = {Kind::kFirst};
  result.single = {cls, first, sep};
  if (kind == "RobertaProcessing") {  // one type; two separators
    result.pair = {cls, first, sep, sep, {Kind::kSecond}, sep};
  } else {
    result.pair = {cls, first, sep, {Kind::kSecond, 0, 1}};
    sep.type_id = 1;
    result.pair.push_back(sep);
  }
  return result;
}

}  // namespace loraxs
