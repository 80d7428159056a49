// Values of a store: what is accepted encodes to the same bytes, and its numbers stay within the row. The first byte
// says whether the checksum is put right first, so that what is behind it is reached.
#include <cstdlib>
#include <span>
#include <vector>

#include "io/error.h"
#include "store/row_numbers.h"
#include "store/row_value.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  if (size == 0) return 0;
  static const AdapterName name{"anna", "a"};
  static const StoreUrl url{.text = "lmdb:///s"};
  const auto input = std::as_bytes(std::span(data, size)).subspan(1);
  std::vector<std::byte> bytes(input.begin(), input.end());
  if (data[0] % 2 == 1) seal_row_value(bytes, name);
  try {
    const RowValue value = decode_row_value(bytes, {url, name});
    std::vector<float> numbers(value.header.numbers);
    decode_row(value.header.dtype, value.row, numbers);
    if (encode_row_value(name, value, "again") != bytes) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
