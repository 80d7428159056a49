// commands/commands.h: one function per subcommand. Each returns the exit code; errors are thrown.
#pragma once
#include "cli/options.h"

namespace loraxs {

int run_init(const InitOptions& options, const CommonOptions& common);
int run_show(const ShowOptions& options, const CommonOptions& common);
int run_basis(const BasisOptions& options, const CommonOptions& common);
int run_train(const TrainOptions& options, const CommonOptions& common);
int run_eval(const EvalOptions& options, const CommonOptions& common);
int run_predict(const PredictOptions& options, const CommonOptions& common);
int run_combine(const CombineOptions& options, const CommonOptions& common);
int run_merge(const MergeOptions& options, const CommonOptions& common);
int run_unmerge(const UnmergeOptions& options, const CommonOptions& common);
int run_convert(const ConvertOptions& options, const CommonOptions& common);
int run_export(const ExportOptions& options, const CommonOptions& common);
int run_import(const ImportOptions& options, const CommonOptions& common);
int run_sweep(const SweepOptions& options, const CommonOptions& common);
int run_nearest(const NearestOptions& options, const CommonOptions& common);
int run_study(const StudyOptions& options, const CommonOptions& common);
int run_params(const ParamsOptions& options, const CommonOptions& common);
int run_table(const TableOptions& options, const CommonOptions& common);
int run_generate(const GenerateOptions& options, const CommonOptions& common);
int run_chat(const ConversationOptions& options, const CommonOptions& common);
int run_doctor(const DoctorOptions& options, const CommonOptions& common);

}  // namespace loraxs
