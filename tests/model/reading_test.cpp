// What models' files say is obeyed or refused by name: tests/oracles/make_readings.py wrote what transformers makes of
// them, tests/configs/published.json has config.json files as their families' documentation shows them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "adapt/adapted_model.h"
#include "io/json.h"
#include "model/gguf_model.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle_folder.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

std::filesystem::path readings() { return test::oracle_folder() / "readings"; }

torch::Tensor all_logits(const BaseModel& model, const torch::Tensor& ids) {
  torch::NoGradGuard no_grad;
  Sequence sequence;
  for (int64_t i = 0; i < ids.numel(); ++i) sequence.input_ids.push_back(ids[i].item<int32_t>());
  sequence.is_target.resize(sequence.input_ids.size());
  // Beside a short text: what one is rotated by must not depend on its neighbour.
  const Sequence beside{.input_ids = {3, 1, 2}, .is_target = {0, 0, 0}};
  AdaptedModel adapted(model, nullptr, AdapterSet{}, torch::kFloat32);
  return adapted.token_logits(pack(std::vector{beside, sequence}, Ask::kAll)).narrow(0, 3, ids.numel());
}

class RotationTest : public testing::TestWithParam<const char*> {};

TEST_P(RotationTest, LogitsEqualTransformersBelowAndBeyondTheOriginalLength) {
  const std::string name = GetParam();
  const std::filesystem::path path = readings() / "rotations" / name;
  BaseModel model = load_base_model(path, "");
  const Safetensors expected = read_safetensors(
      is_gguf_path(path) ? std::filesystem::path(path.string() + ".safetensors") : path / "logits.safetensors");
  for (const std::string length : {"9", "24", "25", "70"}) {
    SCOPED_TRACE(length);
    const torch::Tensor ids = view_tensor(expected.at("ids" + length)),
                        reference = view_tensor(expected.at("logits" + length));
    EXPECT_LE(test::largest_error(all_logits(model, ids), reference), 1e-5);
  }
  // Control: another rotation gives other logits.
  model.config.rotary = {.theta = model.config.rotary.theta + 50};
  EXPECT_GT(
      test::largest_error(all_logits(model, view_tensor(expected.at("ids70"))), view_tensor(expected.at("logits70"))),
      1e-3);
}

INSTANTIATE_TEST_SUITE_P(Types, RotationTest,
                         testing::Values("linear", "dynamic", "yarn", "yarn-bounds", "yarn-attention", "yarn-mscale",
                                         "longrope", "longrope-factor", "longrope-attention", "llama3", "old-yarn",
                                         "old-dynamic", "own-original", "both", "empty-scaling", "no-factor",
                                         "scale_linear.gguf", "linear.gguf", "factor_alone.gguf", "none.gguf",
                                         "yarn.gguf", "yarn_more.gguf", "longrope.gguf"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace_if(
                               name, [](char c) { return c == '-' || c == '.'; }, '_');
                           return name;
                         });

TEST(GrowingTextTest, StayWhereTheRotationDoesNotChange) {
  EXPECT_EQ(load_base_model(readings() / "rotations" / "longrope", "").config.max_growing_length(), 24);
  EXPECT_EQ(load_base_model(readings() / "rotations" / "yarn", "").config.max_growing_length(), 96);
}

TEST(GgufReadingTest, UnknownMetadataOfTheModelAreRefusedUntilTheyAreAccepted) {
  const std::filesystem::path folder = readings() / "rotations";
  EXPECT_ERROR(load_base_model(folder / "unknown.gguf", ""), "llama.attention.sink_size: expected keys that are known");
  EXPECT_ERROR(load_base_model(folder / "clamped.gguf", ""), "llama.attention.clamp_kqv: expected 0, found 8");
  const auto accepted = [&](const char* file, const char* key) {
    return load_base_model(folder / file, "", {.accepted_keys = {key}, .pre_tokenizer = ""});
  };
  EXPECT_EQ(accepted("unknown.gguf", "llama.attention.sink_size").config.hidden_size, 64);
  EXPECT_ERROR(accepted("clamped.gguf", "llama.attention.sink_size"), "sink_size: expected a key that stands there");
}

/// A config.json on its own.
struct ConfigFile {
  test::TemporaryFolder folder;
  explicit ConfigFile(const nlohmann::json& config) { std::ofstream(folder / "config.json") << config.dump(); }
  ParsedConfig read(const std::vector<std::string>& accepted = {}) const {
    return read_model_config(folder.path(), {.accepted_keys = accepted, .pre_tokenizer = ""});
  }
};

nlohmann::json published() { return read_json(LORAXS_SOURCE_DIR "/tests/configs/published.json"); }

TEST(PublishedConfigTest, EachLoadsOrIsRefusedWithTheKey) {
  size_t count = 0;
  const nlohmann::json forms = published();
  for (const auto& [name, form] : forms.items()) {
    SCOPED_TRACE(name);
    const ConfigFile file(form["config"]);
    ++count;
    if (!form.contains("refused")) {
      EXPECT_NO_THROW(file.read()) << name;
      continue;
    }
    const auto key = form["refused"].get<std::string>();
    EXPECT_ERROR(file.read(), "config.json: " + key + ": expected ");
    EXPECT_ERROR(file.read(), "--accept-config " + key);
    EXPECT_NO_THROW(file.read({key}));
  }
  EXPECT_GE(count, 30U);
}

TEST(PublishedConfigTest, AnyOtherKeyIsRefusedInEveryFamily) {
  const nlohmann::json forms = published();
  for (const auto& [name, form] : forms.items()) {
    if (form.contains("refused")) continue;
    SCOPED_TRACE(name);
    nlohmann::json config = form["config"];
    config["attention_sinks"] = 4;
    EXPECT_ERROR(ConfigFile(config).read(), "attention_sinks: expected keys that are known for a ");
    EXPECT_NO_THROW(ConfigFile(config).read({"attention_sinks"}));
    config["attention_sinks"] = nullptr;  // as good as absent
    EXPECT_NO_THROW(ConfigFile(config).read());
  }
}

TEST(ConfigKeysTest, ValuesThatChangeOutputsAreRefused) {
  struct Case {
    const char *name, *key;
    nlohmann::json value;
  };
  const Case cases[] = {{"bert-base-uncased", "is_decoder", true},
                        {"bert-base-uncased", "add_cross_attention", true},
                        {"roberta-base", "is_decoder", true},
                        {"xlm-roberta-base", "pruned_heads", {{"0", {1}}}},
                        {"distilbert-base-uncased", "is_encoder_decoder", true},
                        {"llama-2-7b", "sliding_window", 4096},
                        {"llama-2-7b", "partial_rotary_factor", 0.5},
                        {"llama-2-7b", "quantization_config", {{"bits", 4}}},
                        {"llama-2-7b", "auto_map", {{"AutoModelForCausalLM", "m.M"}}},
                        {"mistral-7b-v0.1", "attention_bias", true},
                        {"qwen2.5-7b-instruct", "use_mrope", true},
                        {"qwen3-8b", "mlp_bias", true},
                        {"gemma-2b", "final_logit_softcapping", 30.0},
                        {"gemma-2b", "hidden_activation", "silu"}};
  const nlohmann::json forms = published();
  for (const Case& each : cases) {
    SCOPED_TRACE(concat(each.name, " ", each.key));
    nlohmann::json config = forms.at(each.name).at("config");
    config[each.key] = each.value;
    const ConfigFile file(config);
    EXPECT_ERROR(file.read(), concat("config.json: ", each.key, ": expected "));
    EXPECT_NO_THROW(file.read({each.key}));
  }
}

TEST(ConfigKeysTest, RotationsAreReadToTheEnd) {
  nlohmann::json config = published().at("llama-2-7b").at("config");
  const auto expect = [&](const nlohmann::json& rope, const std::string& message) {
    config["rope_scaling"] = rope;
    EXPECT_ERROR(ConfigFile(config).read(), message);
  };
  expect({{"type", "ntk"}, {"factor", 2}}, "rope_scaling.type: expected one of default, linear, dynamic, yarn");
  expect({{"type", "linear"}}, "rope_scaling.factor: expected a number > 0, found none");
  expect({{"type", "longrope"}, {"short_factor", {1}}, {"long_factor", {1}}},
         "rope_scaling.short_factor: expected 64 numbers");
  expect({{"type", "linear"}, {"factor", 2}, {"partial_rotary_factor", 0.5}},
         "rope_scaling.partial_rotary_factor: expected 1");
  expect({{"type", "linear"}, {"factor", 2}, {"mrope_section", {1, 2}}},
         "rope_scaling.mrope_section: expected a key of a known");
  EXPECT_NO_THROW(ConfigFile(config).read({"rope_scaling.mrope_section"}));
  config["rope_scaling"] = nullptr;
  EXPECT_ERROR(ConfigFile(config).read({"hidden_act"}), "hidden_act: expected a key that this program does not read");
  EXPECT_ERROR(ConfigFile(config).read({"nothing"}), "nothing: expected a key that stands there");
}

/// A folder of the decoder oracles with other tensors or another config.
struct Variant {
  test::TemporaryFolder folder;
  Variant(const std::string& source, const std::function<void(std::map<std::string, TensorBytes>&)>& change,
          const nlohmann::json& keys = nlohmann::json::object()) {
    const std::filesystem::path from = readings() / "rotations" / source;
    nlohmann::json config = read_json(from / "config.json");
    config.update(keys);
    std::ofstream(folder / "config.json") << config.dump();
    const Safetensors file = read_safetensors(from / "model.safetensors");
    std::map<std::string, TensorBytes> tensors;
    for (const auto& [name, view] : file.tensors) tensors[name] = {view.dtype, view.shape, view.bytes};
    change(tensors);
    write_safetensors(folder / "model.safetensors", tensors, {});
  }
};

TEST(LanguageHeadTest, OneInTheFileWinsOverTying) {
  const Safetensors expected = read_safetensors(readings() / "rotations" / "linear" / "logits.safetensors");
  const torch::Tensor ids = view_tensor(expected.at("ids24")), reference = view_tensor(expected.at("logits24"));
  const Variant own("linear", [](auto&) {}, {{"tie_word_embeddings", true}});
  const BaseModel model = load_base_model(own.folder.path(), "");
  EXPECT_FALSE(model.config.tie_word_embeddings);
  EXPECT_LE(test::largest_error(all_logits(model, ids), reference), 1e-5);
  const Variant without("linear", [](auto& tensors) { tensors.erase("lm_head.weight"); },
                        {{"tie_word_embeddings", true}});
  const BaseModel tied = load_base_model(without.folder.path(), "");
  EXPECT_TRUE(tied.config.tie_word_embeddings);
  EXPECT_GT(test::largest_error(all_logits(tied, ids), reference), 1e-2);  // control
  const Variant copy("linear", [](auto& tensors) { tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]; },
                     {{"tie_word_embeddings", true}});
  EXPECT_EQ(load_base_model(copy.folder.path(), "").base_id, tied.base_id);  // a copy is no head of its own
}

TEST(UnneededTensorTest, ItsTypeDoesNotMatter) {
  const Variant plain("linear", [](auto&) {});
  std::string bytes(MappedFile::open(plain.folder / "model.safetensors")->text());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  nlohmann::json header = nlohmann::json::parse(bytes.substr(8, length));
  const uint64_t end = bytes.size() - 8 - length;
  const auto write = [&](const nlohmann::json& changed, const std::string& more) {
    const std::string text = changed.dump();
    const uint64_t size = text.size();
    const test::TemporaryFolder folder;
    std::ofstream(folder / "model.safetensors", std::ios::binary)
        << std::string(reinterpret_cast<const char*>(&size), sizeof size) << text << bytes.substr(8 + length) << more;
    std::filesystem::copy(plain.folder / "config.json", folder / "config.json");
    return load_base_model(folder.path(), "");
  };
  header["model.scales"] = {{"dtype", "F8_E4M3"}, {"shape", {3, 5}}, {"data_offsets", {end, end + 15}}};
  EXPECT_EQ(write(header, std::string(15, '\1')).base_id, load_base_model(plain.folder.path(), "").base_id);
  header.erase("model.scales");
  header["model.norm.weight"]["dtype"] = "F8_E4M3";
  EXPECT_ERROR(write(header, ""), "model.norm.weight: expected F64, F32, F16 or BF16, found F8_E4M3");
}

TEST(PointerTest, SaysWhatItIsAndWhatToDo) {
  const test::TemporaryFolder folder;
  std::filesystem::copy(readings() / "rotations" / "linear" / "config.json", folder / "config.json");
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, '0') + "\nsize 12345\n";
  for (const char* name : {"model.safetensors", "model.gguf"}) {
    std::ofstream(folder / name) << pointer;
    EXPECT_ERROR(load_base_model(std::string(name) == "model.gguf" ? folder / name : folder.path(), ""),
                 concat(name, ": expected the file itself, found the git-lfs pointer"));
    EXPECT_ERROR(load_base_model(std::string(name) == "model.gguf" ? folder / name : folder.path(), ""),
                 "git lfs pull");
  }
  std::ofstream(folder / "config.json") << pointer;
  EXPECT_ERROR(load_base_model(folder.path(), ""), "config.json: expected the file itself");
}

TEST(OldNamesTest, GammaAndBetaAreWeightAndBias) {
  const std::filesystem::path from = readings() / "bert";
  const BaseModel expected = load_base_model(from, "");
  const Safetensors file = read_safetensors(from / "model.safetensors");
  for (const int which : {0, 1, 2}) {  // both names, gamma alone, beta alone
    std::map<std::string, TensorBytes> tensors;
    size_t renamed = 0;
    for (const auto& [name, view] : file.tensors) {
      std::string other = name;
      const size_t at = other.find("LayerNorm.");
      if (at != std::string::npos && name.ends_with(".weight") && which != 2)
        other = name.substr(0, at) + "LayerNorm.gamma";
      if (at != std::string::npos && name.ends_with(".bias") && which != 1)
        other = name.substr(0, at) + "LayerNorm.beta";
      renamed += other == name ? 0 : 1;
      tensors[other] = {view.dtype, view.shape, view.bytes};
    }
    EXPECT_GT(renamed, 4U);
    const test::TemporaryFolder folder;
    std::filesystem::copy(from / "config.json", folder / "config.json");
    write_safetensors(folder / "model.safetensors", tensors, {});
    EXPECT_EQ(load_base_model(folder.path(), "").base_id, expected.base_id);
  }
}

}  // namespace
}  // namespace loraxs
