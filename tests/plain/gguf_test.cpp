#include "io/gguf.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/error.h"
#include "io/fields.h"
#include "io/text_file.h"
#include "support/expect_error.h"
#include "support/gguf_bytes.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::counted_text;
using test::raw;

/// Header pieces of a file, to be told wrong one at a time.
struct Tensor {
  std::string name = "x";
  std::vector<uint64_t> sizes = {8};
  uint32_t type = 0;
  uint64_t offset = 0;
};
struct File {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> entries = {counted_text("general.architecture") + gguf_string("test")};
  std::vector<Tensor> tensors = {Tensor{}};
  uint64_t more_tensors = 0, more_entries = 0;  // beyond those that are there
  size_t data = 32;

  std::string bytes() const {
    std::string out = magic + raw(version) + raw<uint64_t>(tensors.size() + more_tensors) +
                      raw<uint64_t>(entries.size() + more_entries);
    for (const std::string& entry : entries) out += entry;
    for (const Tensor& tensor : tensors) {
      out += counted_text(tensor.name) + raw<uint32_t>(tensor.sizes.size());
      for (const uint64_t size : tensor.sizes) out += raw(size);
      out += raw(tensor.type) + raw(tensor.offset);
    }
    out.resize((out.size() + 31) / 32 * 32);
    return out + std::string(data, 'd');
  }
};

class GgufTest : public testing::Test {
 protected:
  Gguf read(const std::string& bytes) const {
    std::ofstream(folder / "t.gguf", std::ios::binary) << bytes;
    return read_gguf(folder / "t.gguf");
  }
  test::TemporaryFolder folder;
};

TEST_F(GgufTest, WhatIsWrittenIsRead) {
  const std::vector<std::string> words = {"a", "", "bc"};
  const std::vector<std::byte> values(24, std::byte{7}), blocks(68, std::byte{1});
  write_gguf(folder / "w.gguf",
             {{"a.text", gguf_string("hi")},
              {"a.count", gguf_uint32(7)},
              {"a.rate", gguf_float32(0.5F)},
              {"a.flag", gguf_bool(true)},
              {"a.words", gguf_strings(words)}},
             {{"one", BlockType::kF32, {2, 3}, [&] { return values; }},
              {"two", BlockType::kQ8_0, {1, 64}, [&] { return blocks; }}});
  const Gguf file = read_gguf(folder / "w.gguf");
  EXPECT_EQ(file.text("a.text"), "hi");
  EXPECT_EQ(file.integer("a.count"), 7);
  EXPECT_EQ(file.number("a.rate"), 0.5);
  EXPECT_TRUE(file.boolean("a.flag"));
  EXPECT_THAT(file.strings("a.words"), testing::ElementsAre("a", "", "bc"));
  EXPECT_EQ(file.tensor("one").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_TRUE(std::ranges::equal(file.tensor("one").bytes, values));
  EXPECT_EQ(file.tensor("two").type, BlockType::kQ8_0);
  EXPECT_TRUE(std::ranges::equal(file.tensor("two").bytes, blocks));
  EXPECT_ERROR(file.tensor("three"), "expected a tensor three");
  EXPECT_ERROR(file.integer("a.text"), "a.text: expected an integer, found string");
  EXPECT_ERROR(file.integers("a.words"), "a.words: expected an array of integers, found array of string");
  EXPECT_ERROR(file.integer("a.none"), "a.none: expected an integer in the metadata, found none");
}

TEST_F(GgufTest, ATruncatedFileIsAnErrorAtEveryLength) {
  File file;
  const std::vector<std::string> words = {"a", "bc"};
  file.entries.push_back(counted_text("words") + gguf_strings(words));
  file.entries.push_back(counted_text("flag") + gguf_bool(true));
  file.tensors.push_back({"y", {32, 3}, 8 /* Q8_0 */, 32});
  file.data = 32 + 3 * 34;
  file.version = 2;
  EXPECT_EQ(read(file.bytes()).tensors.size(), 2U);
  file.version = 3;
  const std::string bytes = file.bytes();
  EXPECT_EQ(read(bytes).tensors.size(), 2U);
  for (size_t length = 0; length < bytes.size(); ++length) {
    SCOPED_TRACE(length);
    EXPECT_ERROR(read(bytes.substr(0, length)), "t.gguf: ");
  }
}

TEST_F(GgufTest, ADamagedByteIsAnErrorOrAnotherFileNeverACrash) {
  File file;
  const std::vector<std::string> words = {"a", "bc"};
  file.entries.push_back(counted_text("words") + gguf_strings(words));
  const std::string bytes = file.bytes();
  for (size_t flip = 0; flip < (bytes.size() - file.data) * 2; ++flip) {
    std::string damaged = bytes;
    const int mask = flip % 2 == 0 ? 0xFF : 1 << (flip / 2 * 5 % 8);
    damaged[flip / 2] = static_cast<char>(damaged[flip / 2] ^ mask);
    try {
      const Gguf read_back = read(damaged);
      for (const auto& [key, value] : read_back.metadata) {
        value.strings();
        value.numbers();
      }
    } catch (const Error&) {
    }
  }
}

TEST_F(GgufTest, EveryLieOfAHeaderHasItsOwnSentence) {
  const auto check = [&](const std::string& message, const std::function<void(File&)>& lie) {
    SCOPED_TRACE(message);
    File file;
    lie(file);
    EXPECT_ERROR(read(file.bytes()), message);
  };
  const uint64_t huge = ~uint64_t{0};
  check("expected GGUF in the first four bytes", [](File& f) { f.magic = "GGML"; });
  check("version: expected 2 or 3, found 1", [](File& f) { f.version = 1; });
  check("big-endian", [](File& f) { f.version = 3U << 24; });
  check("number of tensors: expected at most", [&](File& f) { f.more_tensors = huge - 1; });
  check("number of tensors: expected at most", [&](File& f) { f.more_tensors = 1000; });
  check("number of metadata entries: expected at most", [&](File& f) { f.more_entries = huge - 1; });
  check("key of metadata entry 0: expected", [&](File& f) { f.entries = {raw(huge)}; });
  check("k: expected a value type from 0 to 12, found 13",
        [&](File& f) { f.entries = {counted_text("k") + raw(13U)}; });
  check("k: expected", [&](File& f) { f.entries = {counted_text("k") + raw(8U) + raw(huge)}; });
  check("k: expected at most",
        [&](File& f) { f.entries = {counted_text("k") + raw(9U) + raw(4U) + raw(huge / 4 + 2)}; });
  check("k: expected", [&](File& f) { f.entries = {counted_text("k") + raw(9U) + raw(8U) + raw(huge)}; });
  check("k: expected a bool 0 or 1, found 7", [&](File& f) { f.entries = {counted_text("k") + raw(7U) + '\7'}; });
  check("k: expected arrays at most 4 deep", [&](File& f) {
    std::string deep = counted_text("k") + raw(9U);
    for (int i = 0; i < 8; ++i) deep += raw(9U) + raw<uint64_t>(1);
    f.entries = {deep + raw(4U) + raw<uint64_t>(0)};
  });
  check("k: stands twice", [&](File& f) {
    f.entries = {counted_text("k") + gguf_bool(true), counted_text("k") + gguf_bool(true)};
  });
  for (const uint32_t alignment : {0U, 1U, 4U, 24U, 33U}) {
    check("general.alignment: expected a power of two",
          [&](File& f) { f.entries = {counted_text("general.alignment") + gguf_uint32(alignment)}; });
  }
  check("general.alignment: expected a power of two",
        [&](File& f) { f.entries = {counted_text("general.alignment") + gguf_string("32")}; });
  check("expected 32 bytes at offset 0 of the 0 bytes",
        [&](File& f) { f.entries = {counted_text("general.alignment") + gguf_uint32(1U << 31)}; });
  check("name of tensor 1: expected a name, found an empty one", [](File& f) { f.more_tensors = 1; });
  check("x: expected at most 4 dimensions, found 5", [](File& f) { f.tensors[0].sizes = {1, 1, 1, 1, 1}; });
  check("x: dimensions: too large", [&](File& f) { f.tensors[0].sizes = {huge}; });
  check("x: dimensions: too large", [](File& f) { f.tensors[0].sizes = {uint64_t{1} << 33, uint64_t{1} << 33}; });
  check("x: dimensions: too large", [](File& f) { f.tensors[0].sizes = {uint64_t{1} << 62}; });
  check("x: dimensions: too large", [&](File& f) { f.tensors[0].sizes = {huge, 0}; });
  check("x: type: expected a number that ggml knows, found 4", [](File& f) { f.tensors[0].type = 4; });
  check("x: type: expected a number that ggml knows, found 99", [](File& f) { f.tensors[0].type = 99; });
  check("whole Q4_K blocks of 256, found rows of 8", [](File& f) { f.tensors[0].type = 12; });
  check("x: offset: expected a multiple of 32, found 8", [](File& f) { f.tensors[0].offset = 8; });
  check("x: expected 32 bytes at offset 32 of the 32 bytes", [](File& f) { f.tensors[0].offset = 32; });
  check("x: expected 32 bytes at offset", [&](File& f) { f.tensors[0].offset = huge - 31; });
  check("tensors must not overlap", [](File& f) { f.tensors.push_back({"y", {8}, 0, 0}); });
  check("x: stands twice", [](File& f) { f.tensors.push_back({"x", {8}, 0, 32}), f.data = 64; });
}

TEST_F(GgufTest, ReadsWhatTheGgufPackageReads) {
  const std::filesystem::path oracles = std::getenv("LORAXS_ORACLES");
  for (const std::string name : {"metadata", "blocks", "smollm2"}) {
    SCOPED_TRACE(name);
    const nlohmann::json expected = read_json(oracles / "gguf" / (name + ".json"));
    const Gguf file = read_gguf(expected["path"].get<std::string>());
    EXPECT_EQ(file.metadata.size(), expected["metadata"].size());
    for (const auto& [key, value] : expected["metadata"].items()) {
      SCOPED_TRACE(key);
      if (key == "nested") {
        EXPECT_EQ(file.metadata.at(key).kind, GgufKind::kArray);
        EXPECT_FALSE(file.metadata.at(key).integers().has_value());
      } else if (value.is_boolean()) {
        EXPECT_EQ(file.boolean(key), value.get<bool>());
      } else if (value.is_number_integer()) {
        EXPECT_EQ(file.integer(key), value.get<int64_t>());
      } else if (value.is_number()) {
        EXPECT_EQ(file.number(key), value.get<double>());
      } else if (value.is_string()) {
        EXPECT_EQ(file.text(key), value.get<std::string>());
      } else if (value[0].is_string()) {
        const auto strings = file.strings(key);
        EXPECT_TRUE(std::ranges::equal(strings, value.get<std::vector<std::string>>()));
      } else if (value[0].is_number_integer()) {
        EXPECT_EQ(file.integers(key), value.get<std::vector<int64_t>>());
      } else {
        EXPECT_EQ(file.numbers(key), value.get<std::vector<double>>());
      }
    }
    EXPECT_EQ(file.tensors.size(), expected["tensors"].size());
    for (const auto& [key, value] : expected["tensors"].items()) {
      const GgufTensor& tensor = file.tensor(key);
      EXPECT_EQ(block_type_info(tensor.type).name, value["type"].get<std::string>());
      EXPECT_EQ(tensor.shape, value["shape"].get<std::vector<int64_t>>());
      EXPECT_EQ(tensor.bytes.data() - file.file->bytes().data(), value["offset"].get<int64_t>());
    }
  }
}

}  // namespace
}  // namespace loraxs
