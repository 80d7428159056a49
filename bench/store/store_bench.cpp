// What a store of many small adapters costs: store_bench FOLDER ROWS NUMBERS
// Rows of NUMBERS in bfloat16 (RoBERTa-large, all four projections of the paper: 1,536 at r = 4, 24,576 at r = 16) with
// a tail as a trained adapter has it. Prints ratios of one run: file to rows, ingest to a plain file written and synced
// in pieces of the same size, a random read to a copy of as many bytes from random places in memory. Medians of 5.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "io/error.h"
#include "store/row_numbers.h"
#include "store/store.h"

namespace loraxs {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kBatch = 5'000, kRounds = 5, kReads = 100'000;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

AdapterName name_of(std::size_t index) {
  char text[32];
  std::snprintf(text, sizeof text, "user-%08zu", index);
  return {.tenant = "bench", .name = text};
}

/// The same every time, and of no use to a file system that compresses.
std::vector<std::byte> row_of(std::size_t index, std::size_t numbers) {
  std::mt19937_64 generator(index);
  std::vector<std::byte> row(numbers * 2);
  for (std::size_t at = 0; at < row.size(); at += 8) {
    // bfloat16 numbers below 2: the exponent's highest bit is off
    const std::uint64_t bits = generator() & 0xbfffbfffbfffbfffU;
    std::memcpy(row.data() + at, &bits, std::min<std::size_t>(8, row.size() - at));
  }
  return row;
}

const std::string& tail() {
  static const std::string text =
      R"({"gemm":"onednn 3.7 avx2","labels":["entailment","not_entailment"],"max_length":128,"precision":"float32",)"
      R"("task":"qnli","training":{"accuracy":0.7325,"best_epoch":2,"seed":0,"steps":1200}})";
  return text;
}

/// Seconds that the store takes, and that a plain file takes for the same bytes.
void ingest(Store& store, const std::filesystem::path& folder, std::size_t rows, std::size_t numbers,
            const Digest& kind) {
  double stored = 0, plain = 0;
  const std::filesystem::path file = folder / "plain";
  const int descriptor = ::open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  if (descriptor < 0) throw Error(file.string() + ": cannot be written");
  for (std::size_t begin = 0; begin < rows; begin += kBatch) {
    const std::size_t count = std::min(kBatch, rows - begin);
    std::vector<std::vector<std::byte>> bytes;
    std::vector<NewRow> batch;
    bytes.reserve(count);
    batch.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      bytes.push_back(row_of(begin + i, numbers));
      batch.push_back(
          {.name = name_of(begin + i),
           .header = {.dtype = RowDtype::kBFloat16, .numbers = static_cast<std::uint32_t>(numbers), .kind = kind},
           .row = bytes.back(),
           .tail = tail()});
    }
    const auto at = Clock::now();
    store.put(batch);
    stored += seconds_since(at);
    const auto then = Clock::now();
    for (const std::vector<std::byte>& row : bytes) {
      if (::write(descriptor, row.data(), row.size()) < 0) throw Error(file.string() + ": cannot be written");
    }
    ::fdatasync(descriptor);
    plain += seconds_since(then);
  }
  ::close(descriptor);
  std::filesystem::remove(file);
  const double megabytes = static_cast<double>(rows * numbers * 2) / 1e6;
  std::printf("ingest: %.0f rows/s, %.0f MB/s of rows; plain file in the same pieces %.0f MB/s; ratio %.2f\n",
              static_cast<double>(rows) / stored, megabytes / stored, megabytes / plain, plain / stored);
}

struct Latency {
  double p50 = 0, p99 = 0, rate = 0;  // µs, µs, reads/s
};

template <typename Read>
Latency measure(const Read& read) {
  std::vector<double> each(kReads);
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < kReads; ++i) {
    const auto at = Clock::now();
    read(i);
    each[i] = seconds_since(at) * 1e6;
  }
  const double all = seconds_since(begin);
  std::ranges::sort(each);
  return {.p50 = each[kReads / 2], .p99 = each[kReads * 99 / 100], .rate = kReads / all};
}

/// Reads of random names among the first `rows`, as float32 into a bank of 4,096 rows.
Latency read_random(Store& store, std::size_t rows, std::size_t numbers) {
  std::vector<float> bank(4'096 * numbers);
  std::mt19937_64 generator(11);
  std::vector<AdapterName> names;
  names.reserve(kReads);
  for (std::size_t i = 0; i < kReads; ++i) names.push_back(name_of(generator() % rows));
  return measure([&](std::size_t i) {
    const std::span row = std::span(bank).subspan(i % 4'096 * numbers, numbers);
    store.read(names[i], 0, [&](const RowValue& value) { decode_row(value.header.dtype, value.row, row); });
  });
}

Latency copy_random(const std::vector<std::byte>& memory, std::size_t bytes) {
  std::vector<std::byte> bank(4'096 * bytes);
  std::mt19937_64 generator(12);
  return measure([&](std::size_t i) {
    std::memcpy(bank.data() + i % 4'096 * bytes, memory.data() + generator() % (memory.size() - bytes), bytes);
  });
}

void say(const char* what, const std::vector<Latency>& rounds) {
  std::vector<double> p50, p99, rate;
  for (const Latency& each : rounds) {
    p50.push_back(each.p50);
    p99.push_back(each.p99);
    rate.push_back(each.rate);
  }
  std::printf("%s: p50 %.2f µs, p99 %.2f µs, %.0f/s\n", what, median(p50), median(p99), median(rate));
}

int run(const std::filesystem::path& folder, std::size_t rows, std::size_t numbers) {
  const std::filesystem::path place = folder / "bench.store";
  std::filesystem::remove_all(place);
  const StoreUrl url = parse_store_url("lmdb://" + place.string());
  {
    const auto store = open_store(url, OpenStore::kCreate);
    const std::string kind = kind_text(
        {{"alpha", 16.0}, {"base_id", "bench"}, {"format", "loraxs-kind-1"}, {"layout", {{"method", "lora_xs"}}}});
    const Digest digest = digest_of_bytes(std::as_bytes(std::span(kind)));
    store->put_shared(SharedKind::kKind, digest, kind);
    ingest(*store, folder, rows, numbers, digest);
  }
  std::vector<double> opens;
  for (std::size_t i = 0; i < kRounds; ++i) {
    const auto at = Clock::now();
    open_store(url);
    opens.push_back(seconds_since(at) * 1e3);
  }
  const auto store = open_store(url);
  const StoreStat stat = store->stat();
  const double row_bytes = static_cast<double>(rows * numbers * 2);
  std::printf("file: %.0f MB, %.3f times the rows; %.0f bytes an adapter; opened in %.2f ms\n",
              static_cast<double>(stat.file_bytes) / 1e6, static_cast<double>(stat.file_bytes) / row_bytes,
              static_cast<double>(stat.file_bytes) / static_cast<double>(rows), median(opens));
  for (std::size_t i = 0; i < rows; ++i) store->read(name_of(i), 0, [](const RowValue&) {});  // warm
  std::vector<std::byte> memory(std::min<std::size_t>(rows * numbers * 2, std::size_t{3} << 30), std::byte{1});
  std::vector<Latency> all, few, copies;
  for (std::size_t round = 0; round < kRounds; ++round) {
    all.push_back(read_random(*store, rows, numbers));
    few.push_back(read_random(*store, 1'000, numbers));
    copies.push_back(copy_random(memory, numbers * 2));
  }
  say("get of all", all);
  say("get of 1,000", few);
  say("copy of the bytes from random places", copies);
  return 0;
}

}  // namespace
}  // namespace loraxs

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "store_bench FOLDER ROWS NUMBERS\n");
    return 2;
  }
  try {
    return loraxs::run(argv[1], std::stoul(argv[2]), std::stoul(argv[3]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_bench: %s\n", error.what());
    return 2;
  }
}
