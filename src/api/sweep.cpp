#include "api/sweep.h"

#include <algorithm>
#include <cmath>

#include "adapt/distance.h"
#include "adapt/method.h"
#include "api/predictor.h"
#include "api/store.h"
#include "io/error.h"

namespace loraxs {

std::vector<SweepPoint> sweep_between(const BaseModel& model, const std::string& from, const std::string& to,
                                      double begin, double end, int64_t points, const Task& task,
                                      const OpenOptions& options, const std::string& precision,
                                      const Settings& settings) {
  if (points < 2 || !(begin < end)) {
    throw Error(
        concat("sweep: expected at least 2 points and begin < end, found ", points, " from ", begin, " to ", end));
  }
  const OpenedAdapters opened = open_adapters(model, {from, to}, options, settings);
  check_head(opened.files.front(), opened.banks.front()->layout->head, task);
  std::vector<SweepPoint> sweep(points);
  std::shared_ptr<Bank> bank;  // a row for each point
  for (int64_t i = 0; i < points; ++i) {
    const double t = sweep[i].t = begin + (end - begin) * static_cast<double>(i) / static_cast<double>(points - 1);
    Bank point = combine({{.bank = opened.banks[0].get(), .row = 0, .weight = 1 - t},
                          {.bank = opened.banks[1].get(), .row = 0, .weight = t}},
                         {});
    if (bank) {
      bank->add(point.values[0], point.entries[0]);
    } else {
      bank = std::make_shared<Bank>(std::move(point));
    }
  }
  const OpenedBank line{.model = model,
                        .files = opened.files,
                        .basis = opened.basis,
                        .bank = bank,
                        .memory = options.memory,
                        .device = options.device};
  const std::vector<TaskScore> scores = score_rows(line, precision, task);
  for (int64_t i = 0; i < points; ++i) {
    if (!scores[i].failed.empty()) {
      throw Error(concat("sweep: t = ", sweep[i].t, ": expected finite outputs of all examples, found ",
                         scores[i].failed.size(), " without"));
    }
    sweep[i].value = scores[i].value;
  }
  return sweep;
}

std::vector<Neighbour> nearest_adapters(const BaseModel& model, const std::filesystem::path& adapter,
                                        const std::filesystem::path& folder, const OpenOptions& options,
                                        const Settings& settings) {
  std::vector<std::filesystem::path> others = adapters_of(folder);
  std::erase_if(others, [&](const auto& path) {
    std::error_code of_none;  // a reference is no file
    return path == adapter || std::filesystem::equivalent(path, adapter, of_none);
  });
  if (others.empty()) throw Error(concat(folder.string(), ": expected other adapters than ", adapter.string()));
  std::vector<std::string> paths = {adapter.string()};
  paths.reserve(others.size() + 1);
  for (const std::filesystem::path& path : others) paths.push_back(path.string());
  std::vector<Neighbour> neighbours(others.size());
  for (size_t i = 0; i < others.size(); ++i) neighbours[i].path = others[i];
  const OpenedAdapters opened = open_adapters(model, paths, options, settings, [&](size_t index, const Error& error) {
    if (index == 0) throw Error(error);
    neighbours[index - 1].error = error.what();
  });
  std::vector<std::shared_ptr<Bank>> banks;  // of those whose rows are vectors
  std::vector<int64_t> rows(paths.size(), -1);
  for (size_t i = 0; i < paths.size(); ++i) {
    if (opened.slots[i] == kNoSlot) continue;
    const std::shared_ptr<Bank>& bank = opened.banks[opened.slots[i]];
    if (!find_method(bank->layout->method, paths[i]).traits.combines) {
      const std::string error = concat(paths[i], ": expected an adapter of lora_xs, found ", bank->layout->method,
                                       ", whose rows are no vectors");
      if (i == 0) throw Error(error);
      neighbours[i - 1].error = error;
      continue;
    }
    rows[i] = static_cast<int64_t>(banks.size());
    banks.push_back(bank);
  }
  const torch::Tensor at = delta_coordinates(banks, *opened.basis);  // [rows, coordinates]
  const torch::Tensor distances = (at - at[0]).norm(2, 1), sizes = at.norm(2, 1), products = at.matmul(at[0]);
  for (size_t i = 0; i < others.size(); ++i) {
    Neighbour& neighbour = neighbours[i];
    if (!neighbour.error.empty()) continue;
    const int64_t row = rows[i + 1];
    const double size = sizes[0].item<double>() * sizes[row].item<double>();
    neighbour.distance = distances[row].item<double>();
    neighbour.cosine = size > 0 ? products[row].item<double>() / size : 0;
    if (!std::isfinite(neighbour.distance)) {
      neighbour = {
          .path = neighbour.path,
          .error = concat(neighbour.path.string(), ": expected finite numbers in both adapters, found others")};
    }
  }
  std::stable_sort(neighbours.begin(), neighbours.end(), [](const Neighbour& x, const Neighbour& y) {
    return x.error.empty() != y.error.empty() ? x.error.empty() : x.distance < y.distance;
  });
  return neighbours;
}

}  // namespace loraxs
