// What an adapter costs that enters a running model: loraxs_resident_bench MODEL ROWS FILE. Rows of rank 16 on every
// linear module, from FILE (made here where it is missing: 2,000 rows, read once, so in the page cache) into a bank of
// ROWS. Between two steps of four sequences, each row: pin() to wait(), with the reading. One line of JSON,
// microseconds: the first hundred rows, the last hundred places, and a hundred that replace others; a plain read of the
// same bytes into memory that was used before; what a bank of 64 bytes a row costs (no copy worth the name), the
// loader's thread and without it; resident memory of all rows against their bytes.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "adapt/resident_bank.h"
#include "api/opened_adapter.h"
#include "generate/cached_model.h"
#include "generate/scheduler.h"
#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

constexpr int64_t kFileRows = 2000, kRank = 16, kSequences = 4, kSample = 100;

using Times = std::vector<double>;

template <typename Do>
double microseconds(const Do& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

nlohmann::json quantiles(Times times) {
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
  };
  return {{"p50", at(0.5)}, {"p90", at(0.9)}, {"p99", at(0.99)}, {"largest", times.back()}};
}

/// Of this process, from /proc/self/statm.
int64_t resident_bytes() {
  int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class RowFile {
 public:
  RowFile(const std::string& path, size_t row_size) : row_bytes_(row_size * sizeof(float)) {
    if (!std::filesystem::exists(path)) {
      std::ofstream file(path, std::ios::binary);
      std::vector<float> row(row_size);
      for (uint64_t i = 0; i < kFileRows; ++i) {
        fill_normal(row, i, 0.02);
        file.write(reinterpret_cast<const char*>(row.data()), static_cast<std::streamsize>(row_bytes_));
      }
    }
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) throw Error(concat(path, ": cannot be read"));
    std::vector<float> row(row_size);
    for (int64_t i = 0; i < kFileRows; ++i) read(i, row);
  }
  ~RowFile() { close(descriptor_); }
  RowFile(const RowFile&) = delete;
  RowFile& operator=(const RowFile&) = delete;

  void read(int64_t index, std::span<float> row) const {
    const auto offset = static_cast<off_t>(index % kFileRows) * static_cast<off_t>(row_bytes_);
    if (pread(descriptor_, row.data(), row_bytes_, offset) != static_cast<ssize_t>(row_bytes_)) {
      throw Error("rows: expected a whole row");
    }
  }

 private:
  size_t row_bytes_;
  int descriptor_ = -1;
};

/// Empty rows of 16 numbers: what taking in costs beside the copy.
nlohmann::json overhead(const BaseModel& base) {
  Layout layout = make_layout("lora_xs", {list_sites(*base.architecture, base.config).front()}, 4, {},
                              base.config.hidden_size, "bench");
  const auto shared = std::make_shared<const Layout>(std::move(layout));
  const auto resident = std::make_shared<ResidentBank>(ResidentKind{shared, ""}, 64 * 1000);
  const RowLoader nothing = [](std::span<float>) { return BankEntry{}; };
  Times through_thread, found, replaced;
  for (int64_t i = 0; i < 5000; ++i) {
    const std::string digest = std::to_string(i);
    through_thread.push_back(microseconds([&] { resident->pin(digest, nothing)->wait(); }));
    found.push_back(microseconds([&] { resident->pin(digest, nothing)->wait(); }));
  }
  Bank bank = make_bank(shared, 16, 1000);
  const torch::Tensor row = torch::zeros({shared->row_size});
  for (int64_t i = 0; i < 5000; ++i)
    replaced.push_back(microseconds([&] { bank.replace(i % 1000, row, BankEntry{}); }));
  return {{"new_by_the_thread", quantiles(through_thread)},
          {"there_already", quantiles(found)},
          {"bank_replace", quantiles(replaced)}};
}

int run(const std::vector<std::string>& words) {
  const BaseModel base = open_model(words[0], {});
  const int64_t rows = std::stoll(words[1]);
  const std::vector<Site> sites = list_sites(*base.architecture, base.config);
  auto basis = std::make_shared<Basis>();
  basis->recipe.rank = kRank;
  basis->recipe.variant = "random";  // speed does not depend on the vectors
  for (const Site& site : sites)
    basis->sites[site.name] = compute_site_basis(base.site_weight(site), site.name, basis->recipe);
  const auto layout =
      std::make_shared<const Layout>(make_layout("lora_xs", sites, kRank, {}, base.config.hidden_size, "bench"));
  const int64_t row_bytes = layout->row_size * static_cast<int64_t>(sizeof(float));
  const RowFile file(words[2], static_cast<size_t>(layout->row_size));
  const auto bank = std::make_shared<ResidentBank>(ResidentKind{layout, ""}, rows * row_bytes);
  AdaptedModel model(base, basis, bank->set(), torch::kFloat32, torch::kCPU, WeightMemory::kTight);
  constexpr int64_t kContext = 8192;
  CachedModel cached(model, kSequences * KvCache::blocks_for(kContext));
  Scheduler scheduler(cached, {.context = kContext});
  Times first, last, replacing, plain;
  std::vector<float> used(layout->row_size);
  for (int64_t i = 0; i < kSequences; ++i) {
    auto pin = bank->pin(std::to_string(i), [&file, i](std::span<float> row) {
      file.read(i, row);
      return BankEntry{};
    });
    pin->wait();
    scheduler.submit({.prompt = {1, 2, 3}, .slot = pin->slot(), .holds = pin, .max_new_tokens = kContext - 4});
  }
  const int64_t before = resident_bytes();
  int64_t after = 0;
  for (int64_t i = kSequences; i < rows + kSample; ++i) {
    const bool measured = i < kSequences + kSample || i >= rows - kSample;
    if (measured) scheduler.step();
    const double taken = microseconds([&] {
      bank->pin(std::to_string(i),
                [&file, i](std::span<float> row) {
                  file.read(i, row);
                  return BankEntry{};
                })
          ->wait();
    });
    if (!measured) continue;
    (i < kSequences + kSample ? first : i < rows ? last : replacing).push_back(taken);
    if (i == rows - 1) after = resident_bytes();
    plain.push_back(microseconds([&] { file.read(i + kFileRows / 2, used); }));
  }
  const double stored = static_cast<double>((rows - kSequences) * row_bytes);
  std::cout << nlohmann::json({{"row_bytes", row_bytes},
                               {"rows", rows},
                               {"first_hundred", quantiles(first)},
                               {"last_hundred", quantiles(last)},
                               {"replacing_others", quantiles(replacing)},
                               {"plain_read", quantiles(plain)},
                               {"overhead", overhead(base)},
                               {"memory_of_rows", static_cast<double>(after - before) / stored}})
                   .dump()
            << '\n';
  return 0;
}

}  // namespace
}  // namespace loraxs

int main(int argc, char** argv) try {
  if (argc != 4) throw loraxs::Error("usage: loraxs_resident_bench MODEL ROWS FILE");
  return loraxs::run({argv + 1, argv + argc});
} catch (const loraxs::Error& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
