#include "train/job_identity.h"

#include <nlohmann/json.hpp>

#include "io/sha256.h"
#include "train/recipe_changes.h"

namespace loraxs {

std::string job_identity(const Recipe& recipe, const FleetJob& job, const std::string& base_id,
                         const std::string& basis_id, const std::string& own_head) {
  Recipe own = recipe;
  own.train = job.train;
  own.fleet = nullptr;  // what of it decides a number is in the examples and the start
  nlohmann::json content = {{"recipe", recipe_content(own)}, {"base", base_id},      {"basis", basis_id},
                            {"job", job.member.title()},     {"labels", job.labels}, {"examples", job.digest}};
  for (const char* key : {"log_every", "memory"}) content["recipe"]["train"].erase(key);
  if (!own_head.empty()) {
    content["start"] = {"own", own_head};
  } else if (job.start) {
    content["start"] = {job.start->row_digest, job.start->carries_head};
  }
  constexpr size_t kDigits = 32;
  return Sha256().update(content.dump()).hex().substr(0, kDigits);
}

}  // namespace loraxs
