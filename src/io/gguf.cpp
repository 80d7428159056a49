#include "io/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "io/error.h"

namespace loraxs {
namespace {

__extension__ typedef unsigned __int128 uint128;

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint32_t kMaxDimensions = 4;   // ggml's GGML_MAX_DIMS
constexpr int kMaxNesting = 4;           // of arrays; no known file nests them
constexpr uint64_t kLongestName = 1024;  // bytes of a key or a tensor's name; ggml's tensors have room for 63
// Published models have up to 60,000 tensors and 100 entries; each takes 300 bytes here, and as few as 13 in the file.
constexpr uint64_t kMostTensors = 1 << 18, kMostEntries = 1 << 16;
constexpr uint64_t kSmallestEntry = 8 + 4 + 1, kSmallestTensor = 8 + 4 + 4 + 8;  // bytes of a description at the least

struct KindInfo {
  GgufKind kind;
  const char* name;
  uint64_t bytes;  // 0: its own length comes first
};
constexpr std::array kKinds = {
    KindInfo{GgufKind::kUInt8, "uint8", 1},     KindInfo{GgufKind::kInt8, "int8", 1},
    KindInfo{GgufKind::kUInt16, "uint16", 2},   KindInfo{GgufKind::kInt16, "int16", 2},
    KindInfo{GgufKind::kUInt32, "uint32", 4},   KindInfo{GgufKind::kInt32, "int32", 4},
    KindInfo{GgufKind::kFloat32, "float32", 4}, KindInfo{GgufKind::kBool, "bool", 1},
    KindInfo{GgufKind::kString, "string", 0},   KindInfo{GgufKind::kArray, "array", 0},
    KindInfo{GgufKind::kUInt64, "uint64", 8},   KindInfo{GgufKind::kInt64, "int64", 8},
    KindInfo{GgufKind::kFloat64, "float64", 8},
};
const KindInfo& kind_info(GgufKind kind) { return kKinds[static_cast<size_t>(kind)]; }

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);  // the format is little-endian, and so are the machines we build for
  return value;
}

/// Walks over the header; whatever it hands out lies inside the file.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw Error(concat(where_, ": ", parts...));
  }
  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }
  std::span<const std::byte> since(uint64_t start) const { return bytes_.subspan(start, position_ - start); }

  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    if (count > left()) {
      fail(what, ": expected ", count, " bytes at ", position_, ", found ", left(),
           "; the file is truncated or its header lies");
    }
    const auto part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
  }
  template <typename T>
  T read(std::string_view what) {
    return load<T>(take(sizeof(T), what).data());
  }
  std::string_view text(std::string_view what) {
    const auto part = take(read<uint64_t>(what), what);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  /// The same for a key or the name of a tensor, which are never empty.
  std::string name(std::string_view what) {
    const std::string_view value = text(what);
    if (value.empty()) fail(what, ": expected a name, found an empty one");
    if (value.size() > kLongestName) {
      fail(what, ": expected a name of at most ", kLongestName, " bytes, found ", value.size());
    }
    return std::string(value);
  }
  /// A count of things, at most `most`, that take at least `smallest` bytes each.
  uint64_t count(uint64_t smallest, uint64_t most, std::string_view what) {
    const auto value = read<uint64_t>(what);
    if (value > left() / smallest) {
      fail(what, ": expected at most ", left() / smallest, ", which is all that the file has room for, found ", value,
           "; the file is truncated or its header lies");
    }
    if (value > most) fail(what, ": expected at most ", most, ", found ", value);
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string where_;
  uint64_t position_ = 0;
};

GgufKind read_kind(Cursor& cursor, std::string_view key) {
  const auto number = cursor.read<uint32_t>(key);
  if (number >= kKinds.size()) cursor.fail(key, ": expected a value type from 0 to 12, found ", number);
  return static_cast<GgufKind>(number);
}

/// Passes over `count` values of a type, checking them.
void skip_values(Cursor& cursor, GgufKind kind, uint64_t count, std::string_view key, int depth) {
  const uint64_t bytes = kind_info(kind).bytes;
  if (bytes > 0) {
    if (count > cursor.left() / bytes) {
      cursor.fail(key, ": expected at most ", cursor.left() / bytes, " elements, found ", count,
                  "; the file is truncated or its header lies");
    }
    for (const std::byte value : cursor.take(count * bytes, key)) {
      if (kind != GgufKind::kBool) break;
      if (std::to_integer<int>(value) > 1)
        cursor.fail(key, ": expected a bool 0 or 1, found ", std::to_integer<int>(value));
    }
    return;
  }
  if (depth > kMaxNesting) cursor.fail(key, ": expected arrays at most ", kMaxNesting, " deep, found deeper ones");
  for (uint64_t i = 0; i < count; ++i) {
    if (kind == GgufKind::kString) {
      cursor.text(key);
    } else {
      const GgufKind element = read_kind(cursor, key);
      skip_values(cursor, element, cursor.read<uint64_t>(key), key, depth + 1);
    }
  }
}

GgufValue read_value(Cursor& cursor, std::string_view key) {
  GgufValue value;
  const uint64_t start = cursor.position();
  value.kind = read_kind(cursor, key);
  uint64_t payload = cursor.position();
  if (value.kind == GgufKind::kArray) {
    value.element = read_kind(cursor, key);
    value.count = cursor.read<uint64_t>(key);
    payload = cursor.position();
    skip_values(cursor, value.element, value.count, key, 1);
  } else {
    if (value.kind == GgufKind::kString) payload += sizeof(uint64_t);
    skip_values(cursor, value.kind, 1, key, 0);
  }
  value.payload = cursor.since(payload);
  value.encoded = cursor.since(start);
  return value;
}

uint64_t read_alignment(const Gguf& gguf, const Cursor& cursor) {
  constexpr std::string_view kKey = "general.alignment";
  if (!gguf.has(kKey)) return kDefaultAlignment;
  const GgufValue& value = gguf.metadata.find(kKey)->second;
  const std::optional<int64_t> found = value.integer();
  const int64_t alignment = found.value_or(0);
  if (value.kind != GgufKind::kUInt32 || alignment < 8 || (alignment & (alignment - 1)) != 0) {
    cursor.fail(kKey, ": expected a power of two ≥ 8 as uint32, found ",
                found ? concat(alignment, " as ") : std::string(), gguf_kind_name(value.kind));
  }
  return static_cast<uint64_t>(alignment);
}

struct Placed {
  std::string name;
  GgufTensor tensor;
  uint64_t offset = 0, bytes = 0;
};

Placed read_tensor(Cursor& cursor, uint64_t number) {
  Placed placed;
  placed.name = cursor.name(concat("name of tensor ", number));
  const std::string& name = placed.name;
  const auto dimensions = cursor.read<uint32_t>(name);
  if (dimensions > kMaxDimensions) {
    cursor.fail(name, ": expected at most ", kMaxDimensions, " dimensions, found ", dimensions);
  }
  uint128 elements = 1;
  bool is_empty = false;  // whoever multiplies the sizes in another order must not overflow before the zero
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.read<uint64_t>(name);
    is_empty |= size == 0;
    elements *= std::max<uint64_t>(size, 1);
    if (elements > INT64_MAX) cursor.fail(name, ": dimensions: too large");
    placed.tensor.shape.insert(placed.tensor.shape.begin(), static_cast<int64_t>(size));
  }
  const auto type_number = cursor.read<uint32_t>(name);
  const auto type = find_block_type(type_number);
  if (!type) cursor.fail(name, ": type: expected a number that ggml knows, found ", type_number);
  placed.tensor.type = type->type;
  const int64_t row = placed.tensor.shape.empty() ? 1 : placed.tensor.shape.back();
  if (row % type->block_elements != 0) {
    cursor.fail(name, ": expected rows of whole ", type->name, " blocks of ", type->block_elements, ", found rows of ",
                row);
  }
  const uint128 bytes =
      elements / static_cast<uint64_t>(type->block_elements) * static_cast<uint64_t>(type->block_bytes);
  if (bytes > INT64_MAX) cursor.fail(name, ": dimensions: too large");
  placed.bytes = is_empty ? 0 : static_cast<uint64_t>(bytes);
  placed.offset = cursor.read<uint64_t>(name);
  return placed;
}

/// Where the tensors lie: inside the data, aligned, none over another.
void place(Gguf& gguf, std::vector<Placed>& tensors, std::span<const std::byte> data, const Cursor& cursor) {
  std::sort(tensors.begin(), tensors.end(), [](const Placed& x, const Placed& y) {
    return x.offset != y.offset ? x.offset < y.offset : x.bytes < y.bytes;
  });
  uint64_t end = 0;
  const Placed* before = nullptr;
  for (Placed& placed : tensors) {
    if (placed.offset % gguf.alignment != 0) {
      cursor.fail(placed.name, ": offset: expected a multiple of ", gguf.alignment, ", found ", placed.offset);
    }
    if (placed.offset > data.size() || placed.bytes > data.size() - placed.offset) {
      cursor.fail(placed.name, ": expected ", placed.bytes, " bytes at offset ", placed.offset, " of the ", data.size(),
                  " bytes of data; the file is truncated or its header lies");
    }
    if (placed.offset < end) {
      cursor.fail(placed.name, ": offset: expected at least ", end, ", where ", before->name, " ends, found ",
                  placed.offset, "; tensors must not overlap");
    }
    end = placed.offset + placed.bytes;
    before = &placed;
    placed.tensor.bytes = data.subspan(placed.offset, placed.bytes);
    placed.tensor.file = gguf.file;
    if (!gguf.tensors.emplace(placed.name, placed.tensor).second) cursor.fail(placed.name, ": stands twice");
  }
}

const GgufValue& value_at(const Gguf& gguf, std::string_view key, std::string_view expected) {
  const auto found = gguf.metadata.find(key);
  if (found == gguf.metadata.end()) {
    throw Error(concat(gguf.path.string(), ": ", key, ": expected ", expected, " in the metadata, found none"));
  }
  return found->second;
}

template <typename T>
T typed(const Gguf& gguf, std::string_view key, std::string_view expected, std::optional<T> (GgufValue::*get)() const) {
  const GgufValue& value = value_at(gguf, key, expected);
  if (auto result = (value.*get)()) return *std::move(result);
  const bool is_array = value.kind == GgufKind::kArray;
  throw Error(concat(gguf.path.string(), ": ", key, ": expected ", expected, ", found ", gguf_kind_name(value.kind),
                     is_array ? concat(" of ", gguf_kind_name(value.element)) : std::string()));
}

std::optional<int64_t> integer_at(GgufKind kind, const std::byte* at) {
  switch (kind) {
    case GgufKind::kUInt8:
      return load<uint8_t>(at);
    case GgufKind::kInt8:
      return load<int8_t>(at);
    case GgufKind::kUInt16:
      return load<uint16_t>(at);
    case GgufKind::kInt16:
      return load<int16_t>(at);
    case GgufKind::kUInt32:
      return load<uint32_t>(at);
    case GgufKind::kInt32:
      return load<int32_t>(at);
    case GgufKind::kUInt64: {
      const auto value = load<uint64_t>(at);
      return value > INT64_MAX ? std::nullopt : std::optional(static_cast<int64_t>(value));
    }
    case GgufKind::kInt64:
      return load<int64_t>(at);
    default:
      return std::nullopt;
  }
}

std::optional<double> number_at(GgufKind kind, const std::byte* at) {
  if (kind == GgufKind::kFloat32) return load<float>(at);
  if (kind == GgufKind::kFloat64) return load<double>(at);
  if (const auto value = integer_at(kind, at)) return static_cast<double>(*value);
  return std::nullopt;
}

template <typename T>
std::optional<std::vector<T>> elements_of(const GgufValue& value,
                                          std::optional<T> (*get)(GgufKind kind, const std::byte* at)) {
  if (value.kind != GgufKind::kArray) return std::nullopt;
  const uint64_t bytes = kind_info(value.element).bytes;
  if (bytes == 0) return std::nullopt;
  std::vector<T> result;
  result.reserve(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    const auto element = get(value.element, value.payload.data() + i * bytes);
    if (!element) return std::nullopt;
    result.push_back(*element);
  }
  return result;
}

}  // namespace

const char* gguf_kind_name(GgufKind kind) { return kind_info(kind).name; }

std::optional<int64_t> GgufValue::integer() const { return integer_at(kind, payload.data()); }
std::optional<double> GgufValue::number() const { return number_at(kind, payload.data()); }

std::optional<bool> GgufValue::boolean() const {
  return kind == GgufKind::kBool ? std::optional(payload[0] != std::byte{0}) : std::nullopt;
}

std::optional<std::string_view> GgufValue::text() const {
  if (kind != GgufKind::kString) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(payload.data()), payload.size());
}

std::optional<std::vector<std::string_view>> GgufValue::strings() const {
  if (kind != GgufKind::kArray || element != GgufKind::kString) return std::nullopt;
  std::vector<std::string_view> result;
  result.reserve(count);
  const std::byte* at = payload.data();
  for (uint64_t i = 0; i < count; ++i) {
    const auto length = load<uint64_t>(at);
    result.emplace_back(reinterpret_cast<const char*>(at + sizeof length), length);
    at += sizeof length + length;
  }
  return result;
}

std::optional<std::vector<int64_t>> GgufValue::integers() const {
  return elements_of<int64_t>(*this, [](GgufKind kind, const std::byte* at) {
    return kind == GgufKind::kBool ? std::optional<int64_t>(load<uint8_t>(at)) : integer_at(kind, at);
  });
}

std::optional<std::vector<double>> GgufValue::numbers() const { return elements_of<double>(*this, number_at); }

int64_t Gguf::integer(std::string_view key) const { return typed(*this, key, "an integer", &GgufValue::integer); }
double Gguf::number(std::string_view key) const { return typed(*this, key, "a number", &GgufValue::number); }
bool Gguf::boolean(std::string_view key) const { return typed(*this, key, "a bool", &GgufValue::boolean); }
std::string_view Gguf::text(std::string_view key) const { return typed(*this, key, "a string", &GgufValue::text); }
std::vector<std::string_view> Gguf::strings(std::string_view key) const {
  return typed(*this, key, "an array of strings", &GgufValue::strings);
}
std::vector<int64_t> Gguf::integers(std::string_view key) const {
  return typed(*this, key, "an array of integers", &GgufValue::integers);
}
std::vector<double> Gguf::numbers(std::string_view key) const {
  return typed(*this, key, "an array of numbers", &GgufValue::numbers);
}

const GgufTensor& Gguf::tensor(std::string_view name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    throw Error(concat(path.string(), ": expected a tensor ", name, ", found none of that name"));
  }
  return found->second;
}

bool is_gguf_path(const std::filesystem::path& path) { return path.extension() == ".gguf"; }

Gguf read_gguf(const std::filesystem::path& path) {
  Gguf gguf;
  gguf.path = path;
  gguf.file = MappedFile::open(path);
  const auto bytes = gguf.file->bytes();
  Cursor cursor(bytes, path.string());
  const auto magic = cursor.take(kMagic.size(), "magic");
  if (std::memcmp(magic.data(), kMagic.data(), kMagic.size()) != 0) {
    cursor.fail("magic: expected GGUF in the first four bytes, found something else; is this a GGUF file?");
  }
  gguf.version = cursor.read<uint32_t>("version");
  if (gguf.version != 2 && gguf.version != 3) {
    const bool swapped = (gguf.version & 0xFFFFU) == 0 && gguf.version != 0;
    cursor.fail("version: expected 2 or 3, found ", gguf.version,
                swapped ? "; this file is big-endian: gguf-convert-endian FILE little" : "; convert the model again");
  }
  // Both counts come before anything that they count: the first has to leave room for the second.
  const auto tensor_count = cursor.count(kSmallestTensor, kMostTensors, "number of tensors");
  const auto entry_count = cursor.count(kSmallestEntry, kMostEntries, "number of metadata entries");
  for (uint64_t i = 0; i < entry_count; ++i) {
    const std::string key = cursor.name(concat("key of metadata entry ", i));
    if (!gguf.metadata.emplace(key, read_value(cursor, key)).second) cursor.fail(key, ": stands twice");
  }
  gguf.alignment = read_alignment(gguf, cursor);
  std::vector<Placed> tensors;
  tensors.reserve(tensor_count);
  for (uint64_t i = 0; i < tensor_count; ++i) tensors.push_back(read_tensor(cursor, i));
  const uint64_t padding = (gguf.alignment - cursor.position() % gguf.alignment) % gguf.alignment;
  place(gguf, tensors, bytes.subspan(cursor.position() + std::min(padding, cursor.left())), cursor);
  return gguf;
}

}  // namespace loraxs
