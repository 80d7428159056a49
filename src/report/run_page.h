// report/run_page.h: the page of a training: curves, result, settings, samples, recipe.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "report/chart.h"

namespace loraxs {

using TextRows = std::vector<std::vector<std::string>>;

/// What a run measured step by step, by job.
struct RunCurves {
  std::string run;  // its name; empty: the page's own
  std::map<std::string, Curve> loss, score;
};

struct RunPage {
  std::string title, lead;
  std::string metric;             // "loss": the score is the loss on held-out data, and stands with the training's
  std::vector<RunCurves> curves;  // the page's own, then a run to compare with
  TextRows result;
  std::vector<std::string> settings_header;
  TextRows settings;
  size_t chosen = SIZE_MAX;  // of the settings' rows
  TextRows samples;          // epoch, job, prompt, answer
  std::string recipe;
};

/// One self-contained page; the last 200 samples.
std::string run_page(const RunPage& page);

}  // namespace loraxs
