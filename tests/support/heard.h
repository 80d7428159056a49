// support/heard.h: requests whose callbacks write down what they hear.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "generate/scheduler.h"

namespace loraxs::test {

/// What was told of one sample.
struct HeardSample {
  std::vector<int32_t> tokens;
  std::string reason, error;
  bool operator==(const HeardSample&) const = default;
};

/// What was told of a request. Stays where it is while the request runs.
struct Heard {
  std::vector<HeardSample> samples;
  int64_t cached_tokens = -1;  // -1: it never began
  std::vector<SampledToken> prompt;

  std::vector<std::string> reasons() const {
    std::vector<std::string> reasons;
    reasons.reserve(samples.size());
    for (const HeardSample& sample : samples) reasons.push_back(sample.reason);
    return reasons;
  }
};

/// The request with callbacks that tell `heard`.
inline GenerationRequest listened(GenerationRequest request, Heard& heard) {
  heard = {.samples = std::vector<HeardSample>(static_cast<size_t>(request.samples))};
  request.on_start = [&heard](int64_t cached_tokens) { heard.cached_tokens = cached_tokens; };
  request.on_prompt = [&heard](std::span<const SampledToken> tokens) { heard.prompt = {tokens.begin(), tokens.end()}; };
  request.on_token = [&heard](int64_t sample, const SampledToken& token) {
    heard.samples[sample].tokens.push_back(token.id);
    return true;
  };
  request.on_finish = [&heard](int64_t sample, FinishReason reason, const std::string& error) {
    HeardSample& own = heard.samples[sample];
    own.reason += finish_reason_name(reason);  // twice: seen in the text
    own.error = error;
  };
  return request;
}

/// What is heard of a request that has the model to itself.
inline Heard heard_alone(StepModel& model, const GenerationRequest& request, SchedulerOptions options = {}) {
  Heard heard;
  Scheduler scheduler(model, std::move(options));
  scheduler.submit(listened(request, heard));
  while (scheduler.step()) {
  }
  return heard;
}

}  // namespace loraxs::test
