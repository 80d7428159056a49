// Appendices D and E: parts of the spectrum of a tuned weight, and of the base's for what tuning changed.
#include <algorithm>
#include <map>

#include "adapt/spectral_part.h"
#include "api/studies/arms.h"
#include "api/studies/tuned_model.h"
#include "io/error.h"

namespace loraxs {
namespace {

using SiteTriples = std::map<std::string, SingularTriples>;

/// What is asked of each part: the weight that takes a site's place, and the numbers that tell how much is left of it.
struct SpectralQuestion {
  const char* name;
  const char* kept;  // the column of kept shares
  bool of_base;      // whose singular vectors: the base's, or the tuned model's
  torch::Tensor (*changed)(const SingularTriples&, const SpectralPart&, const torch::Tensor& base,
                           const torch::Tensor& tuned);
  double (*kept_energy)(const SingularTriples&, const SpectralPart&, const torch::Tensor& base,
                        const torch::Tensor& tuned);
};

double energy(const torch::Tensor& x) { return x.to(torch::kFloat64).square().sum().item<double>(); }

torch::Tensor part_of_weight(const SingularTriples& triples, const SpectralPart& part, const torch::Tensor&,
                             const torch::Tensor& tuned) {
  return part.share == 1 ? tuned : kept_part(triples, part).to(tuned.scalar_type());
}

double weight_energy(const SingularTriples& triples, const SpectralPart& part, const torch::Tensor&,
                     const torch::Tensor&) {
  const TripleRange range = triples_of(part, triples.s.size(0));
  return energy(triples.s.slice(0, range.begin, range.end)) / energy(triples.s);
}

torch::Tensor part_of_change(const SingularTriples& triples, const SpectralPart& part, const torch::Tensor& base,
                             const torch::Tensor& tuned) {
  if (part.share == 1) return tuned;
  const torch::Tensor wide = base.to(torch::kFloat64);
  return (wide + projected_delta(triples, part, tuned.to(torch::kFloat64) - wide)).to(tuned.scalar_type());
}

double change_energy(const SingularTriples& triples, const SpectralPart& part, const torch::Tensor& base,
                     const torch::Tensor& tuned) {
  const torch::Tensor delta = tuned.to(torch::kFloat64) - base.to(torch::kFloat64);
  const double all = energy(delta);
  return all > 0 ? energy(projected_delta(triples, part, delta)) / all : 0;
}

constexpr SpectralQuestion kImportance = {"importance", "share of ‖W‖²", false, part_of_weight, weight_energy};
constexpr SpectralQuestion kDelta = {"delta", "share of ‖ΔW‖²", true, part_of_change, change_energy};

std::vector<SpectralPart> parts_of(bool quick) {
  std::vector<SpectralPart> parts = {{"top", 1}};
  const std::vector<double> shares = quick ? std::vector<double>{0.1} : std::vector<double>{0.01, 0.1, 0.25, 0.5};
  parts.reserve(1 + 3 * shares.size());
  for (const char* vectors : {"top", "middle", "bottom"}) {
    for (const double share : shares) parts.push_back({vectors, share});
  }
  return parts;
}

std::string part_name(const SpectralPart& part) {
  return part.share == 1 ? "all" : concat(part.vectors, " ", 100 * part.share, " %");
}

/// Modules in the order a layer has them, with their sites.
std::vector<std::pair<std::string, std::vector<Site>>> modules_of(const BaseModel& model) {
  std::vector<std::pair<std::string, std::vector<Site>>> modules;
  for (const Site& site : list_sites(*model.architecture, model.config)) {
    const auto found =
        std::find_if(modules.begin(), modules.end(), [&](const auto& module) { return module.first == site.module; });
    if (found == modules.end()) {
      modules.push_back({site.module, {site}});
    } else {
      found->second.push_back(site);
    }
  }
  return modules;
}

/// What one part of one module comes to, seed by seed.
struct PartScores {
  ScoresBySeed scores, kept;
};

class SpectralStudy {
 public:
  SpectralStudy(const SpectralQuestion& question, const TunedModels& tuned, KeptNumbers& numbers)
      : question_(question), tuned_(tuned), numbers_(numbers) {}

  std::vector<PartScores> module(const std::string& name, const std::vector<Site>& sites,
                                 const std::vector<SpectralPart>& parts) {
    std::vector<PartScores> results(parts.size());
    for (const TunedModel& model : tuned_.models) {
      SiteTriples triples;  // of the sites, computed when the first number is not kept yet
      for (size_t i = 0; i < parts.size(); ++i) {
        const std::string key = concat(name, ", ", part_name(parts[i]), ", seed ", model.seed);
        results[i].scores[model.seed] =
            numbers_.at(key, [&] { return score_of(tuned_, model, changed(model, sites, parts[i], triples)); });
        results[i].kept[model.seed] =
            numbers_.at(key + ", kept", [&] { return kept(model, sites, parts[i], triples); });
      }
    }
    return results;
  }

 private:
  const SingularTriples& triples_at(const TunedModel& model, const Site& site, SiteTriples& triples) const {
    const auto found = triples.find(site.name);
    if (found != triples.end()) return found->second;
    const BaseModel& source = question_.of_base ? tuned_.base : model.weights;
    return triples.emplace(site.name, all_triples(source.site_weight(site))).first->second;
  }

  BaseModel changed(const TunedModel& model, const std::vector<Site>& sites, const SpectralPart& part,
                    SiteTriples& triples) const {
    BaseModel result = model.weights;
    for (const Site& site : sites) {
      result.replace(site.name + ".weight",
                     question_.changed(triples_at(model, site, triples), part, tuned_.base.site_weight(site),
                                       model.weights.site_weight(site)));
    }
    return result;
  }

  /// The mean over the module's layers.
  double kept(const TunedModel& model, const std::vector<Site>& sites, const SpectralPart& part,
              SiteTriples& triples) const {
    double sum = 0;
    for (const Site& site : sites) {
      sum += question_.kept_energy(triples_at(model, site, triples), part, tuned_.base.site_weight(site),
                                   model.weights.site_weight(site));
    }
    return sum / static_cast<double>(sites.size());
  }

  const SpectralQuestion& question_;
  const TunedModels& tuned_;
  KeptNumbers& numbers_;
};

StudyFindings ask(const SpectralQuestion& question, const Study& study, const StudyRequest& request) {
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  const std::vector<SpectralPart> parts = parts_of(request.quick);
  StudyFindings findings{.table = {.columns = {{"task"},
                                               {"module"},
                                               {"part"},
                                               {"seeds"},
                                               {"mean", true},
                                               {"difference to all", true},
                                               {"conclusion"},
                                               {question.kept}}},
                         .answer = {}};
  constexpr size_t kModules = 7;
  StudyRuns runs(study, request, recipes.size() * (2 + kModules));
  for (const std::filesystem::path& recipe : recipes) {
    const TunedModels tuned = tuned_models(study, runs, recipe);
    const Recipe read = study_recipe(study, request, recipe, {});
    KeptNumbers numbers(request.folder, concat(question.name, "-", recipe_digest(read)));
    SpectralStudy measured(question, tuned, numbers);
    Chart chart{.title = tuned.task.name + ", change of the score",
                .x_label = "share of the singular vectors, %",
                .logarithmic_x = true,
                .y_label = tuned.task.metric};
    for (const auto& [module, sites] : modules_of(tuned.base)) {
      runs.begin_part(concat(question.name, ", ", module));
      const std::vector<PartScores> scores = measured.module(module, sites, parts);
      for (size_t i = 0; i < parts.size(); ++i) {
        const Estimate mean = estimate_mean(scores[i].scores), kept = estimate_mean(scores[i].kept);
        const Estimate change = paired_difference(scores[i].scores, scores.front().scores);
        const char* conclusion = i == 0 ? "" : !change.told() ? "cannot be told" : change.mean < 0 ? "worse" : "better";
        findings.table.rows.push_back({tuned.task.name,
                                       module,
                                       part_name(parts[i]),
                                       static_cast<double>(mean.count),
                                       {mean.mean, mean.error},
                                       {change.mean, change.error},
                                       conclusion,
                                       kept.mean});
        if (i == 0) continue;
        const std::string name = module + ", " + parts[i].vectors;
        auto curve = std::find_if(chart.curves.begin(), chart.curves.end(),
                                  [&](const Curve& other) { return other.name == name; });
        if (curve == chart.curves.end()) curve = chart.curves.insert(curve, {.name = name});
        curve->points.push_back({100 * parts[i].share, change.mean, change.error.value_or(0), {}});
        findings.answer += concat(findings.answer.empty() ? "" : "\n", tuned.task.name, ": ", module, ", ",
                                  part_name(parts[i]), ": ", told_difference(change, tuned.task.metric), ".");
      }
      if (request.on_part) request.on_part(findings);
    }
    findings.charts.push_back(std::move(chart));
  }
  return findings;
}

}  // namespace

StudyFindings run_importance(const Study& study, const StudyRequest& request) {
  return ask(kImportance, study, request);
}

StudyFindings run_delta(const Study& study, const StudyRequest& request) { return ask(kDelta, study, request); }

}  // namespace loraxs
