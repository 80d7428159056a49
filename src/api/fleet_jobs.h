// api/fleet_jobs.h: the jobs of a fleet from a file or a folder: read and encoded ahead, on a thread of its own.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/fleet_starts.h"
#include "api/task_encoder.h"
#include "io/mapped_file.h"
#include "model/base_model.h"
#include "train/fleet_job.h"
#include "train/fleet_recipe.h"
#include "train/recipe.h"

namespace loraxs {

/// `jobs` is a .jsonl file with a job a line, or a folder with a data file per job: TENANT/NAME.jsonl, or NAME.jsonl of
/// the tenant "default". A line names `tenant` and `name`, brings `data` (a file, as `task.train` would name it) or
/// `examples` (a list), `labels` where they should not be those of its data, and keys of parse_job_train. Holds where
/// lines begin, and few encoded jobs. One thread calls it.
class FleetJobs final : public JobSource {
 public:
  /// All must outlive this. Throws Error where the list cannot be read, is empty, or names an adapter twice; what is
  /// wrong with one job is that job's failure, when its turn comes.
  FleetJobs(const Recipe& recipe, const FleetRecipe& fleet, const TaskEncoder& encoder, const BaseModel& model,
            const std::string& where);
  ~FleetJobs() override;

  /// Where jobs may start from, before begin(). Without it all start fresh.
  void start_from(FleetStarts& starts) { starts_ = &starts; }
  /// Of which basis the jobs are, and a store whose finished jobs are kept: null: all are trained. Before begin().
  void know_again(const std::string& basis_id, FleetStore* store) {
    basis_id_ = basis_id;
    kept_in_ = store;
  }
  /// Whether TENANT/NAME is one of the jobs.
  [[nodiscard]] bool contains(const std::string& title) const;

  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
  [[nodiscard]] std::string digest() const override { return digest_; }
  void begin(std::vector<int64_t> again, int64_t next) override;
  std::optional<FleetArrival> next() override;

 private:
  /// Where a job stands: a line of the file, or a file of the folder.
  struct Entry {
    size_t offset = 0, bytes = 0;
    int64_t line = 0;
    std::filesystem::path file;
  };

  void list_lines();
  void list_files();
  /// `again`: it was in training, so it is not kept.
  [[nodiscard]] FleetArrival arrival(int64_t index, bool again) const;
  [[nodiscard]] std::string place(const Entry& entry) const;
  [[nodiscard]] FleetJob make(FleetMember& member, const Entry& entry) const;
  void work(const std::vector<int64_t>& again, int64_t next);
  bool deliver(std::optional<FleetArrival> arrival);

  const Recipe& recipe_;
  const FleetRecipe& fleet_;
  const TaskEncoder& encoder_;
  const BaseModel& model_;
  std::string digest_;
  std::shared_ptr<const MappedFile> file_;
  std::vector<Entry> entries_;
  std::vector<size_t> titles_;  // hashes, sorted
  FleetStarts* starts_ = nullptr;
  std::string basis_id_;
  FleetStore* kept_in_ = nullptr;

  std::mutex mutex_;  // of all below but the thread
  std::condition_variable changed_;
  std::deque<std::optional<FleetArrival>> ready_;  // nothing: the end
  std::exception_ptr broken_;                      // what is no job's own failure
  bool over_ = false;
  std::thread thread_;
};

}  // namespace loraxs
