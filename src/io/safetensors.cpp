#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/input_file.h"
#include "io/json.h"

namespace loraxs {
namespace {

__extension__ typedef unsigned __int128 uint128;

struct DtypeInfo {
  Dtype dtype;
  const char* name;
  int64_t bytes;
};

constexpr std::array kDtypes = {DtypeInfo{Dtype::kFloat64, "F64", 8}, DtypeInfo{Dtype::kFloat32, "F32", 4},
                                DtypeInfo{Dtype::kFloat16, "F16", 2}, DtypeInfo{Dtype::kBFloat16, "BF16", 2},
                                DtypeInfo{Dtype::kInt64, "I64", 8},   DtypeInfo{Dtype::kInt32, "I32", 4},
                                DtypeInfo{Dtype::kInt16, "I16", 2},   DtypeInfo{Dtype::kInt8, "I8", 1},
                                DtypeInfo{Dtype::kUInt8, "U8", 1},    DtypeInfo{Dtype::kBool, "BOOL", 1}};

const DtypeInfo& info(Dtype dtype) {
  const auto* found =
      std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeInfo& entry) { return entry.dtype == dtype; });
  if (found == kDtypes.end()) throw Error("expected a tensor of a dtype that is known, found another");
  return *found;
}

constexpr uint64_t kMaxHeader = 100'000'000;  // the reference implementation's own limit
constexpr size_t kLengthBytes = 8;

constexpr JsonLimits kHeaderLimits = {.unique_keys = true};

struct Entry {
  std::string name;
  uint64_t begin, end;
};

TensorView read_entry(const std::string& name, const nlohmann::json& value, const std::string& where,
                      uint64_t data_bytes, Entry& entry) {
  const auto fail = [&](const auto&... parts) { throw Error(concat(where, ": ", name, ": ", parts...)); };
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") || !value.contains("data_offsets")) {
    fail("expected an object with dtype, shape and data_offsets");
  }
  TensorView view;
  if (!value["dtype"].is_string()) fail("dtype: expected a name, found ", json_text(value["dtype"]));
  view.dtype_text = value["dtype"].get<std::string>();
  const auto* known =
      std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeInfo& i) { return view.dtype_text == i.name; });
  const bool is_known = known != kDtypes.end();
  view.dtype = is_known ? known->dtype : Dtype::kOther;
  if (!value["shape"].is_array()) fail("shape: expected a list, found ", value["shape"].dump());
  constexpr size_t kMostDimensions = 16;
  if (value["shape"].size() > kMostDimensions) fail("shape: expected at most ", kMostDimensions, " sizes, found more");
  uint128 bytes = is_known ? known->bytes : 1;
  bool empty = false;
  for (const auto& size : value["shape"]) {
    if (!size.is_number_unsigned()) fail("shape: expected non-negative integers, found ", size.dump());
    const auto count = size.get<uint64_t>();
    // A zero must not hide a product that strides would overflow with.
    empty = empty || count == 0;
    if (count > 0) bytes *= count;
    if (count > INT64_MAX || bytes > INT64_MAX) fail("shape: too large, expected below 2^63 bytes");
    view.shape.push_back(static_cast<int64_t>(count));
  }
  if (empty) bytes = 0;
  const auto& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    fail("data_offsets: expected two non-negative integers, found ", offsets.dump());
  }
  entry = {name, offsets[0].get<uint64_t>(), offsets[1].get<uint64_t>()};
  if (entry.begin > entry.end || entry.end > data_bytes) {
    fail("data_offsets: expected within the ", data_bytes, " bytes of data, found ", offsets.dump(),
         "; the file is truncated or damaged");
  }
  if (is_known && entry.end - entry.begin != static_cast<uint64_t>(bytes)) {
    fail("expected ", static_cast<uint64_t>(bytes), " bytes for its shape, found ", entry.end - entry.begin);
  }
  return view;
}

}  // namespace

int64_t dtype_bytes(Dtype dtype) { return info(dtype).bytes; }
const char* dtype_name(Dtype dtype) { return info(dtype).name; }

const TensorView& Safetensors::at(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end())
    throw Error(concat(path.string(), ": expected a tensor ", name, ", found none of that name"));
  return found->second;
}

const std::string& Safetensors::metadata_at(const std::string& key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    throw Error(
        concat(path.string(), ": expected metadata \"", key, "\", found none; was this file written by loraxs?"));
  }
  return found->second;
}

int64_t Safetensors::metadata_count(const std::string& key, int64_t fallback) const {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return fallback;
  const std::string& text = found->second;
  int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || value < 0) {
    throw Error(concat(path.string(), ": ", key, ": expected a whole number ≥ 0, found ", text));
  }
  return value;
}

Safetensors read_safetensors(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return parse_safetensors(file->bytes(), path, file);
}

Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::filesystem::path& path,
                              const std::shared_ptr<const MappedFile>& file) {
  const std::string where = path.string();
  if (bytes.size() < kLengthBytes) {
    throw Error(concat(where, ": expected a safetensors file, found ", bytes.size(), " bytes; the file is truncated"));
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  if (header_bytes > kMaxHeader) {  // any text reads as a length like that
    throw Error(concat(where, ": expected a safetensors file, found another kind"));
  }
  if (header_bytes > bytes.size() - kLengthBytes) {
    throw Error(concat(where, ": header: expected at most ", bytes.size() - kLengthBytes, " bytes, found a length of ",
                       header_bytes, "; the file is truncated"));
  }
  const nlohmann::json header =
      parse_json(std::string_view(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, header_bytes),
                 where + ": header", kHeaderLimits);
  if (!header.is_object()) throw Error(concat(where, ": header: expected an object"));
  const auto data = bytes.subspan(kLengthBytes + header_bytes);
  Safetensors result;
  result.path = path;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) throw Error(concat(where, ": __metadata__: expected an object"));
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string())
          throw Error(concat(where, ": __metadata__.", key, ": expected text, found ", text.dump()));
        result.metadata[key] = text.get<std::string>();
      }
      continue;
    }
    Entry entry;
    TensorView view = read_entry(name, value, where, data.size(), entry);
    view.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    view.file = file;
    entries.push_back(entry);
    result.tensors.emplace(name, std::move(view));
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& x, const Entry& y) { return x.begin != y.begin ? x.begin < y.begin : x.end < y.end; });
  uint64_t expected = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != expected) {
      throw Error(concat(where, ": ", entry.name, ": data_offsets: expected to start at ", expected, ", found ",
                         entry.begin, "; tensors must neither overlap nor leave holes"));
    }
    expected = entry.end;
  }
  if (expected != data.size()) {
    throw Error(concat(where, ": expected ", expected, " bytes of data, found ", data.size(), "; the file is damaged"));
  }
  return result;
}

std::map<std::string, std::string> parse_shard_index(std::string_view text, const std::string& where) {
  const nlohmann::json json = parse_json(text, where);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    throw Error(concat(where, ": weight_map: expected an object of tensor names and files"));
  }
  std::map<std::string, std::string> files;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    const std::string file = shard.is_string() ? shard.get<std::string>() : "";
    if (file.empty() || file == "." || file == ".." ||
        file.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
      throw Error(concat(where, ": weight_map.", name, ": expected a file name, found ", json_text(shard)));
    }
    files.emplace(name, file);
  }
  return files;
}

Safetensors read_safetensors_folder(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (std::filesystem::exists(single)) return read_safetensors(single);
  if (!std::filesystem::exists(index)) {
    std::string hint = "; fetch the folder again";
    if (std::filesystem::exists(folder / "pytorch_model.bin")) {
      hint = concat(
          "; convert pytorch_model.bin with: python -c \"import torch; from safetensors.torch import save_file; "
          "save_file({k: v.clone().contiguous() for k, v in torch.load('",
          (folder / "pytorch_model.bin").string(), "', weights_only=True).items()}, '", single.string(), "')\"");
    }
    throw Error(concat(folder.string(), ": expected model.safetensors, found none", hint));
  }
  std::map<std::string, Safetensors> shards;
  Safetensors result;
  result.path = index;
  for (const auto& [name, file_name] : parse_shard_index(read_file(index, JsonLimits().bytes), index.string())) {
    if (!shards.contains(file_name)) shards.emplace(file_name, read_safetensors(folder / file_name));
    result.tensors.emplace(name, shards.at(file_name).at(name));
  }
  return result;
}

std::vector<std::byte> serialize_safetensors(const std::map<std::string, TensorBytes>& tensors,
                                             const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", dtype_name(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }
  std::string text = header.dump();
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  const uint64_t header_bytes = text.size();
  std::vector<std::byte> bytes(kLengthBytes + header_bytes + offset);
  std::memcpy(bytes.data(), &header_bytes, kLengthBytes);
  std::memcpy(bytes.data() + kLengthBytes, text.data(), header_bytes);
  std::byte* at = bytes.data() + kLengthBytes + header_bytes;
  for (const auto& [name, tensor] : tensors) at = std::copy(tensor.bytes.begin(), tensor.bytes.end(), at);
  return bytes;
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, TensorBytes>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  write_file_atomically(path, serialize_safetensors(tensors, metadata));
}

}  // namespace loraxs
