// The value format byte by byte, rounding of rows, and names.
#include "store/row_value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "io/error.h"
#include "store/row_numbers.h"
#include "support/expect_error.h"

namespace loraxs {
namespace {

const StoreUrl kUrl{.text = "lmdb:///s"};
const AdapterName kName{"anna", "support"};

std::vector<float> some_numbers(std::size_t count) {
  std::mt19937 generator(3);
  std::normal_distribution<float> normal(0, 0.3F);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(generator);
  return numbers;
}

std::vector<std::byte> some_value() {
  const std::vector<float> numbers = some_numbers(16);
  return encode_row_value(kName,
                          {.header = {.numbers = 16, .version = 3, .created = 1'700'000'000'000'000},
                           .row = std::as_bytes(std::span(numbers)),
                           .tail = "{\"a\":1}"},
                          "test");
}

TEST(RowValueTest, LiesAsTheFormatSays) {
  const std::vector<std::byte> value = some_value();
  ASSERT_EQ(value.size(), 112U + 64 + 7);
  EXPECT_EQ(std::memcmp(value.data(), "LXSROW1\n", 8), 0);
  const auto at = [&](std::size_t place) { return std::to_integer<int>(value[place]); };
  EXPECT_EQ(at(16), 1);   // format
  EXPECT_EQ(at(18), 0);   // float32
  EXPECT_EQ(at(20), 16);  // numbers
  EXPECT_EQ(at(24), 64);  // bytes of the row
  EXPECT_EQ(at(28), 7);   // bytes of the tail
  EXPECT_EQ(at(32), 3);   // version
  EXPECT_EQ(std::memcmp(value.data() + 112 + 64, "{\"a\":1}", 7), 0);
}

TEST(RowValueTest, EveryFlippedBitAndEveryLengthIsRefused) {
  const std::vector<std::byte> value = some_value();
  for (std::size_t i = 0; i < value.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<std::byte> flipped = value;
      flipped[i] ^= static_cast<std::byte>(1 << bit);
      EXPECT_THROW(decode_row_value(flipped, {kUrl, kName}), Error) << i;
    }
    EXPECT_THROW(decode_row_value(std::span(value).first(i), {kUrl, kName}), Error) << i;
  }
  EXPECT_NO_THROW(decode_row_value(value, {kUrl, kName}));
  const AdapterName other{"anna", "other"};
  EXPECT_ERROR(decode_row_value(value, {kUrl, other}), "its checksum (XXH3) is another");
}

TEST(RowValueTest, ANewerFormatIsNamed) {
  std::vector<std::byte> value = some_value();
  value[16] = std::byte{2};
  seal_row_value(value, kName);
  EXPECT_ERROR(decode_row_value(value, {kUrl, kName}), "a newer loraxs wrote it");
}

TEST(RowNumbersTest, RoundAsSaid) {
  const std::vector<float> numbers = some_numbers(1000);
  std::vector<float> back(numbers.size());
  decode_row(RowDtype::kFloat32, encode_row(numbers, RowDtype::kFloat32, {}, "x"), back);
  EXPECT_EQ(back, numbers);
  decode_row(RowDtype::kBFloat16, encode_row(numbers, RowDtype::kBFloat16, {}, "x"), back);
  for (std::size_t i = 0; i < back.size(); ++i) EXPECT_LE(std::abs(back[i] - numbers[i]), std::abs(numbers[i]) / 256);
  EXPECT_NE(back, numbers);
  const std::vector<std::uint32_t> segments = {100, 0, 900};
  const std::vector<std::byte> bytes = encode_row(numbers, RowDtype::kInt8, segments, "x");
  EXPECT_EQ(bytes.size(), 4 + 3 * 8 + 1000U);
  decode_row(RowDtype::kInt8, bytes, back);
  for (const auto& [begin, end] : {std::pair(0, 100), std::pair(100, 1000)}) {
    float largest = 0;
    for (int i = begin; i < end; ++i) largest = std::max(largest, std::abs(numbers[i]));
    for (int i = begin; i < end; ++i) EXPECT_LE(std::abs(back[i] - numbers[i]), largest / 127 * 0.501F) << i;
  }
  const std::vector<std::uint32_t> wrong = {10};
  EXPECT_ERROR(encode_row(numbers, RowDtype::kInt8, wrong, "x"),
               "expected segments of 1000 numbers together, found 10");
  const std::vector<float> huge = {3.4e38F};
  EXPECT_ERROR(encode_row(huge, RowDtype::kBFloat16, {}, "x"), "expected finite numbers");
}

TEST(ReferenceTest, ReadsWhatIsMeant) {
  const StoreReference full = parse_store_reference("lmdb:///data/store?map_gb=4#anna/support:v1@12");
  EXPECT_EQ(full.url.path, "/data/store");
  EXPECT_EQ(full.url.map_gb, 4U);
  EXPECT_EQ(full.adapter(), (AdapterName{"anna", "support:v1"}));
  EXPECT_EQ(full.version, 12U);
  EXPECT_TRUE(parse_store_reference("lmdb:///s#anna/su*").many);
  EXPECT_TRUE(parse_store_reference("lmdb:///s").tenant.empty());
  EXPECT_EQ(parse_store_reference("postgresql://u@h/d?host=/tmp#a/b").url.text, "postgresql://u@h/d?host=/tmp");
  EXPECT_FALSE(is_store_url("runs/a.safetensors"));
  EXPECT_FALSE(is_store_url("/tmp/a"));
}

TEST(ReferenceTest, RefusesWithASentence) {
  EXPECT_ERROR(parse_store_reference("redis://h/0#a/b"), "found the scheme redis");
  EXPECT_ERROR(parse_store_url("lmdb://"), "and a folder");
  EXPECT_ERROR(parse_store_url("lmdb:///s?size=3"), "expected map_gb=N");
  EXPECT_ERROR(parse_store_url("lmdb:///s?map_gb=0"), "expected map_gb=N");
  EXPECT_ERROR(parse_store_url("postgresql://u:secret@h/d"), "expected no password");
  EXPECT_ERROR(parse_store_reference("lmdb:///s#anna"), "without a /");
  EXPECT_ERROR(parse_store_reference("lmdb:///s#anna/a/b"), "name: expected 1 to 128 letters");
  EXPECT_ERROR(parse_store_reference("lmdb:///s#../b"), "tenant: expected 1 to 64 letters");
  EXPECT_ERROR(parse_store_reference("lmdb:///s#anna/a@0"), "version: expected a number from 1 on");
  EXPECT_ERROR(parse_store_reference("lmdb:///s#anna/a@b"), "version: expected a number from 1 on");
  EXPECT_ERROR(parse_store_reference("lmdb:///s#anna/").adapter(), "expected one adapter");
  EXPECT_ERROR(parse_store_reference("lmdb:///s#anna/" + std::string(10'240, 'a')), "of 10240 bytes");
}

}  // namespace
}  // namespace loraxs
