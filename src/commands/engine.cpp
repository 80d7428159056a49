// The engine's one exported function: runs a parsed command and turns exceptions into messages and exit codes.
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <malloc.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "commands/commands.h"
#include "io/error.h"
#include "io/mapped_file.h"

namespace loraxs {
namespace {

int dispatch(const Command& command) {
  const CommonOptions& common = command.common;
  struct Visitor {
    const CommonOptions& common;
    int operator()(const InitOptions& o) const { return run_init(o, common); }
    int operator()(const ShowOptions& o) const { return run_show(o, common); }
    int operator()(const BasisOptions& o) const { return run_basis(o, common); }
    int operator()(const TrainOptions& o) const { return run_train(o, common); }
    int operator()(const EvalOptions& o) const { return run_eval(o, common); }
    int operator()(const PredictOptions& o) const { return run_predict(o, common); }
    int operator()(const CombineOptions& o) const { return run_combine(o, common); }
    int operator()(const MergeOptions& o) const { return run_merge(o, common); }
    int operator()(const UnmergeOptions& o) const { return run_unmerge(o, common); }
    int operator()(const ConvertOptions& o) const { return run_convert(o, common); }
    int operator()(const ExportOptions& o) const { return run_export(o, common); }
    int operator()(const ImportOptions& o) const { return run_import(o, common); }
    int operator()(const SweepOptions& o) const { return run_sweep(o, common); }
    int operator()(const NearestOptions& o) const { return run_nearest(o, common); }
    int operator()(const StudyOptions& o) const { return run_study(o, common); }
    int operator()(const ParamsOptions& o) const { return run_params(o, common); }
    int operator()(const TableOptions& o) const { return run_table(o, common); }
    int operator()(const GenerateOptions& o) const { return run_generate(o, common); }
    int operator()(const ConversationOptions& o) const { return run_chat(o, common); }
    int operator()(const DoctorOptions& o) const { return run_doctor(o, common); }
  };
  return std::visit(Visitor{common}, command.options);
}

/// LibTorch takes a thread for every core that affinity allows; more than a quota pays for would wait for each other.
void set_threads(const CommonOptions& common) {
  int64_t threads = common.threads;
  if (threads == 0 && std::getenv("OMP_NUM_THREADS") == nullptr && common.cores.allowed() < at::get_num_threads())
    threads = common.cores.allowed();
  if (threads > 0) at::set_num_threads(static_cast<int>(threads));
}

}  // namespace
}  // namespace loraxs

extern "C" __attribute__((visibility("default"))) int loraxs_run(const loraxs::Command* command) {
  // Freed blocks stay in the arena: mapping every large tensor anew costs 8 % of a training step.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
  loraxs::end_cleanly_on_lost_pages();
  try {
    loraxs::set_threads(command->common);
    return loraxs::dispatch(*command);
  } catch (const loraxs::Error& error) {
    std::cerr << "loraxs: " << error.what() << '\n';
    return 2;  // the user can fix it
  } catch (const std::filesystem::filesystem_error& error) {
    std::cerr << "loraxs: "
              << loraxs::safe_message(
                     loraxs::concat(error.path1().string(), ": cannot be used: ", error.code().message()))
              << '\n';
    return 2;
  } catch (const std::bad_alloc&) {
    std::cerr << "loraxs: expected more memory than this machine or its limits leave; take a smaller model or batch\n";
    return 2;
  } catch (const c10::Error& error) {
    std::cerr << "loraxs: internal error: " << loraxs::safe_message(error.what_without_backtrace()) << '\n';
    return 1;  // ours to fix
  } catch (const std::exception& error) {
    std::cerr << "loraxs: internal error: " << loraxs::safe_message(error.what()) << '\n';
    return 1;
  }
}
