// §1: a million adapters of GPT-3 by exact arithmetic, and files as large as those, written and counted.
#include "adapt/tensor_file.h"
#include "api/studies/arms.h"
#include "io/error.h"

namespace loraxs {
namespace {

constexpr int64_t kWidth = 12288, kLayers = 96, kModules = 2, kRank = 16;  // GPT-3; query and value
constexpr int64_t kHalf = 2;                                               // bytes of a 16-bit number
constexpr double kMillion = 1e6;

/// An adapter of `numbers` 16-bit numbers in one row, as a file. Returns its bytes.
double write_row(const std::filesystem::path& path, int64_t numbers) {
  TensorFile file;
  file.add("row", torch::zeros({numbers}, torch::kBFloat16));
  file.write(path, {{"format", "loraxs storage study"}});
  return static_cast<double>(std::filesystem::file_size(path));
}

}  // namespace

StudyFindings run_storage(const Study& study, const StudyRequest& request) {
  StudyFindings findings{.table = {.columns = {{"method"},
                                               {"numbers"},
                                               {"bytes of numbers"},
                                               {"a million, GB"},
                                               {"files written"},
                                               {"bytes of a file"},
                                               {"bytes of all files"}}},
                         .answer = {}};
  struct Kind {
    const char* name;
    int64_t numbers, files;
  };
  const int64_t many = request.quick ? 10 : 10'000;
  const Kind kinds[] = {{"LoRA-XS r = 16", kModules * kLayers * kRank * kRank, many},
                        {"LoRA r = 16", kModules * kLayers * 2 * kRank * kWidth, 1}};
  StudyRuns runs(study, request, 2);
  const std::filesystem::path folder = request.folder / "storage-files";
  std::vector<double> millions;
  for (const Kind& kind : kinds) {
    runs.begin_part(kind.name);
    std::filesystem::remove_all(folder);  // of a study that was stopped
    std::filesystem::create_directories(folder);
    double bytes = 0, all = 0;
    for (int64_t i = 0; i < kind.files; ++i) {
      runs.check_stop();
      bytes = write_row(folder / concat(i, ".safetensors"), kind.numbers);
      all += bytes;
    }
    std::filesystem::remove_all(folder);
    constexpr double kGiga = 1e9;
    millions.push_back(static_cast<double>(kind.numbers * kHalf) * kMillion / kGiga);
    findings.table.rows.push_back({kind.name, static_cast<double>(kind.numbers),
                                   static_cast<double>(kind.numbers * kHalf), millions.back(),
                                   static_cast<double>(kind.files), bytes, all});
    if (request.on_part) request.on_part(findings);
  }
  findings.answer = concat("A million adapters take ", millions[0], " GB as LoRA-XS and ", millions[1] / 1000,
                           " TB as LoRA, ", millions[1] / millions[0], " times as much. The paper's 96 GB and 144 TB ",
                           "are 96 KiB and 144 MiB times a million.");
  return findings;
}

}  // namespace loraxs
