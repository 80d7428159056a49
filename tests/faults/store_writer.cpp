// Writes a store and checks one, for store_faults.py.
// store_writer write URL BATCHES [SEED]: puts batches; a line "name version seed" for each row whose put has returned.
//                                         Now and then it compacts.
// store_writer check URL: reads such lines; 0 when every one of them is in the store, whole, and whatever else is there
// is whole. store_writer race URL SECONDS SEED: reads at random until then; "reads N" at the end, 1 at the first wrong
// row.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <random>
#include <sstream>

#include "io/error.h"
#include "io/mapped_file.h"
#include "support/store_rows.h"

namespace loraxs::test {
namespace {

constexpr std::uint64_t kNames = 23, kRowsOfBatch = 6;

std::string tail_of(std::uint64_t seed) { return "{\"seed\":" + std::to_string(seed) + "}"; }

/// A row says which it is: seed and numbers must belong together.
bool is_whole(std::span<const std::byte> row, std::string_view tail) {
  const std::string digits(tail.substr(std::min<std::size_t>(tail.size(), 8)));
  const std::uint64_t seed = std::strtoull(digits.c_str(), nullptr, 10);
  return tail == tail_of(seed) && std::ranges::equal(row, random_row(seed, 700 + seed % 500));
}

int write_batches(Store& store, std::uint64_t batches, std::uint64_t first) {
  const Digest kind = put_kind(store);
  std::uint64_t seed = first;
  constexpr std::uint64_t kCompactEach = 9;
  for (std::uint64_t batch = 1; batch <= batches; ++batch) {
    std::vector<std::vector<std::byte>> bytes;
    std::vector<NewRow> rows;
    bytes.reserve(kRowsOfBatch);
    rows.reserve(kRowsOfBatch);
    for (std::uint64_t i = 0; i < kRowsOfBatch; ++i, ++seed) {
      bytes.push_back(random_row(seed, 700 + seed % 500));
      rows.push_back(new_row({"anna", "n" + std::to_string(seed * 7 % kNames)}, bytes.back(), kind, tail_of(seed)));
    }
    const std::vector<PutResult> results = store.put(rows, /*keep=*/batch % 2 == 0 ? 4 : 0);
    std::string lines;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      lines += rows[i].name.name + " " + std::to_string(results[i].version) + " " + rows[i].tail.substr(8) + "\n";
    }
    std::cout << lines << std::flush;
    if (batch % kCompactEach == 0) store.compact();
  }
  return 0;
}

int check(Store& store) {
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> newest;  // name -> version, seed
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t version = 0, seed = 0;
    if (words >> name >> version >> seed) newest[name] = {version, seed};
  }
  int failed = 0;
  const auto fail = [&](const std::string& what) {
    std::cerr << what << '\n';
    failed = 1;
  };
  for (const auto& [name, put] : newest) {
    const auto& [version, seed] = put;
    const bool found = store.read({"anna", name}, version, [&](const RowValue& value) {
      if (value.tail != tail_of(seed) || !is_whole(value.row, value.tail)) fail("other row: " + name);
    });
    // A later put that has not returned may have pruned it; then there is a newer one.
    const std::vector<RowInfo> versions = store.versions({"anna", name});
    if (!found && (versions.empty() || versions.front().header.version <= version)) fail("lost: " + name);
  }
  std::uint64_t rows = 0;
  for (const RowInfo& each : store.list({})) {
    for (const RowInfo& version : store.versions(each.name)) {
      ++rows;
      store.read(each.name, version.header.version, [&](const RowValue& value) {
        if (!is_whole(value.row, value.tail)) fail("torn: " + each.name.name);
      });
    }
  }
  store.verify(fail);
  std::cout << "checked " << newest.size() << " of " << rows << '\n';
  return failed;
}

int race(Store& store, double seconds, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::uint64_t reads = 0;
  while (std::chrono::steady_clock::now() < until) {
    const AdapterName name{"anna", "n" + std::to_string(generator() % kNames)};
    bool wrong = false;
    store.read(name, 0, [&](const RowValue& value) {
      wrong = !is_whole(value.row, value.tail);
      ++reads;
    });
    if (wrong) {
      std::cerr << "torn: " << name.name << '\n';
      return 1;
    }
  }
  std::cout << "reads " << reads << '\n';
  return 0;
}

}  // namespace
}  // namespace loraxs::test

int main(int argc, char** argv) {
  using namespace loraxs;
  if (argc < 3) return 64;
  end_cleanly_on_lost_pages();
  const std::string action = argv[1];
  try {
    const auto how = action == "write" ? OpenStore::kCreate : OpenStore::kExisting;
    const auto store = open_store(parse_store_url(argv[2]), how);
    const auto number = [&](int i) { return i < argc ? std::strtoull(argv[i], nullptr, 10) : 0; };
    if (action == "write") return test::write_batches(*store, number(3), number(4));
    if (action == "race") return test::race(*store, std::strtod(argv[3], nullptr), number(4));
    return test::check(*store);
  } catch (const Error& error) {
    std::cerr << "loraxs: " << error.what() << '\n';
    return 2;
  }
}
