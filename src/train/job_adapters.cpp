#include "train/job_adapters.h"

#include "io/atomic_file.h"

namespace loraxs {

TrainResult write_job_adapters(const TrainSetup& setup, const std::filesystem::path& run, const std::vector<Job>& jobs,
                               const Bank& bank, const TrainingState& state, bool selected) {
  TrainResult result{.selected = selected,
                     .layout = *bank.layout,
                     .train_seconds = state.train_seconds,
                     .sentences = state.sentences,
                     .tokens = state.tokens,
                     .steps = state.step};
  Bank best = bank;
  best.values = state.best_values;
  for (size_t j = 0; j < jobs.size(); ++j) {
    const bool ended = state.ended[j].has_value(), chosen = state.best[j].epoch > 0;
    JobResult& job = result.jobs.emplace_back(JobResult{.job = jobs[j],
                                                        .best = state.best[j],
                                                        .last_loss = state.last_losses[j],
                                                        .ended = state.ended[j],
                                                        .has_adapter = chosen || !ended});
    if (!job.has_adapter) continue;
    const std::filesystem::path folder = run / jobs[j].name;
    make_folder(folder);
    nlohmann::json summary = {{"seed", jobs[j].seed}, {"steps", state.job_steps[j]}};
    if (setup.start) summary["start"] = setup.start->to_json();
    const auto write = [&](const char* name, const Bank& rows) {
      AdapterProvenance provenance = setup.provenance;
      provenance.summary = summary.dump();
      write_adapter(folder / name, rows, static_cast<int64_t>(j), setup.model, *setup.basis, provenance,
                    Existing::kReplaced);
    };
    if (!ended) write("last.safetensors", bank);
    if (chosen) {
      summary["best_epoch"] = state.best[j].epoch;
      summary[setup.metric] = state.best[j].value;
    }
    write("best.safetensors", chosen ? best : bank);
    result.adapter_bytes = static_cast<int64_t>(std::filesystem::file_size(folder / "best.safetensors"));
  }
  return result;
}

}  // namespace loraxs
