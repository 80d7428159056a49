// train/fleet_job.h: a job of a fleet, ready to train, and where such jobs come from.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "adapt/layout.h"
#include "train/job.h"
#include "train/run_examples.h"
#include "train/start_row.h"

namespace loraxs {

/// Whose adapter it is: the place in the fleet's list, and the names that the store knows.
struct FleetMember {
  int64_t index = 0;
  std::string tenant, name;
  std::string where;  // "users.jsonl:12"

  std::string title() const { return tenant + "/" + name; }
};

/// Texts encoded, settings resolved.
struct FleetJob {
  FleetMember member;
  Job job;  // named as the member; its key comes from tenant, name and seed
  TrainRecipe train;
  HeadLayout head;
  std::vector<std::string> labels;
  RunExamples examples;
  std::string digest;  // of the examples' tokens and targets
  std::optional<StartRow> start;
  std::string identity;  // see job_identity
};

/// A job that was done before: its newest adapter in the store is what it would train.
struct FleetKept {
  FleetMember member;
  nlohmann::json summary;  // of that training, as the adapter has it
};

/// A job that never got so far.
struct FleetFailure {
  FleetMember member;
  std::string reason;  // one sentence
};

using FleetArrival = std::variant<FleetJob, FleetKept, FleetFailure>;

/// The jobs of a fleet in their order. Encodes ahead of who asks, but holds few.
class JobSource {
 public:
  JobSource() = default;
  virtual ~JobSource() = default;
  JobSource(const JobSource&) = delete;
  JobSource& operator=(const JobSource&) = delete;

  [[nodiscard]] virtual int64_t size() const = 0;
  /// Of the list, which a resumed fleet must find as it was.
  [[nodiscard]] virtual std::string digest() const = 0;
  /// Before the first next(): the jobs `again` (those that were training), then all from `next` on.
  virtual void begin(std::vector<int64_t> again, int64_t next) = 0;
  /// Waits for the next job; nothing after the last.
  virtual std::optional<FleetArrival> next() = 0;
};

}  // namespace loraxs
