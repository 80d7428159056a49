#include "store/shared_object.h"

#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"

namespace loraxs {
namespace {

constexpr const char* kKindFormat = "loraxs-kind-1";

}  // namespace

std::string kind_text(const nlohmann::json& kind) { return kind.dump(); }

nlohmann::json parse_kind(std::string_view text, const std::string& where) {
  nlohmann::json kind = parse_json(text, where, {.bytes = kKindBytes, .unique_keys = true});
  Fields fields(kind, where, "kind");
  const std::string format = fields.text("format", "");
  if (format != kKindFormat) {
    fields.fail("format", concat("expected ", kKindFormat, ", found \"", shortened(format, 40), "\"",
                                 format.starts_with("loraxs-kind-") ? "; a newer loraxs wrote it" : ""));
  }
  const auto required = [&](const char* key) {
    std::string value = fields.text(key, "");
    if (value.empty()) fields.fail(key, "expected a text, found none");
    return value;
  };
  required("base_id");
  fields.positive_number("alpha", 1);
  if (!fields.has("alpha")) fields.fail("alpha", "expected a number, found none");
  Fields layout = fields.object("layout");
  layout.ignore_unknown();
  if (layout.text("method", "").empty()) layout.fail("method", "expected a name, found none");
  if (layout.has("labels")) layout.fail("labels", "expected none, as they are each adapter's own");
  fields.object("basis").ignore_unknown();
  fields.text("basis_id", "");
  fields.text("fingerprint", "");
  fields.text("tokenizer", "");
  fields.finish();
  const auto is_canonical = [&] {
    try {
      return kind_text(kind) == text;
    } catch (const nlohmann::json::exception&) {  // no UTF-8
      return false;
    }
  };
  if (!is_canonical()) {
    throw Error(concat(where, ": expected the kind's JSON with sorted keys and no blanks, found another spelling"));
  }
  return kind;
}

void check_shared(SharedKind kind, const Digest& digest, std::string_view bytes, const std::string& where) {
  if (digest_of_bytes(std::as_bytes(std::span(bytes))) == digest) return;
  throw Error(concat(where, ": damaged: ", kind == SharedKind::kKind ? "kind " : "basis ",
                     digest_hex(digest).substr(0, 16), "… has another SHA-256 than its name; loraxs store verify ",
                     "lists what is damaged"));
}

}  // namespace loraxs
