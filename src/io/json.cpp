#include "io/json.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/error.h"
#include "io/input_file.h"

namespace loraxs {
namespace {

// Estimates of what a value takes with its share of the containers that hold it, the moment of their growth included.
constexpr size_t kValueBytes = 48, kTextBytes = 48, kContainerBytes = 96, kKeyBytes = 160;

template <typename Json>
using Members = std::vector<std::pair<std::string, Json>>;

/// Moves the members into an object; returns a key that stands twice, or nothing.
const std::string* fill(nlohmann::json::object_t& object, Members<nlohmann::json>& members) {
  const std::string* repeated = nullptr;
  for (auto& [key, value] : members) {
    if (!object.insert_or_assign(key, std::move(value)).second) repeated = &key;
  }
  return repeated;
}

/// The last value of a key takes the place of its first.
const std::string* fill(nlohmann::ordered_json::object_t& object, Members<nlohmann::ordered_json>& members) {
  const std::string* repeated = nullptr;
  std::unordered_map<std::string_view, size_t> places;
  object.reserve(members.size());
  for (auto& [key, value] : members) {
    const auto [found, fresh] = places.emplace(key, object.size());
    if (fresh) {
      object.emplace_back(key, std::move(value));
    } else {
      (object.begin() + static_cast<std::ptrdiff_t>(found->second))->second = std::move(value);
      repeated = &key;
    }
  }
  return repeated;
}

/// Builds a value from the parser's events; containers are filled when they close.
template <typename Json>
class JsonBuilder : public nlohmann::json_sax<Json> {
 public:
  JsonBuilder(std::string_view text, const std::string& where, const JsonLimits& limits)
      : text_(text), where_(where), limits_(limits) {}

  bool null() override { return add(Json(nullptr), 0); }
  bool boolean(bool value) override { return add(Json(value), 0); }
  bool number_integer(int64_t value) override { return add(Json(value), 0); }
  bool number_unsigned(uint64_t value) override { return add(Json(value), 0); }
  bool number_float(double value, const std::string&) override { return add(Json(value), 0); }
  bool string(std::string& value) override {
    const size_t bytes = kTextBytes + value.size();
    return add(Json(std::move(value)), bytes);
  }
  bool binary(typename Json::binary_t&) override { return false; }  // no such thing in texts
  bool start_object(size_t) override { return open(/*object=*/true); }
  bool start_array(size_t) override { return open(/*object=*/false); }
  bool key(std::string& name) override {
    charge(kKeyBytes + name.size());
    Frame& frame = frames_.back();
    if (frame.members.size() >= limits_.keys) {
      refuse(concat("expected at most ", limits_.keys, " keys in one object, found more"));
    }
    frame.members.emplace_back(std::move(name), Json());
    return true;
  }
  bool end_object() override {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    Json object = Json::object();
    const std::string* repeated = fill(object.template get_ref<typename Json::object_t&>(), frame.members);
    if (limits_.unique_keys && repeated != nullptr) refuse(concat(*repeated, " stands twice in one object"));
    return place(std::move(object));
  }
  bool end_array() override {
    Json array = Json::array();
    array.template get_ref<typename Json::array_t&>() = std::move(frames_.back().items);
    frames_.pop_back();
    return place(std::move(array));
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const size_t at = std::min(position, text_.size());
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    throw Error(concat(where_, line > 1 ? concat(":", line) : "", ": expected JSON: ", reason_of(error)));
  }

  Json take() { return std::move(root_); }

 private:
  struct Frame {
    bool is_object;
    Members<Json> members;              // of an object; the last one waits for its value
    typename Json::array_t items = {};  // of an array
  };

  [[noreturn]] void refuse(const std::string& problem) const { throw Error(concat(where_, ": ", problem)); }

  /// "[json.exception.parse_error.101] parse error at line 1, column 2: unexpected …" without what is in front.
  static std::string reason_of(const std::exception& error) {
    const std::string_view text = error.what();
    size_t begin = std::min(text.find("] ") + 2, text.size());
    if (text.substr(begin).starts_with("parse error")) begin = text.find(": ", begin) + 2;
    return shortened(text.substr(begin), 240);
  }

  void charge(size_t bytes) {
    memory_ += bytes;
    if (memory_ <= limits_.memory) return;
    refuse(concat("expected JSON that takes at most ", limits_.memory >> 20, " MB of memory, found more"));
  }

  bool open(bool object) {
    if (frames_.size() >= limits_.depth) {
      refuse(concat("expected JSON nested at most ", limits_.depth, " deep, found more"));
    }
    charge(kContainerBytes);
    frames_.push_back({.is_object = object});
    return true;
  }

  bool add(Json value, size_t bytes) {
    charge(kValueBytes + bytes);
    return place(std::move(value));
  }

  bool place(Json value) {
    if (frames_.empty()) {
      root_ = std::move(value);
    } else if (frames_.back().is_object) {
      frames_.back().members.back().second = std::move(value);
    } else {
      frames_.back().items.push_back(std::move(value));
    }
    return true;
  }

  std::string_view text_;
  const std::string& where_;
  const JsonLimits& limits_;
  std::vector<Frame> frames_;
  Json root_;
  size_t memory_ = 0;
};

template <typename Json>
Json parse_bounded(std::string_view text, const std::string& where, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    throw Error(concat(where, ": expected JSON of at most ", limits.bytes >> 20, " MB, found ", text.size(), " bytes"));
  }
  JsonBuilder<Json> builder(text, where, limits);
  Json::sax_parse(text, &builder);
  return builder.take();
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  return parse_bounded<nlohmann::json>(text, where, limits);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  return parse_bounded<nlohmann::ordered_json>(text, where, limits);
}

nlohmann::json json_or_null(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return nullptr;
  }
}

nlohmann::ordered_json ordered_json_or_null(std::string_view text) {
  try {
    return parse_ordered_json(text, "");
  } catch (const Error&) {
    return nullptr;
  }
}

nlohmann::json read_json(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_file(path, limits.bytes), path.string(), limits);
}

}  // namespace loraxs
