// cli/subcommands.h: the table of subcommands: NAME is cli/subcommands/NAME.h, NAME.cpp and commands/NAME.cpp.
#pragma once
#include <variant>

#include "cli/subcommands/basis.h"
#include "cli/subcommands/cache.h"
#include "cli/subcommands/chat.h"
#include "cli/subcommands/combine.h"
#include "cli/subcommands/convert.h"
#include "cli/subcommands/doctor.h"
#include "cli/subcommands/eval.h"
#include "cli/subcommands/export.h"
#include "cli/subcommands/generate.h"
#include "cli/subcommands/import.h"
#include "cli/subcommands/init.h"
#include "cli/subcommands/key.h"
#include "cli/subcommands/merge.h"
#include "cli/subcommands/nearest.h"
#include "cli/subcommands/params.h"
#include "cli/subcommands/predict.h"
#include "cli/subcommands/serve.h"
#include "cli/subcommands/show.h"
#include "cli/subcommands/store.h"
#include "cli/subcommands/study.h"
#include "cli/subcommands/sweep.h"
#include "cli/subcommands/table.h"
#include "cli/subcommands/train.h"
#include "cli/subcommands/unmerge.h"

namespace loraxs {

/// In the order of --help, in which their examples work one after the other in the repository: with the models of
/// `make setup`, on its examples.
using Subcommands =
    std::variant<InitOptions, TrainOptions, ShowOptions, EvalOptions, PredictOptions, GenerateOptions,
                 ConversationOptions, CombineOptions, SweepOptions, NearestOptions, MergeOptions, UnmergeOptions,
                 ConvertOptions, ExportOptions, ImportOptions, StoreOptions, KeyOptions, ServeOptions, BasisOptions,
                 ParamsOptions, TableOptions, StudyOptions, CacheOptions, DoctorOptions>;

/// What the launcher hands to the engine.
struct Command {
  CommonOptions common;
  Subcommands options;
};

}  // namespace loraxs
