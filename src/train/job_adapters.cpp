#include "train/job_adapters.h"

#include "io/atomic_file.h"

namespace loraxs {

TrainResult write_job_adapters(const TrainSetup& setup, const std::filesystem::path& run,
                               const std::vector<JobRun>& jobs, const Bank& bank, const TrainingState& state,
                               bool selected) {
  TrainResult result{.selected = selected,
                     .layout = *bank.layout,
                     .train_seconds = state.train_seconds,
                     .sentences = state.sentences,
                     .tokens = state.tokens,
                     .steps = state.step};
  Bank best = bank;
  best.values = state.best_values;
  for (const JobRun& run_job : jobs) {
    const JobState& own = run_job.state();
    const bool ended = own.ended.has_value(), chosen = own.best.epoch > 0;
    JobResult& job = result.jobs.emplace_back(JobResult{.job = run_job.job(),
                                                        .best = own.best,
                                                        .last_loss = own.last_loss,
                                                        .ended = own.ended,
                                                        .has_adapter = chosen || !ended});
    if (!job.has_adapter) continue;
    const std::filesystem::path folder = run / job.job.name;
    make_folder(folder);
    nlohmann::json summary = {{"seed", job.job.seed}, {"steps", own.step}};
    if (setup.start) summary["start"] = setup.start->to_json();
    const auto write = [&](const char* name, const Bank& rows) {
      AdapterProvenance provenance = setup.provenance;
      provenance.summary = summary.dump();
      write_adapter(folder / name, rows, run_job.slot(), setup.model, *setup.basis, provenance, Existing::kReplaced);
    };
    if (!ended) write("last.safetensors", bank);
    if (chosen) {
      summary["best_epoch"] = own.best.epoch;
      summary[setup.metric] = own.best.value;
    }
    write("best.safetensors", chosen ? best : bank);
    result.adapter_bytes = static_cast<int64_t>(std::filesystem::file_size(folder / "best.safetensors"));
  }
  return result;
}

}  // namespace loraxs
