// Base models from GGUF files against what transformers reads from the same files.
#include "model/gguf_model.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "adapt/adapted_model.h"
#include "io/fields.h"
#include "io/safetensors.h"
#include "io/sha256.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle_folder.h"
#include "support/random_tensor.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

std::filesystem::path gguf_path(const std::string& name) {
  const nlohmann::json known = read_json(test::oracle_folder() / "gguf" / "smollm2.json");
  return name == "smollm2" ? std::filesystem::path(known["path"].get<std::string>())
                           : test::oracle_folder() / "gguf" / (name + ".gguf");
}

Safetensors expected(const std::string& name) {
  return read_safetensors(test::oracle_folder() / "gguf" / (name + ".safetensors"));
}

PackedBatch batch_of(const Safetensors& oracle) {
  Sequence sequence;
  const torch::Tensor ids = view_tensor(oracle.at("ids"));
  for (int64_t i = 0; i < ids.numel(); ++i) sequence.input_ids.push_back(ids[i].item<int32_t>());
  sequence.token_type_ids.resize(sequence.input_ids.size());
  sequence.is_target.resize(sequence.input_ids.size());
  return pack(std::vector{sequence}, Ask::kAll);
}

torch::Tensor logits(const BaseModel& model, const PackedBatch& batch, torch::ScalarType dtype, WeightMemory memory) {
  torch::NoGradGuard no_grad;
  return AdaptedModel(model, nullptr, AdapterSet{}, dtype, torch::kCPU, memory).token_logits(batch);
}

class GgufModelTest : public testing::TestWithParam<const char*> {};

TEST_P(GgufModelTest, WeightsAreBitEqualToWhatTransformersReads) {
  const BaseModel model = load_base_model(gguf_path(GetParam()), "");
  const Safetensors oracle = expected(GetParam());
  size_t compared = 0;
  for (const auto& [canonical, hf] :
       list_weights(*model.architecture, model.config, model.architecture->weight_names)) {
    SCOPED_TRACE(canonical);
    const std::string name = hf == "lm_head.weight" ? hf : "model." + hf;
    const torch::Tensor weight = model.weight(canonical);
    EXPECT_EQ(weight.scalar_type(), torch::kFloat32);
    EXPECT_EQ(sha256_hex(std::span(static_cast<const std::byte*>(weight.const_data_ptr()), weight.nbytes())),
              oracle.metadata_at(name));
    ++compared;
  }
  // transformers lists a tied head too.
  EXPECT_EQ(compared + (model.config.tie_word_embeddings ? 1 : 0), oracle.metadata.size());
}

TEST_P(GgufModelTest, LogitsEqualTransformersAndAreTheSameBitsInTightMemory) {
  const BaseModel model = load_base_model(gguf_path(GetParam()), "");
  const Safetensors oracle = expected(GetParam());
  const torch::Tensor reference = view_tensor(oracle.at("logits"));
  const PackedBatch batch = batch_of(oracle);
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    const torch::Tensor normal = logits(model, batch, dtype, WeightMemory::kNormal);
    if (dtype == torch::kFloat32) {
      EXPECT_LE(test::largest_error(normal, reference), 1e-5);
    }
    if (dtype == torch::kBFloat16) {  // no further from float32 than transformers is in bfloat16
      const double ours = test::relative_error(normal, reference);
      EXPECT_LE(ours, test::relative_error(view_tensor(oracle.at("logits16")), reference));
      EXPECT_GT(ours, 1e-4);  // control: it is bfloat16 that was measured
    }
    // Panels of the numbers, multiplied by the same GEMM: the same bits.
    EXPECT_TRUE(logits(model, batch, dtype, WeightMemory::kTight).equal(normal));
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GgufModelTest, testing::Values("mixed", "smollm2"),
                         [](const auto& info) { return std::string(info.param); });

TEST(GgufLlama3Test, FrequencyFactorsGiveTheLogitsOfLlama3Scaling) {
  const Safetensors oracle = expected("llama3");
  BaseModel model = load_base_model(gguf_path("llama3"), "");
  EXPECT_EQ(model.config.rotary.scaling, "factors");
  const torch::Tensor reference = view_tensor(oracle.at("logits"));
  EXPECT_LE(test::largest_error(logits(model, batch_of(oracle), torch::kFloat32, WeightMemory::kNormal), reference),
            1e-5);
  model.config.rotary.scaling = "default";
  EXPECT_GT(test::largest_error(logits(model, batch_of(oracle), torch::kFloat32, WeightMemory::kNormal), reference),
            1e-3);
}

/// VmRSS of /proc/self/status, after the allocator has given back what it holds for later.
int64_t resident_bytes() {
  malloc_trim(0);
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "VmRSS:") continue;
    int64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

TEST(TightMemoryTest, ModelTakesLittleMoreThanItsFile) {
  const auto file_bytes = static_cast<double>(std::filesystem::file_size(gguf_path("smollm2")));
  const PackedBatch batch = batch_of(expected("smollm2"));
  const auto taken = [&](WeightMemory memory) {
    const int64_t before = resident_bytes();
    torch::NoGradGuard no_grad;
    const BaseModel model = load_base_model(gguf_path("smollm2"), "");  // hashed, so that every page is resident
    AdaptedModel adapted(model, nullptr, AdapterSet{}, torch::kFloat32, torch::kCPU, memory);
    adapted.token_logits(batch);
    return static_cast<double>(resident_bytes() - before) / file_bytes;
  };
  taken(WeightMemory::kTight);  // what the libraries keep from their first use
  EXPECT_LE(taken(WeightMemory::kTight), 1.15);
  EXPECT_GT(taken(WeightMemory::kNormal), 3);  // control: unpacked float32 beside the file
}

class GgufFamilyTest : public testing::TestWithParam<const char*> {};

// Written with each family's own names, row order and norms: of llama.cpp's conversions only Llama's and Mistral's
// reorder rows, only Gemma's add one to its norms.
TEST_P(GgufFamilyTest, LogitsEqualTransformers) {
  const Safetensors oracle = expected(GetParam());
  BaseModel model = load_base_model(gguf_path(GetParam()), "");
  const torch::Tensor reference = view_tensor(oracle.at("logits"));
  const auto error = [&] {
    return test::largest_error(logits(model, batch_of(oracle), torch::kFloat32, WeightMemory::kNormal), reference);
  };
  EXPECT_LE(error(), 1e-5);
  if (model.config.model_type == "gemma") {
    model.config.norm_offset = 1;  // control: the file's norms hold it
    EXPECT_GT(error(), 1e-3);
    model.config.norm_offset = 0;
  }
  BlockTensor& query = model.blocks.at("layers.0.query.weight");
  query.interleaved_heads = query.interleaved_heads == 0 ? model.config.num_attention_heads : 0;
  EXPECT_GT(error(), 1e-3);  // control: rows in the other order
}

INSTANTIATE_TEST_SUITE_P(Families, GgufFamilyTest, testing::Values("mistral", "gemma", "qwen2", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

TEST(GgufBaseIdTest, BindsEveryStoredByteAndTheConfig) {
  const test::TemporaryFolder folder;
  const std::filesystem::path source = gguf_path("mixed");
  const BaseModel model = load_base_model(source, "");
  EXPECT_EQ(model.base_id, load_base_model(source, folder.path()).base_id);
  EXPECT_EQ(model.base_id, load_base_model(source, folder.path()).base_id);  // from the cache
  std::string bytes(MappedFile::open(source)->text());
  const Gguf file = read_gguf(source);
  const auto damage = [&](size_t at, char value) {
    std::string other = bytes;
    other[at] = value;
    std::ofstream(folder / "other.gguf", std::ios::binary) << other;
    return load_base_model(folder / "other.gguf", "").base_id;
  };
  const GgufTensor& tensor = file.tensor("blk.1.ffn_up.weight");
  const auto at = static_cast<size_t>(tensor.bytes.data() - file.file->bytes().data());
  EXPECT_NE(model.base_id, damage(at + 1, static_cast<char>(bytes[at + 1] ^ 1)));
  const auto& theta = file.metadata.at("llama.rope.freq_base");
  const auto theta_at = static_cast<size_t>(theta.payload.data() - file.file->bytes().data());
  EXPECT_NE(model.base_id, damage(theta_at + 2, static_cast<char>(bytes[theta_at + 2] ^ 1)));
  EXPECT_EQ(model.base_id, damage(bytes.find("general.architecture"), 'g'));
}

/// Metadata and tensors of the mixed file, to be written with something wrong.
struct Copy {
  std::map<std::string, std::string> metadata;
  std::vector<GgufTensorSource> tensors;
  Copy() {
    const Gguf file = read_gguf(gguf_path("mixed"));
    for (const auto& [key, value] : file.metadata) {
      metadata[key] = {reinterpret_cast<const char*>(value.encoded.data()), value.encoded.size()};
    }
    for (const auto& [name, tensor] : file.tensors) {
      tensors.push_back({name, tensor.type, tensor.shape, [tensor = tensor] {
                           return std::vector<std::byte>(tensor.bytes.begin(), tensor.bytes.end());
                         }});
    }
  }
  GgufTensorSource& at(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  }
};

TEST(GgufModelErrorTest, WhatIsWrongIsSaid) {
  const test::TemporaryFolder folder;
  const auto check = [&](const std::string& message, const std::function<void(Copy&)>& spoil) {
    SCOPED_TRACE(message);
    Copy copy;
    spoil(copy);
    std::filesystem::remove(folder / "x.gguf");
    write_gguf(folder / "x.gguf", {copy.metadata.begin(), copy.metadata.end()}, copy.tensors);
    EXPECT_ERROR(load_base_model(folder / "x.gguf", ""), message);
  };
  check("general.architecture: expected one of llama, gemma, qwen2, qwen3, found \"falcon\"",
        [](Copy& c) { c.metadata["general.architecture"] = gguf_string("falcon"); });
  check("general.architecture: expected a string, found uint32",
        [](Copy& c) { c.metadata["general.architecture"] = gguf_uint32(1); });
  check("general.type: expected model, found adapter",
        [](Copy& c) { c.metadata["general.type"] = gguf_string("adapter"); });
  check("split.count: expected the whole model", [](Copy& c) { c.metadata["split.count"] = gguf_uint32(3); });
  check("llama.block_count: expected an integer in the metadata",
        [](Copy& c) { c.metadata.erase("llama.block_count"); });
  check("num_hidden_layers: expected an integer from 1 to 1000",
        [](Copy& c) { c.metadata["llama.block_count"] = gguf_uint32(2000000000); });
  check("llama.block_count: expected at most as many layers",
        [](Copy& c) { c.metadata["llama.block_count"] = gguf_uint32(1000); });
  check("expected a tensor blk.3.", [](Copy& c) { c.metadata["llama.block_count"] = gguf_uint32(4); });
  check("blk.2.", [](Copy& c) { c.metadata["llama.block_count"] = gguf_uint32(2); });
  check("llama.embedding_length: expected an integer from 1",
        [](Copy& c) { c.metadata["llama.embedding_length"] = gguf_uint32(0); });
  check("llama.attention.head_count: expected an integer from 1",
        [](Copy& c) { c.metadata["llama.attention.head_count"] = gguf_uint32(0); });
  check("token_embd.weight: expected shape", [](Copy& c) { c.metadata["llama.embedding_length"] = gguf_uint32(96); });
  check("rope.dimension_count: expected 16",
        [](Copy& c) { c.metadata["llama.rope.dimension_count"] = gguf_uint32(8); });
  check("rope.scaling.type: expected none, linear, yarn or longrope, found su",
        [](Copy& c) { c.metadata["llama.rope.scaling.type"] = gguf_string("su"); });
  check("expected a tensor output_norm.weight", [](Copy& c) { c.at("output_norm.weight").name = "output_norm.bias"; });
  check("blk.0.attn_q.bias: expected no tensor of that name", [](Copy& c) {
    c.tensors.push_back(c.at("output_norm.weight"));
    c.tensors.back().name = "blk.0.attn_q.bias";
  });
  check("blk.0.attn_norm.weight: type: expected one of F32, F16, BF16, Q8_0", [](Copy& c) {
    c.at("blk.0.attn_norm.weight").type = find_block_type("MXFP4")->type;
    c.at("blk.0.attn_norm.weight").bytes = [] { return std::vector<std::byte>(34); };
  });
  EXPECT_ERROR(load_base_model(folder / "absent.gguf", ""), "absent.gguf: cannot open");
}

}  // namespace
}  // namespace loraxs
