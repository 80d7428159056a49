// Generation as a whole: cache against no cache, batches against single requests, transformers' greedy answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "adapt/adapter_file.h"
#include "adapt/basis.h"
#include "generate/beam_scheduler.h"
#include "generate/cached_model.h"
#include "generate/scheduler.h"
#include "io/error.h"
#include "io/seeds.h"
#include "ops/frozen_gemm.h"
#include "support/close.h"
#include "support/heard.h"
#include "support/oracle.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

struct Answers {
  std::vector<std::vector<int32_t>> prompts, answers;
  torch::Tensor margins;  // [prompts, new tokens] how far the two largest logits are apart

  Answers() {
    const Safetensors file = read_safetensors(test::oracle_folder() / "generation" / "answers.safetensors");
    const torch::Tensor ids = view_tensor(file.at("prompts")), starts = view_tensor(file.at("starts")),
                        expected = view_tensor(file.at("answers"));
    margins = view_tensor(file.at("margins")).clone();
    const auto list = [](const torch::Tensor& values) {
      return std::vector<int32_t>(values.const_data_ptr<int32_t>(), values.const_data_ptr<int32_t>() + values.numel());
    };
    for (int64_t p = 0; p < expected.size(0); ++p) {
      const int64_t begin = starts[p].item<int32_t>();
      prompts.push_back(list(ids.narrow(0, begin, starts[p + 1].item<int32_t>() - begin)));
      answers.push_back(list(expected[p]));
    }
  }
};

BaseModel tiny_llama() { return load_base_model(test::oracle_folder() / "generation", ""); }

/// Adapters on all seven modules with large R, each its own bank; ranks differ.
struct ManyAdapters {
  std::shared_ptr<Basis> basis = std::make_shared<Basis>();
  AdapterSet set;

  ManyAdapters(const BaseModel& model, int64_t count) {
    constexpr int64_t kRank = 12;
    basis->recipe.rank = kRank;
    const std::vector<Site> sites = list_sites(*model.architecture, model.config);
    for (const Site& site : sites)
      basis->sites[site.name] = compute_site_basis(model.site_weight(site), site.name, basis->recipe);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t rank = kRank - 4 * (i % 3);
      const Layout layout = make_layout("lora_xs", sites, rank, {}, model.config.hidden_size, "test");
      auto bank = std::make_shared<Bank>(make_bank(layout, /*alpha=*/static_cast<double>(rank), 1));
      fill_normal(std::span(bank->values.mutable_data_ptr<float>(), bank->values.numel()), 100 + i, 0.3);
      set.slots.push_back({.bank = i, .row = 0});
      set.banks.push_back(std::move(bank));
    }
  }
};

constexpr int64_t kBlocks = 16 * 24;  // sixteen sequences of 384 tokens

/// Greedy answers to prompts with slots, `together` at a time.
std::vector<std::vector<int32_t>> generate(AdaptedModel& model, const std::vector<std::vector<int32_t>>& prompts,
                                           const std::vector<int64_t>& slots, int64_t together,
                                           int64_t tokens_per_step = 512, int64_t new_tokens = 24,
                                           int64_t blocks = kBlocks) {
  CachedModel cached(model, blocks);
  Scheduler scheduler(cached, {.context = 384, .tokens_per_step = tokens_per_step, .max_sequences = together});
  std::vector<std::vector<int32_t>> answers(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    scheduler.submit({.prompt = prompts[i],
                      .slot = slots[i],
                      .max_new_tokens = new_tokens,
                      .on_token = [&answer = answers[i]](int64_t, const SampledToken& token) {
                        answer.push_back(token.id);
                        return true;
                      }});
  }
  while (scheduler.step()) {
  }
  EXPECT_EQ(scheduler.num_preemptions() > 0, blocks < kBlocks);
  return answers;
}

TEST(GenerationTest, ChunksAndStepsGiveTheLogitsOfTheForwardWithoutACache) {
  const BaseModel base = tiny_llama();
  const ManyAdapters adapters(base, 2);
  AdaptedModel model(base, adapters.basis, adapters.set, torch::kFloat32);
  const Answers oracle;
  for (const int64_t slot : {kNoSlot, int64_t{0}, int64_t{1}}) {
    const std::vector<int32_t>& ids = oracle.prompts[slot + 2];
    const auto length = static_cast<int64_t>(ids.size());
    torch::NoGradGuard no_grad;
    const torch::Tensor expected =
        model.token_logits(pack(std::vector{Sequence{.input_ids = ids, .slot = slot}}, Ask::kAll));  // [tokens, vocab]
    for (const int64_t chunk : {int64_t{1}, int64_t{9}, int64_t{64}, length}) {
      CachedModel cached(model, kBlocks);
      std::vector<int32_t> blocks;
      for (int64_t done = 0; done < length; done += chunk) {
        const int64_t end = std::min(length, done + chunk);
        while (static_cast<int64_t>(blocks.size()) < KvCache::blocks_for(end))
          blocks.push_back(static_cast<int32_t>(7 * blocks.size() + 3));
        Sequence sequence{.input_ids = {ids.begin() + done, ids.begin() + end}, .slot = slot};
        sequence.first_position = done;
        sequence.blocks = blocks;
        sequence.asks_next = true;
        const auto logits = cached.step(pack(std::vector{sequence}, Ask::kNext));
        const torch::Tensor found = torch::tensor(at::ArrayRef<float>(logits.data(), logits.size()));
        EXPECT_LE(test::largest_error(found, expected[end - 1]), 1e-5) << "chunks of " << chunk << " at " << end;
      }
    }
  }
}

TEST(GenerationTest, GreedyAnswersAreThoseOfTransformers) {
  const BaseModel base = tiny_llama();
  AdaptedModel model(base, nullptr, {}, torch::kFloat32);
  const Answers oracle;
  const auto found = generate(model, oracle.prompts, std::vector<int64_t>(oracle.prompts.size(), kNoSlot),
                              /*together=*/16, /*tokens_per_step=*/200,
                              /*new_tokens=*/64);
  int64_t ties = 0;
  for (size_t p = 0; p < found.size(); ++p) {
    ASSERT_EQ(found[p].size(), oracle.answers[p].size());
    const auto [mine, theirs] = std::mismatch(found[p].begin(), found[p].end(), oracle.answers[p].begin());
    if (mine == found[p].end()) continue;
    ++ties;
    const int64_t at = mine - found[p].begin();
    EXPECT_LT(oracle.margins[static_cast<int64_t>(p)][at].item<float>(), 1e-4) << "prompt " << p << ", token " << at;
  }
  EXPECT_LE(ties, 1);
}

/// One setting's searches by transformers.
struct Searches {
  torch::Tensor answers;  // [prompts, returned, tokens] int32, filled up with -1
  torch::Tensor scores;   // [prompts, returned]
  BeamOptions options;
};
std::vector<Searches> searches_of(const Safetensors& file) {
  std::vector<Searches> all;
  for (int64_t i = 0; file.tensors.count(concat(i, ".answers")) > 0; ++i) {
    const torch::Tensor options = view_tensor(file.at(concat(i, ".options")));
    const double* option = options.const_data_ptr<double>();
    constexpr std::array kEarly = {EarlyStopping::kWhenWorse, EarlyStopping::kWhenFull, EarlyStopping::kNever};
    all.push_back({.answers = view_tensor(file.at(concat(i, ".answers"))).clone(),
                   .scores = view_tensor(file.at(concat(i, ".scores"))).clone(),
                   .options = {.beams = static_cast<int64_t>(option[0]),
                               .returned = static_cast<int64_t>(option[1]),
                               .length_penalty = option[2],
                               .early_stopping = kEarly.at(static_cast<size_t>(option[3]))}});
  }
  return all;
}

TEST(GenerationTest, BeamSearchesAreThoseOfTransformers) {
  const BaseModel base = tiny_llama();
  AdaptedModel model(base, nullptr, {}, torch::kFloat32);
  const Answers oracle;
  const Safetensors file = read_safetensors(test::oracle_folder() / "generation" / "beams.safetensors");
  const torch::Tensor ends = view_tensor(file.at("ends"));
  const std::vector<int32_t> end_ids(ends.const_data_ptr<int32_t>(), ends.const_data_ptr<int32_t>() + ends.numel());
  const std::vector<Searches> all = searches_of(file);
  ASSERT_EQ(all.size(), 6U);
  for (const Searches& searches : all) {
    SCOPED_TRACE(concat("length penalty ", searches.options.length_penalty, ", beams ", searches.options.beams));
    constexpr int64_t kTogether = 8, kLongest = 100;
    CachedModel cached(model, kBlocks);
    BeamScheduler scheduler(cached, {.tokens_per_step = 200, .max_sequences = kTogether * 4, .end_ids = end_ids});
    std::vector<std::vector<BeamAnswer>> found(searches.answers.size(0));
    for (size_t p = 0; p < found.size(); ++p) {
      std::vector<int32_t> prompt = oracle.prompts[p];
      prompt.resize(std::min<size_t>(prompt.size(), kLongest));
      scheduler.submit({.prompt = prompt,
                        .options = searches.options,
                        .max_new_tokens = searches.answers.size(2),
                        .on_finish = [&answers = found[p]](std::vector<BeamAnswer> best, const std::string&) {
                          answers = std::move(best);
                        }});
    }
    while (scheduler.step()) {
    }
    int64_t ties = 0, ended = 0;
    for (int64_t p = 0; p < searches.answers.size(0); ++p) {
      ASSERT_EQ(static_cast<int64_t>(found[p].size()), searches.options.returned);
      for (int64_t k = 0; k < searches.options.returned; ++k) {
        const BeamAnswer& answer = found[p][k];
        const auto expected = searches.answers[p][k];
        const std::vector<int32_t> ids(expected.const_data_ptr<int32_t>(),
                                       expected.const_data_ptr<int32_t>() + (expected >= 0).sum().item<int64_t>());
        const auto score = static_cast<double>(searches.scores[p][k].item<float>());
        EXPECT_NEAR(answer.score, score, 1e-4 * std::max(1.0, std::abs(score))) << "prompt " << p << ", answer " << k;
        ties += answer.tokens == ids ? 0 : 1;
        ended += answer.ended ? 1 : 0;
      }
    }
    EXPECT_LE(ties, searches.answers.size(0) / 50);  // of equal scores, as tested above
    EXPECT_GT(ended, 0);
  }
}

TEST(GenerationTest, WritesAdaptersForTheProgramsTest) {
  const BaseModel base = tiny_llama();
  const std::vector<Site> sites = list_sites(*base.architecture, base.config);
  constexpr int64_t kRank = 8;
  Basis basis =
      compute_basis(sites, [&](const Site& site) { return base.site_weight(site); }, base.base_id, {.rank = kRank}, {});
  std::filesystem::remove(test::oracle_folder() / "generation" / "basis.safetensors");  // of an earlier run
  write_basis(test::oracle_folder() / "generation" / "basis.safetensors", basis);
  Bank bank = make_bank(make_layout("lora_xs", sites, kRank, {}, base.config.hidden_size, "test"), kRank, 2);
  fill_normal(std::span(bank.values.mutable_data_ptr<float>(), bank.values.numel()), 7, 0.3);
  for (int64_t row = 0; row < 2; ++row) {
    const auto path = test::oracle_folder() / "generation" / concat("adapter-", row, ".safetensors");
    write_adapter(path, bank, row, base, basis, {}, Existing::kReplaced);
    EXPECT_TRUE(std::filesystem::exists(path));
  }
}

struct Company {
  torch::ScalarType dtype;
  WeightMemory memory;
};

class CompanyTest : public testing::TestWithParam<Company> {
 protected:
  void SetUp() override {
    if (!row_invariant(GetParam().dtype)) GTEST_SKIP() << "rows of this machine's GEMM depend on the batch";
  }
  const BaseModel base = tiny_llama();
  const ManyAdapters adapters{base, 16};
  const Answers oracle;
  AdaptedModel model{base, adapters.basis, adapters.set, GetParam().dtype, torch::kCPU, GetParam().memory};
};

TEST_P(CompanyTest, SixteenAdaptersInOneBatchAnswerAsEachAlone) {
  const std::vector<std::vector<int32_t>> prompts(oracle.prompts.begin(), oracle.prompts.begin() + 16);
  std::vector<int64_t> slots(16);
  for (int64_t i = 0; i < 16; ++i) slots[i] = (i * 5) % 16;
  const auto together = generate(model, prompts, slots, 16);
  EXPECT_EQ(generate(model, prompts, slots, 1), together);
  EXPECT_EQ(generate(model, prompts, slots, 5, /*tokens_per_step=*/60), together);
  const auto unadapted = generate(model, prompts, std::vector<int64_t>(16, kNoSlot), 16);
  int64_t different = 0;
  for (size_t i = 0; i < 16; ++i) different += together[i] != unadapted[i] ? 1 : 0;
  EXPECT_GE(different, 8);
  std::vector<int64_t> permuted = slots;  // control: with others' adapters the answers are others
  std::rotate(permuted.begin(), permuted.begin() + 1, permuted.end());
  EXPECT_NE(generate(model, prompts, permuted, 16), together);
}

/// Seventy at once, chunks of prompts beside answers, and answers computed anew when the cache was full.
TEST_P(CompanyTest, AnswersDoNotDependOnTheBatchOrOnPreemption) {
  constexpr int64_t kAll = 70, kAlone = 20, kNew = 5;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < kAll; ++i) {
    prompts.push_back(oracle.prompts[i % oracle.prompts.size()]);
    prompts.back().resize(std::min<size_t>(prompts.back().size(), 3 + i % 13));
    slots.push_back(i % 17 - 1);  // kNoSlot too
  }
  const auto together = generate(model, prompts, slots, kAll, 512, kNew);
  const std::vector<std::vector<int32_t>> some(prompts.begin(), prompts.begin() + kAlone),
      expected(together.begin(), together.begin() + kAlone);
  EXPECT_EQ(generate(model, some, {slots.begin(), slots.begin() + kAlone}, 1, 512, kNew), expected);
  EXPECT_EQ(generate(model, prompts, slots, 9, /*tokens_per_step=*/13, kNew), together);
  EXPECT_EQ(generate(model, prompts, slots, kAll, 200, kNew, /*blocks=*/30), together);
}

/// Everything that a scheduler is asked at once, with its callbacks on `heard`.
std::vector<test::Heard> heard_of(AdaptedModel& model, const std::vector<GenerationRequest>& requests,
                                  const SchedulerOptions& options, int64_t blocks = kBlocks) {
  CachedModel cached(model, blocks);
  Scheduler scheduler(cached, options);
  std::vector<test::Heard> heard(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) scheduler.submit(test::listened(requests[i], heard[i]));
  while (scheduler.step()) {
  }
  EXPECT_EQ(scheduler.state().free_blocks, blocks);
  EXPECT_EQ(scheduler.num_preemptions() > 0, blocks < kBlocks);
  return heard;
}

/// Conversations of five turns, each with its adapter, all at once turn by turn. -> the prompts of the sixth.
std::vector<std::vector<int32_t>> five_turns(AdaptedModel& model, const Answers& oracle, int64_t conversations,
                                             const std::string& prefix_key, const SchedulerOptions& options,
                                             int64_t blocks, int64_t& cached_tokens) {
  CachedModel cached(model, blocks);
  Scheduler scheduler(cached, options);
  std::vector<std::vector<int32_t>> prompts(conversations, oracle.prompts[0]);
  for (std::vector<int32_t>& prompt : prompts) prompt.resize(std::min<size_t>(prompt.size(), 40));
  for (int64_t turn = 0; turn < 5; ++turn) {
    std::vector<test::Heard> heard(prompts.size());
    for (int64_t c = 0; c < conversations; ++c) {
      std::vector<int32_t> words = oracle.prompts[c + turn];
      words.resize(std::min<size_t>(words.size(), 5 + c % 7));
      prompts[c].insert(prompts[c].end(), words.begin(), words.end());
      const int64_t slot = c % 8 - 1;
      const std::string key = prefix_key.empty() ? "" : prefix_key + std::to_string(slot);
      scheduler.submit(
          test::listened({.prompt = prompts[c], .slot = slot, .max_new_tokens = 6, .prefix_key = key}, heard[c]));
    }
    while (scheduler.step()) {
    }
    for (int64_t c = 0; c < conversations; ++c) {
      const std::vector<int32_t>& answer = heard[c].samples.front().tokens;
      prompts[c].insert(prompts[c].end(), answer.begin(), answer.end());
    }
  }
  cached_tokens = scheduler.state().cached_tokens;
  return prompts;
}

TEST_P(CompanyTest, OverFiveTurnsAPrefixThatIsFoundGivesWhatAComputedOneGives) {
  constexpr int64_t kConversations = 12;
  int64_t found = 0;
  const auto computed = five_turns(model, oracle, kConversations, "", {.context = 384}, kBlocks, found);
  EXPECT_EQ(found, 0);
  EXPECT_EQ(five_turns(model, oracle, kConversations, "slot ", {.context = 384}, kBlocks, found), computed);
  EXPECT_GT(found, kConversations * (32 + 3 * 48));
  const SchedulerOptions forced{.context = 384, .tokens_per_step = 11, .max_sequences = 5};
  EXPECT_EQ(five_turns(model, oracle, kConversations, "slot ", forced, /*blocks=*/30, found), computed);
  EXPECT_GT(found, 0);
}

TEST_P(CompanyTest, SamplesOfOnePromptAreWhatSeparateRequestsGive) {
  std::vector<GenerationRequest> together, separate;
  for (int64_t i = 0; i < 6; ++i) {
    GenerationRequest request{.prompt = oracle.prompts[i], .slot = i - 1, .max_new_tokens = 10, .samples = 4};
    request.prompt.resize(std::min<size_t>(request.prompt.size(), 10 + 11 * i));
    request.sampling = {.frequency_penalty = 0.3, .temperature = 1, .seed = static_cast<uint64_t>(40 + i)};
    together.push_back(request);
    request.samples = 1;
    for (uint64_t k = 0; k < 4; ++k) {
      separate.push_back(request);
      if (k > 0) separate.back().sampling.seed = mix_seed(request.sampling.seed, k);
    }
  }
  const auto expected = heard_of(model, separate, {.context = 384, .max_sequences = 3});
  for (const int64_t blocks : {kBlocks, int64_t{24}}) {
    const auto found = heard_of(model, together, {.context = 384, .tokens_per_step = 70}, blocks);
    for (size_t i = 0; i < found.size(); ++i) {
      for (size_t k = 0; k < 4; ++k)
        EXPECT_EQ(found[i].samples[k], expected[4 * i + k].samples.front()) << i << ", " << k;
    }
  }
}

TEST_P(CompanyTest, LogprobsOfPromptsAreThoseOfAWholeForward) {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < 5; ++i) {
    requests.push_back({.prompt = oracle.prompts[i], .slot = i - 1, .max_new_tokens = 3, .prompt_logprobs = true});
    requests.back().sampling.top_logprobs = 3;
  }
  const auto whole = heard_of(model, requests, {.context = 384});
  const auto chunks = heard_of(model, requests, {.context = 384, .tokens_per_step = 13});
  const double tolerance = GetParam().dtype == torch::kFloat32 ? 1e-4 : 5e-2;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<int32_t>& ids = requests[i].prompt;
    const torch::NoGradGuard no_grad;
    const Sequence sequence{.input_ids = ids, .slot = requests[i].slot};
    const torch::Tensor expected =
        model.token_logits(pack(std::vector{sequence}, Ask::kAll)).to(torch::kFloat64).log_softmax(1);
    EXPECT_EQ(chunks[i].samples, whole[i].samples);
    ASSERT_EQ(whole[i].prompt.size(), ids.size() - 1);
    ASSERT_EQ(chunks[i].prompt.size(), ids.size() - 1);
    for (size_t t = 0; t + 1 < ids.size(); ++t) {
      const SampledToken& token = whole[i].prompt[t];
      EXPECT_EQ(token.id, ids[t + 1]);
      const torch::Tensor row = expected[static_cast<int64_t>(t)];
      EXPECT_NEAR(token.logprob, row[token.id].item<double>(), tolerance) << i << ", " << t;
      EXPECT_EQ(token.logprob, chunks[i].prompt[t].logprob) << i << ", " << t;
      ASSERT_EQ(token.top.size(), 3U);
      EXPECT_NEAR(token.top[0].logprob, row.max().item<double>(), tolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Weights, CompanyTest,
                         testing::Values(Company{torch::kFloat32, WeightMemory::kNormal},
                                         Company{torch::kBFloat16, WeightMemory::kNormal},
                                         Company{torch::kFloat32, WeightMemory::kTight},
                                         Company{torch::kBFloat16, WeightMemory::kTight},
                                         Company{torch::kFloat32, WeightMemory::kInt8}),
                         [](const auto& info) {
                           if (info.param.memory == WeightMemory::kInt8) return std::string("int8");
                           return std::string(info.param.dtype == torch::kFloat32 ? "float32" : "bfloat16") +
                                  (info.param.memory == WeightMemory::kTight ? "_tight" : "_normal");
                         });

}  // namespace
}  // namespace loraxs
