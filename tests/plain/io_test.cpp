#include <gmock/gmock.h>

#include <cstring>
#include <fstream>

#include "io/atomic_file.h"
#include "io/fields.h"
#include "io/safetensors.h"
#include "io/seeds.h"
#include "io/sha256.h"
#include "io/yaml.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

void write_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::byte> with_header(const std::string& header, size_t data_bytes) {
  std::vector<std::byte> bytes(8 + header.size() + data_bytes);
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

TEST(SafetensorsTest, WhatIsWrittenIsRead) {
  const test::TemporaryFolder folder;
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  write_safetensors(folder / "x.safetensors",
                    {{"b", {.dtype = Dtype::kFloat32, .shape = {2, 3}, .bytes = std::as_bytes(std::span(values))}},
                     {"a", {.dtype = Dtype::kInt8, .shape = {0}, .bytes = {}}}},
                    {{"format", "test"}});
  const Safetensors file = read_safetensors(folder / "x.safetensors");
  EXPECT_EQ(file.metadata.at("format"), "test");
  EXPECT_EQ(file.at("b").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(file.at("b").bytes.data(), values.data(), 24), 0);
  EXPECT_TRUE(file.at("a").bytes.empty());
  EXPECT_ERROR(file.at("c"), "expected a tensor c");
}

TEST(SafetensorsTest, ATruncatedFileIsAnErrorAtEveryLength) {
  const test::TemporaryFolder folder;
  const std::vector<float> values = {1, 2, 3};
  const auto bytes = serialize_safetensors(
      {{"x", {.dtype = Dtype::kFloat32, .shape = {3}, .bytes = std::as_bytes(std::span(values))}}}, {{"k", "v"}});
  for (size_t length = 0; length < bytes.size(); ++length) {
    write_bytes(folder / "t.safetensors", std::span(bytes).first(length));
    EXPECT_ERROR(read_safetensors(folder / "t.safetensors"), "t.safetensors");
  }
}

TEST(SafetensorsTest, EveryLieOfAHeaderHasItsOwnSentence) {
  const test::TemporaryFolder folder;
  const auto check = [&](const std::string& header, size_t data, const std::string& message) {
    SCOPED_TRACE(header);
    write_bytes(folder / "l.safetensors", with_header(header, data));
    EXPECT_ERROR(read_safetensors(folder / "l.safetensors"), message);
  };
  check(R"({"x":{"dtype":9,"shape":[1],"data_offsets":[0,4]}})", 4, "dtype: expected a name");
  EXPECT_ERROR(serialize_safetensors({{"x", {.dtype = Dtype::kOther, .shape = {0}, .bytes = {}}}}, {}),
               "dtype that is");
  EXPECT_ERROR(dtype_bytes(Dtype::kOther), "dtype that is known");
  check(R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "non-negative");
  check(R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4, "too large");
  check(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "expected 8 bytes");
  check(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4, "truncated or damaged");
  check(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "neither overlap nor leave holes");
  check(
      R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      4, "neither overlap");
  check(
      R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      4, "stands twice");
  check(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "expected 4 bytes of data");
  check(R"(["x"])", 0, "expected an object");
  check(R"({"x":)", 0, "expected JSON");
}

TEST(SafetensorsTest, FoldersReadShardsAndNameTheMissing) {
  const test::TemporaryFolder folder;
  const std::vector<float> value = {7};
  const TensorBytes tensor{.dtype = Dtype::kFloat32, .shape = {1}, .bytes = std::as_bytes(std::span(value))};
  write_safetensors(folder / "one.safetensors", {{"x", tensor}}, {});
  std::ofstream(folder / "model.safetensors.index.json")
      << R"({"weight_map":{"x":"one.safetensors","y":"two.safetensors"}})";
  EXPECT_ERROR(read_safetensors_folder(folder.path()), "two.safetensors: cannot open");
  write_safetensors(folder / "two.safetensors", {{"z", tensor}}, {});
  EXPECT_ERROR(read_safetensors_folder(folder.path()), "expected a tensor y");
  std::filesystem::remove(folder / "two.safetensors");
  write_safetensors(folder / "two.safetensors", {{"y", tensor}}, {});
  EXPECT_EQ(read_safetensors_folder(folder.path()).tensors.size(), 2U);
  const test::TemporaryFolder pickled;
  std::ofstream(pickled / "pytorch_model.bin") << "x";
  EXPECT_ERROR(read_safetensors_folder(pickled.path()), "save_file");
}

TEST(Sha256Test, PublishedVector) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(FieldsTest, UnknownKeysNameTheNearestKnownOne) {
  Fields fields(parse_yaml("learning_rte: 1.0e-3\nbatch: 3\n", "r.yaml"), "r.yaml", "train");
  fields.number("learning_rate", 0);
  fields.alias("batch", "batch_size");
  EXPECT_ERROR(fields.finish(), "train.batch: unknown key; here it is called batch_size");
  Fields other(parse_yaml("learning_rte: 1.0e-3\n", "r.yaml"), "r.yaml", "train");
  other.number("learning_rate", 0);
  EXPECT_ERROR(other.finish(), "r.yaml: train.learning_rte: unknown key; did you mean learning_rate?");
}

TEST(FieldsTest, TypesAreChecked) {
  Fields fields(parse_yaml("rank: 0\nname: \"16\"\nrate: fast\nlist: [1, 2]\nhalf: 0.5\n", "r.yaml"), "r.yaml");
  EXPECT_ERROR(fields.positive_int("rank", 1), "rank: expected an integer ≥ 1, found 0");
  EXPECT_EQ(fields.text("name", ""), "16");  // quoted scalars stay text
  EXPECT_ERROR(fields.number("rate", 0), "rate: expected a number");
  EXPECT_ERROR(fields.integer("half", 0), "half: expected an integer");
  EXPECT_THAT(fields.integers("list", {}), testing::ElementsAre(1, 2));
  EXPECT_ERROR(fields.choice("name", "", {"15", "160"}), "expected one of 15, 160");
  EXPECT_ERROR(parse_yaml("a: [1\nb: 2", "r.yaml"), "r.yaml:");
  EXPECT_ERROR(parse_yaml("a: 1\na: 2", "r.yaml"), "r.yaml:2: a stands twice");
}

TEST(SeedsTest, PhiloxKnownAnswers) {  // Random123's kat_vectors for philox4x32-10
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0U, ~0U, ~0U, ~0U}, ~0ULL), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822ULL),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(SeedsTest, PhiloxKnownAnswersOfSevenRounds) {  // the same file's philox4x32-7: dropout
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, 0, 7), (Words{0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48}));
  EXPECT_EQ(philox({~0U, ~0U, ~0U, ~0U}, ~0ULL, 7), (Words{0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662}));
}

TEST(SeedsTest, DrawsHaveTheirMomentsAndPermutationsAreComplete) {
  std::vector<float> values(100000);
  fill_normal(values, 7, 2.0);
  double sum = 0, squares = 0;
  for (const float value : values) sum += value, squares += static_cast<double>(value) * value;
  EXPECT_NEAR(sum / 1e5, 0, 0.03);
  EXPECT_NEAR(squares / 1e5, 4, 0.1);
  std::vector<int64_t> order = permutation(1000, 3);
  EXPECT_NE(order, permutation(1000, 4));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(order[i], i);
  EXPECT_NE(derive_seed(1, "a"), derive_seed(1, "b"));
}

}  // namespace
}  // namespace loraxs
