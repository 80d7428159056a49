#include "text/post_processor.h"

#include <algorithm>

#include "io/error.h"
#include "io/fields.h"

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

/// TemplateProcessing's list of {"SpecialToken": {id, type_id}} and {"Sequence": {id: A|B, type_id}}.
std::vector<Element> parse_template(Fields& fields, const std::string& key, const nlohmann::json& special_tokens,
                                    const TokenLookup& id_of) {
  std::vector<Element> elements;
  const nlohmann::json list = fields.raw(key);
  try {
    for (const auto& item : list) {
      if (!item.contains("SpecialToken")) {
        const auto& sequence = item.at("Sequence");
        elements.push_back({sequence.at("id") == "A" ? Kind::kFirst : Kind::kSecond, 0, sequence.at("type_id")});
        continue;
      }
      const auto& token = item.at("SpecialToken");
      const auto name = token.at("id").get<std::string>();
      if (const auto found = special_tokens.find(name); found != special_tokens.end()) {
        for (const auto& id : found->at("ids")) elements.push_back({Kind::kSpecial, id, token.at("type_id")});
      } else {
        elements.push_back({Kind::kSpecial, require_id(id_of, name, fields.where()), token.at("type_id")});
      }
    }
  } catch (const nlohmann::json::exception& error) {
    fields.fail(key, concat("expected SpecialToken and Sequence entries (", error.what(), ")"));
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

PostProcessor parse_post_processor(const nlohmann::json& json, const TokenLookup& id_of, const std::string& where) {
  PostProcessor result;
  Fields fields(json, where, "post_processor");
  fields.ignore_unknown();
  const std::string kind = fields.text("type", "");
  if (json.is_null() || kind == "ByteLevel") return result;  // ByteLevel changes offsets alone
  if (kind == "Sequence") {
    const nlohmann::json members = fields.raw("processors");
    int templates = 0;
    for (const auto& member : members.is_array() ? members : nlohmann::json::array()) {
      if (member.is_object() && member.value("type", nlohmann::json()) == "ByteLevel") continue;
      if (++templates > 1) fields.fail("processors", "expected at most one that adds tokens, found more");
      result = parse_post_processor(member, id_of, where);
    }
    return result;
  }
  if (kind == "TemplateProcessing") {
    const nlohmann::json special_tokens = fields.raw("special_tokens");
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
