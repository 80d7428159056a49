// io/fields.h: an object of a JSON or YAML file that knows where it came from, read strictly.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "io/json.h"

namespace loraxs {

/// Edit distance based: the known name closest to `name`, or nothing if none is near.
std::optional<std::string> nearest_name(const std::string& name, const std::vector<std::string>& known);

/// One object. Every getter takes the key and the value to use when the key is absent (or null), checks the type and
/// throws Error "WHERE: PREFIX.KEY: expected …, found …". finish() throws for keys nobody read, naming the nearest
/// known one.
class Fields {
 public:
  /// `where` starts every message: a file name. `prefix` is the dotted path of this object inside it.
  Fields(nlohmann::json object, std::string where, std::string prefix = "");

  bool has(const std::string& key) const;      // present and not null; counts as neither read nor known
  bool is_null(const std::string& key) const;  // present and null
  int64_t integer(const std::string& key, int64_t fallback);
  int64_t positive_int(const std::string& key, int64_t fallback, int64_t most = INT64_MAX);      // 1 to `most`
  int64_t non_negative_int(const std::string& key, int64_t fallback, int64_t most = INT64_MAX);  // 0 to `most`
  double number(const std::string& key, double fallback);
  double positive_number(const std::string& key, double fallback);      // > 0
  double non_negative_number(const std::string& key, double fallback);  // ≥ 0
  double fraction(const std::string& key, double fallback);             // in [0, 1]
  bool boolean(const std::string& key, bool fallback);
  std::string text(const std::string& key, const std::string& fallback);
  std::string choice(const std::string& key, const std::string& fallback, const std::vector<std::string>& allowed);
  // Lists: one value counts as a list of one. An empty list is an error, but in files of others (ignore_unknown).
  // Numbers and integers are exact or refused: above 2^53 no integer passes through float64.
  std::vector<std::string> strings(const std::string& key, const std::vector<std::string>& fallback);
  std::vector<double> numbers(const std::string& key, const std::vector<double>& fallback);
  std::vector<int64_t> integers(const std::string& key, const std::vector<int64_t>& fallback);
  std::map<std::string, int64_t> counts(const std::string& key);  // object of integers ≥ 1; empty if absent
  /// The object under `key` (empty if absent), as Fields of its own; the caller finishes it.
  Fields object(const std::string& key);
  /// The value as it is (null if absent), marked as read.
  nlohmann::json raw(const std::string& key);
  /// Ignores keys nobody reads: for files of others (config.json).
  void ignore_unknown() { strict_ = false; }
  /// Names that other programs use for a key of ours: the error for `alias` then says which key to write.
  void alias(const std::string& alias, const std::string& key);

  /// The value as it is, or null if it is absent or null; counts as neither read nor known.
  const nlohmann::json* peek(const std::string& key) const;
  std::vector<std::string> keys() const;
  /// Keys with a value that nobody has read.
  std::vector<std::string> unread() const;

  [[noreturn]] void fail(const std::string& key,
                         const std::string& message) const;  // Error "where: prefix.key: message"
  void finish() const;

  const std::string& where() const { return where_; }

 private:
  const nlohmann::json* find(const std::string& key);
  int64_t integer_from(int64_t least, int64_t most, const std::string& key, int64_t fallback);
  void refuse_empty(const std::string& key, const nlohmann::json& list) const;
  nlohmann::json object_;
  std::string where_;
  std::string prefix_;
  bool strict_ = true;
  std::set<std::string> known_;
  std::map<std::string, std::string> aliases_;
};

}  // namespace loraxs
