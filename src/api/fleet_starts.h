// api/fleet_starts.h: where a fleet's jobs start: fresh rows, adapters of the store, or their mean.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapt/basis.h"
#include "model/base_model.h"
#include "train/fleet_job.h"
#include "train/fleet_store.h"
#include "train/start_row.h"

namespace loraxs {

/// Whether a job starts from its own adapter: own, own@VERSION, or own@<=VERSION.
bool is_own_start(std::string_view start);
/// Whether it says which: own@VERSION.
bool names_own_version(std::string_view start);

/// `fresh`; `own`: the job's own newest adapter, fresh where there is none; own@<=VERSION: the same, as it was when
/// VERSION was the newest (0: when there was none); own@VERSION; TENANT/NAME, with @VERSION
/// where the store has versions; `mean(TENANT/NAME, TENANT/*, …)`: the average of adapters, without those of this
/// fleet's own jobs. In a mean and by themselves, names of other places: URL#TENANT/NAME[@VERSION], and a file, which
/// begins with / or a dot; in a mean URL#TENANT/begin*, URL#TENANT/, URL and folders of files, as `loraxs combine` has
/// them, whose mean is the same row. What has a comma stands in quotes. No job starts from what this fleet has
/// trained, so their order is of no importance. Belongs to one thread.
class FleetStarts {
 public:
  /// All must outlive this. `is_job`: whether TENANT/NAME is a job of this fleet.
  FleetStarts(FleetStore& store, const BaseModel& model, const Basis& basis, double alpha,
              std::function<bool(const std::string& title)> is_job)
      : store_(store), model_(model), basis_(basis), alpha_(alpha), is_job_(std::move(is_job)) {}

  /// Throws Error for an adapter that is not there, does not fit, or is trained by this fleet.
  std::optional<StartRow> resolve(const std::string& start, const FleetMember& member, const Layout& layout,
                                  const std::vector<std::string>& labels, bool carries_head);

 private:
  StartRow mean_of(const std::string& list, const StartWanted& wanted);
  AdapterFile get(const std::string& reference, const StartWanted& wanted);
  /// The adapters that a part of a mean's list names, without jobs that it does not name by themselves.
  std::vector<std::string> members_of(const std::string& part);

  FleetStore& store_;
  const BaseModel& model_;
  const Basis& basis_;
  double alpha_;
  std::function<bool(const std::string&)> is_job_;
  std::map<std::string, StartRow> means_;  // by list and layout: jobs share them
};

}  // namespace loraxs
