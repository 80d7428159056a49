#include "api/fleet.h"

#include <ATen/Parallel.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include "python/bindings.h"

namespace nb = nanobind;

namespace loraxs {
namespace {

/// A fleet, and what its failures were since somebody asked.
class PythonFleet {
 public:
  PythonFleet(const Recipe& recipe, const std::string& where, bool resume, bool allow_drift,
              const std::filesystem::path& cache, const std::shared_ptr<FleetBase>& base) {
    const Settings settings = python_settings(cache, nb::none());
    const nb::gil_scoped_release release;
    if (recipe.threads > 0) at::set_num_threads(static_cast<int>(recipe.threads));
    check_run_output(recipe.output, resume);
    run_ = std::make_unique<FleetRun>(recipe, settings, where, base);
    run_->begin({.on_round = {},
                 .on_failure = [this](const FleetMember& member,
                                      const std::string& reason) { failures_.emplace_back(member, reason); }},
                {.resume = resume, .allow_drift = allow_drift});
  }

  bool step() {
    const nb::gil_scoped_release release;
    return run_->step();
  }

  void save() {
    const nb::gil_scoped_release release;
    run_->save();
  }

  std::string finish() {
    const nb::gil_scoped_release release;
    return run_->finish().dump();
  }

  [[nodiscard]] std::shared_ptr<FleetBase> base() const { return run_->base(); }

  [[nodiscard]] nb::dict counts() const {
    const FleetCounts counts = run_->counts();
    nb::dict all;
    for (const auto& [name, value] : {std::pair{"jobs", counts.jobs},
                                      {"done", counts.done},
                                      {"kept", counts.kept},
                                      {"failed", counts.failed},
                                      {"active", counts.active},
                                      {"waiting", counts.waiting()},
                                      {"rounds", counts.rounds},
                                      {"steps", counts.steps},
                                      {"sentences", counts.sentences},
                                      {"tokens", counts.tokens}}) {
      all[name] = value;
    }
    all["seconds"] = counts.seconds;
    return all;
  }

  nb::list take_failures() {
    nb::list list;
    for (const auto& [member, reason] : failures_) {
      nb::dict one;
      one["tenant"] = member.tenant;
      one["name"] = member.name;
      one["where"] = member.where;
      one["error"] = reason;
      list.append(one);
    }
    failures_.clear();
    return list;
  }

 private:
  std::unique_ptr<FleetRun> run_;
  std::vector<std::pair<FleetMember, std::string>> failures_;
};

}  // namespace

void bind_fleet(nb::module_& m) {
  using namespace nb::literals;
  nb::class_<FleetBase>(m, "_FleetBase").def_prop_ro("base_id", [](const FleetBase& base) {
    return base.model.base_id;
  });
  nb::class_<PythonFleet>(m, "_Fleet")
      .def(nb::init<const Recipe&, const std::string&, bool, bool, const std::filesystem::path&,
                    const std::shared_ptr<FleetBase>&>(),
           "recipe"_a, "where"_a, "resume"_a, "allow_drift"_a, "cache"_a, "base"_a.none())
      .def("base", &PythonFleet::base)
      .def("step", &PythonFleet::step)
      .def("save", &PythonFleet::save)
      .def("finish", &PythonFleet::finish)
      .def("counts", &PythonFleet::counts)
      .def("take_failures", &PythonFleet::take_failures);
}

}  // namespace loraxs
